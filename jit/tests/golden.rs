//! What a small set of guest instructions becomes, so that a worse translation is a difference that can be read.
//!
//! `REPRISE_BLESS=1 cargo test -p reprise-jit --test golden` writes `golden.txt` anew.
#![allow(clippy::disallowed_methods, clippy::useless_conversion)] // a test reads its own file; dynasm converts numbers

use std::fmt::Write;

use dynasmrt::{DynasmApi, SimpleAssembler, dynasm};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use reprise_core::cpu::Model;
use reprise_jit::listing::{COLD, LEAVE, Listed, list};

/// Guest code of one sequence each.
macro_rules! sequences {
    ($({ $($code:tt)* })*) => {
        vec![$({
            let mut guest = SimpleAssembler::new();
            dynasm!(guest ; .arch x64 ; $($code)*);
            guest.finalize()
        }),*]
    };
}

/// The set: what programs consist of, and what is translated in a way of its own.
fn sequences() -> Vec<Vec<u8>> {
    sequences! {
        { mov rax, rbx }
        { mov eax, 5 }
        { mov rax, r9 }
        { mov r10, rsp }
        { mov rax, QWORD 0x1122_3344_5566_7788 }
        { mov rax, [rsp + 8] }
        { mov [rbp - 16], rcx }
        { mov eax, [rdi + rsi * 4 + 16] }
        { mov BYTE [rdi], 0 }
        { mov r9, [r10] }
        { mov rax, [rip + 64] }
        { fs mov rax, [0x28] }
        { movzx eax, BYTE [rsi] }
        { movsx rcx, ax }
        { movsxd rax, edi }
        { lea rax, [rdi + rdi * 2 + 1] }
        { lea rdx, [rip + 16] }
        { xchg [rdi], eax }
        { push rbx }
        { pop rbp }
        { push r9 }
        { leave }
        { add rax, rbx }
        { add rsp, 24 }
        { add rax, [rdi] }
        { add [rdi], rax }
        { sub r9, r10 }
        { adc rax, rdx }
        { inc ecx }
        { dec DWORD [rdi] }
        { neg rax }
        { xor eax, eax }
        { and BYTE [rdi], 15 }
        { test eax, eax }
        { cmp rax, [rdi] }
        { imul rax, rbx, 10 }
        { mul rcx }
        { div rcx }
        { idiv DWORD [rdi] }
        { cqo }
        { shl rax, 4 }
        { sar edx, cl }
        { rol eax, 7 }
        { shld rax, rbx, 5 }
        { bt eax, 3 }
        { bsf eax, ecx }
        { popcnt rax, rcx }
        { bswap eax }
        { cmp eax, 5 ; sete al }
        { cmp rdi, rsi ; cmovb rax, rbx }
        { cmp eax, ecx ; mov rdx, [rdi] ; setl dl }
        { test rax, rax ; je BYTE 16 }
        { lock cmpxchg [rdi], ecx }
        { lock xadd [rdi], rax }
        { movaps xmm0, xmm1 }
        { movups xmm2, [rdi] }
        { addsd xmm0, [rsi + 8] }
        { mulps xmm1, xmm2 }
        { paddd xmm0, [rdi] }
        { pshufb xmm0, xmm1 }
        { cvtsi2sd xmm0, r9 }
        { ucomisd xmm0, xmm1 ; seta al }
        { aesenc xmm0, xmm1 }
        { pclmulqdq xmm0, xmm1, 17 }
        { call 256 }
        { call rax }
        { jmp 8192 }
        { jmp QWORD [rax * 8 + 4096] }
        { ret }
        { rep movsb }
        { nop }
        { fld QWORD [rdi] }
        { fmul st0, st1 }
        { fstp QWORD [rdi] }
        { fcomip st0, st1 ; seta al }
        { fldcw [rdi] }
    }
}

/// What x86-64-v3 has beside it.
fn newer_sequences() -> Vec<Vec<u8>> {
    sequences! {
        { vmovups ymm0, [rdi] }
        { vmovdqa [rdi], ymm1 }
        { vaddpd ymm0, ymm1, ymm2 }
        { vpaddd ymm0, ymm1, [rsi] }
        { vpshufb xmm0, xmm1, xmm2 }
        { vfmadd231sd xmm0, xmm1, [rdi] }
        { vcvtph2ps ymm0, [rdi] }
        { vmovd r9d, xmm1 }
        { vpmaskmovd ymm0, ymm1, [rdi] }
        { vzeroupper }
        { vptest ymm0, ymm1 ; je BYTE 16 }
        { andn rax, rbx, rcx ; je BYTE 16 }
        { andn r8, r9, r10 ; mov rdx, [rdi] ; setl dl }
        { blsr rax, rax ; mov rdx, [rdi] ; setb dl }
        { bzhi rax, rbx, rcx }
        { tzcnt rax, [rdi] ; jb BYTE 16 }
        { lzcnt eax, ecx }
        { shlx rax, [rdi], rcx }
        { mulx r9, r10, [rdi] }
        { rorx eax, ebx, 7 }
        { pdep rax, rbx, rcx }
        { movbe rax, [rdi] }
    }
}

/// Follows each sequence, so that it need not keep its flags.
const FLAGS_DIE: [u8; 2] = [0x85, 0xd2];

fn text_of(insn: &Instruction) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_rip_relative_addresses(true);
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut text = String::new();
    formatter.format(insn, &mut text);
    text
}

/// A host instruction; of a jump, only what it leads to, not where that is.
fn host_text(insn: &Instruction, from: &Listed) -> String {
    let text = text_of(insn);
    if !insn.is_jcc_short_or_near() && !insn.is_jmp_short_or_near() {
        return text;
    }
    let name = text.split(' ').next().expect("a mnemonic");
    match insn.near_branch_target() {
        LEAVE => format!("{name} leave"),
        COLD.. => format!("{name} cold"),
        target => format!("{name} {:+}", target.wrapping_sub(from.address) as i64),
    }
}

fn decoded(code: &[u8], address: u64) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter()
}

/// The guest instructions of a sequence, each with its host code, and how many host instructions that is.
fn golden(sequence: &[u8], model: &Model) -> String {
    let listed = list(&[sequence, &FLAGS_DIE].concat(), model);
    let mut text = String::new();
    let (mut hot, mut cold) = (0, 0);
    for guest in decoded(sequence, 0) {
        writeln!(text, "{}", text_of(&guest)).expect("memory");
        let Some(listed) = listed.iter().find(|listed| listed.guest.ip() == guest.ip()) else {
            writeln!(text, "    (interpreted)").expect("memory");
            continue;
        };
        for host in decoded(&listed.hot, listed.address) {
            writeln!(text, "    {}", host_text(&host, listed)).expect("memory");
            hot += 1;
        }
        cold += decoded(&listed.cold, COLD).count();
    }
    writeln!(text, "  = {hot} hot, {cold} cold\n").expect("memory");
    text
}

#[test]
fn the_code_is_as_it_was() {
    let model = |name| Model::find(name).expect("the model is known");
    let (older, newer) = (sequences(), newer_sequences());
    let all = older.iter().map(|code| (code, "x86-64-v2")).chain(newer.iter().map(|code| (code, "x86-64-v3")));
    let now: String = all.map(|(code, name)| golden(code, model(name))).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");
    if std::env::var_os("REPRISE_BLESS").is_some() {
        std::fs::write(path, now).expect("the golden file can be written");
        return;
    }
    let before = std::fs::read_to_string(path).expect("the golden file is there");
    let differences: Vec<String> = now
        .split("\n\n")
        .zip(before.split("\n\n"))
        .filter(|(now, before)| now != before)
        .map(|(now, before)| format!("before:\n{before}\nnow:\n{now}\n"))
        .collect();
    assert!(
        now == before,
        "the translation has changed; if that is meant, run `REPRISE_BLESS=1 cargo test -p reprise-jit --test golden`\n{}",
        differences.join("\n")
    );
}
