//! What is emitted, decoded again.

use dynasmrt::dynasm;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::*;

const HOT: u64 = 0x1_0000;
const COLD: u64 = 0x2_0000;

fn emitter() -> Emitter {
    let mut emitter = Emitter::new();
    emitter.start_at(HOT, COLD);
    emitter
}

fn decode(bitness: u32, code: &[u8]) -> Instruction {
    let mut decoder = Decoder::with_ip(bitness, code, HOT, DecoderOptions::NONE);
    let insn = decoder.decode();
    assert!(!insn.is_invalid() && insn.len() == code.len(), "{code:02x?}");
    insn
}

/// All instructions of some host code.
fn decode_all(code: &[u8], base: u64) -> Vec<Instruction> {
    Decoder::with_ip(64, code, base, DecoderOptions::NONE).iter().collect()
}

/// The one instruction that a guest's becomes.
fn passed_from(bitness: u32, guest: &[u8], exchange: &Exchange) -> Result<Vec<u8>, NotPassed> {
    let mut emitter = emitter();
    emitter.push(0x90);
    let result = emitter.pass(&decode(bitness, guest), exchange);
    let code = emitter.code(Side::Hot)[1..].to_vec();
    assert!(result.is_ok() || code.is_empty(), "a failure emits nothing");
    result.map(|()| code)
}

#[track_caller]
fn check(guest: &[u8], exchange: &Exchange, host: &[u8]) {
    assert_eq!(passed_from(64, guest, exchange).as_deref(), Ok(host), "{:02x?}", passed_from(64, guest, exchange));
}

#[test]
fn the_active_buffer_takes_the_code() {
    let mut e = emitter();
    dynasm!(e ; .arch x64 ; mov eax, 1);
    assert_eq!(e.switch(Side::Cold), Side::Hot);
    assert_eq!(e.position(), COLD);
    dynasm!(e ; .arch x64 ; ret);
    assert_eq!((e.position(), e.side()), (COLD + 1, Side::Cold));
    assert_eq!((e.code(Side::Hot), e.code(Side::Cold)), (&[0xb8, 1, 0, 0, 0][..], &[0xc3][..]));
    e.start_at(HOT, COLD);
    assert_eq!((e.position(), e.side(), e.code(Side::Cold)), (HOT, Side::Hot, &[][..]));
}

#[test]
fn code_is_aligned_where_it_will_be() {
    let mut e = Emitter::new();
    e.start_at(HOT + 3, COLD);
    e.align(8, 0x90);
    assert_eq!((e.position(), e.code(Side::Hot)), (HOT + 8, &[0x90; 5][..]));
    e.align(8, 0x90);
    assert_eq!(e.position(), HOT + 8);
}

#[test]
fn rewinding_forgets_the_end() {
    let mut e = emitter();
    e.push(1);
    let position = e.position();
    e.extend(&[2, 3]);
    e.rewind(position);
    assert_eq!(e.code(Side::Hot), [1]);
}

#[test]
fn jumps_reach_addresses_places_ahead_and_the_other_side() {
    let mut e = emitter();
    let ahead = e.jump();
    let to_cold = e.jump_if(Condition::Above);
    let _ = e.jump_to(HOT);
    e.bind(ahead);
    let back = e.position();
    e.switch(Side::Cold);
    e.push(0x90);
    e.bind(to_cold);
    let _ = e.jump_if_to(Condition::NotEqual, back);
    let targets: Vec<u64> = decode_all(e.code(Side::Hot), HOT).iter().map(Instruction::near_branch_target).collect();
    assert_eq!(targets, [back, COLD + 1, HOT]);
    let cold = decode_all(e.code(Side::Cold), COLD);
    assert_eq!(cold[1].near_branch_target(), back);
    assert_eq!(Condition::of(cold[1].condition_code()), Some(Condition::NotEqual));
}

#[test]
fn conditions_are_the_encodings() {
    for number in 0..16 {
        let condition = Condition::from_number(number);
        let mut e = emitter();
        let _ = e.jump_if_to(condition, HOT);
        let short = e.jump_short_if(condition.negated());
        e.bind_short(short);
        let code = decode_all(e.code(Side::Hot), HOT);
        assert_eq!(Condition::of(code[0].condition_code()), Some(condition));
        assert_eq!(Condition::of(code[1].condition_code()), Some(condition.negated()));
        assert_eq!(code[0].condition_code(), code[1].code().negate_condition_code().condition_code());
    }
}

#[test]
fn short_jumps_reach_127_bytes() {
    let mut e = emitter();
    let short = e.jump_short();
    e.extend([0x90; 127]);
    e.bind_short(short);
    assert_eq!(decode_all(e.code(Side::Hot), HOT)[0].near_branch_target(), HOT + 129);
}

#[test]
#[should_panic(expected = "near")]
fn short_jumps_reach_no_further() {
    let mut e = emitter();
    let short = e.jump_short();
    e.extend([0x90; 128]);
    e.bind_short(short);
}

#[test]
fn addresses_are_taken_relative_to_rip() {
    let mut e = emitter();
    for number in [0, 7, 9, 15] {
        let field = e.address_of(number);
        e.bind_to(field, COLD);
    }
    let code = decode_all(e.code(Side::Hot), HOT);
    let registers: Vec<Register> = code.iter().map(Instruction::op0_register).collect();
    assert_eq!(registers, [Register::RAX, Register::RDI, Register::R9, Register::R15]);
    assert!(code.iter().all(|insn| insn.memory_displacement64() == COLD));
}

#[test]
fn namesakes_pass_unchanged() {
    let exchange = Exchange::new();
    for code in [
        &[0x48, 0x01, 0xd8][..],               // add rax, rbx
        &[0x66, 0x83, 0xc0, 0x7f],             // add ax, 127
        &[0x05, 0x78, 0x56, 0x34, 0x12],       // add eax, 0x12345678
        &[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], // mov rax, imm64
        &[0x00, 0xe0],                         // add al, ah
        &[0x40, 0x00, 0xf7],                   // add dil, sil
        &[0xd3, 0xe0],                         // shl eax, cl
        &[0xf7, 0xe1],                         // mul ecx
        &[0x48, 0xf7, 0xff],                   // idiv rdi
        &[0x0f, 0xb6, 0xc4],                   // movzx eax, ah
        &[0x4d, 0x0f, 0xaf, 0xec],             // imul r13, r12
        &[0x48, 0x0f, 0x44, 0xc2],             // cmove rax, rdx
        &[0xf3, 0x48, 0x0f, 0xb8, 0xc7],       // popcnt rax, rdi
        &[0x0f, 0xc8],                         // bswap eax
        &[0x0f, 0x95, 0xc0],                   // setne al
        &[0x98],                               // cwde
        &[0xf2, 0x0f, 0x58, 0xc8],             // addsd xmm1, xmm0
        &[0x66, 0x44, 0x0f, 0xef, 0xff],       // pxor xmm15, xmm7
        &[0x66, 0x48, 0x0f, 0x6e, 0xc0],       // movq xmm0, rax
        &[0x66, 0x0f, 0x3a, 0x0f, 0xca, 0x08], // palignr xmm1, xmm2, 8
        &[0x66, 0x0f, 0x38, 0xdc, 0xc1],       // aesenc xmm0, xmm1
        &[0xc5, 0xfd, 0xfe, 0xc1],             // vpaddd ymm0, ymm0, ymm1
        &[0xc4, 0xe2, 0xf1, 0xb8, 0xc2],       // vfmadd231pd xmm0, xmm1, xmm2
        &[0xc4, 0xe2, 0xf3, 0xf6, 0xc2],       // mulx rax, rcx, rdx
        &[0xc5, 0xf8, 0x77],                   // vzeroupper
    ] {
        check(code, &exchange, code);
    }
}

#[test]
fn the_stack_pointer_is_r8_in_every_size() {
    let exchange = Exchange::new();
    check(&[0x48, 0x83, 0xec, 0x28], &exchange, &[0x49, 0x83, 0xe8, 0x28]); // sub rsp, 40
    check(&[0x89, 0xe5], &exchange, &[0x44, 0x89, 0xc5]); // mov ebp, esp
    check(&[0x66, 0x89, 0xe5], &exchange, &[0x66, 0x44, 0x89, 0xc5]); // mov bp, sp
    check(&[0x40, 0x88, 0xe0], &exchange, &[0x44, 0x88, 0xc0]); // mov al, spl
}

#[test]
fn registers_in_slots_pass_through_the_ones_given() {
    let exchange = Exchange::new().register(9, Register::R9).register(10, Register::R10).register(11, Register::RDI);
    check(&[0x4d, 0x01, 0xd1], &exchange, &[0x4d, 0x01, 0xd1]); // add r9, r10
    check(&[0x45, 0x00, 0xd9], &exchange, &[0x41, 0x00, 0xf9]); // add r9b, r11b
    check(&[0x44, 0x88, 0xd8], &exchange, &[0x40, 0x88, 0xf8]); // mov al, r11b
    assert_eq!(passed_from(64, &[0x4d, 0x01, 0xc1], &exchange), Err(NotPassed::NoRegister(Register::R8)));
}

#[test]
fn memory_operands_become_base_and_displacement() {
    let at = |base, displacement| Exchange::new().memory(base, displacement);
    let add = [0x64, 0x48, 0x03, 0x84, 0x99, 0x10, 0, 0, 0]; // add rax, fs:[rcx + rbx * 4 + 16]
    check(&add, &at(Register::R9, 0), &[0x49, 0x03, 0x01]);
    check(&add, &at(Register::R9, 127), &[0x49, 0x03, 0x41, 0x7f]);
    check(&add, &at(Register::R10, -129), &[0x49, 0x03, 0x82, 0x7f, 0xff, 0xff, 0xff]);
    check(&add, &at(Register::R12, 0), &[0x49, 0x03, 0x04, 0x24]);
    check(&add, &at(Register::R13, 0), &[0x49, 0x03, 0x45, 0x00]);
    check(&add, &at(Register::RSP, -8), &[0x48, 0x03, 0x44, 0x24, 0xf8]);
    // movzx eax, byte ptr [rsi]; cmp dword ptr [rip + 0x100], 5; movups xmm1, [rax]
    check(&[0x0f, 0xb6, 0x06], &at(Register::R9, 0), &[0x41, 0x0f, 0xb6, 0x01]);
    check(&[0x83, 0x3d, 0, 1, 0, 0, 5], &at(Register::R9, 0), &[0x41, 0x83, 0x39, 0x05]);
    check(&[0x0f, 0x10, 0x08], &at(Register::R9, 16), &[0x41, 0x0f, 0x10, 0x49, 0x10]);
    // vpaddd ymm1, ymm2, [rax]; vpshufb ymm1, ymm2, [r13 + 8]
    check(&[0xc5, 0xed, 0xfe, 0x08], &at(Register::R9, 0), &[0xc4, 0xc1, 0x6d, 0xfe, 0x09]);
    check(&[0xc4, 0xc2, 0x6d, 0x00, 0x4d, 0x08], &at(Register::R9, 0), &[0xc4, 0xc2, 0x6d, 0x00, 0x09]);
}

#[test]
fn memory_operands_stay_when_no_other_is_given() {
    let exchange = Exchange::new().register(9, Register::R10);
    // lea rax, [rsp + r9 * 8 + 0x20]; lea eax, [rdi + rdi * 2]
    check(&[0x4a, 0x8d, 0x44, 0xcc, 0x20], &exchange, &[0x4b, 0x8d, 0x44, 0xd0, 0x20]);
    check(&[0x8d, 0x04, 0x7f], &exchange, &[0x8d, 0x04, 0x7f]);
}

#[test]
fn locks_stay_and_meaningless_prefixes_go() {
    let exchange = Exchange::new().memory(Register::R9, 0);
    // lock cmpxchg [rdi], ecx; lock add byte ptr [rdi], 1; xrelease mov [rdi], eax
    check(&[0xf0, 0x0f, 0xb1, 0x0f], &exchange, &[0xf0, 0x41, 0x0f, 0xb1, 0x09]);
    check(&[0xf0, 0x80, 0x07, 1], &exchange, &[0xf0, 0x41, 0x80, 0x01, 1]);
    check(&[0xf3, 0x89, 0x07], &exchange, &[0x41, 0x89, 0x01]);
}

#[test]
fn absolute_addresses_get_a_base() {
    let exchange = Exchange::new().memory(Register::R9, 4);
    check(&[0xa1, 1, 2, 3, 4, 5, 6, 7, 8], &exchange, &[0x41, 0x8b, 0x41, 4]); // mov eax, [0x0807060504030201]
    check(&[0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8], &exchange, &[0x49, 0x89, 0x41, 4]);
    let moved = passed_from(32, &[0xa0, 1, 2, 3, 4], &exchange);
    assert_eq!(moved, Ok(vec![0x41, 0x8a, 0x41, 4]));
}

#[test]
fn instructions_of_16_and_32_bit_code_pass() {
    let exchange = Exchange::new().memory(Register::R9, 0);
    let cases: [(u32, &[u8], &[u8]); 7] = [
        (32, &[0x40], &[0xff, 0xc0]),                         // inc eax
        (32, &[0x66, 0x4c], &[0x66, 0x41, 0xff, 0xc8]),       // dec sp
        (16, &[0x40], &[0x66, 0xff, 0xc0]),                   // inc ax
        (16, &[0x01, 0xd8], &[0x66, 0x01, 0xd8]),             // add ax, bx
        (16, &[0x66, 0x01, 0xd8], &[0x01, 0xd8]),             // add eax, ebx
        (16, &[0x03, 0x47, 0x08], &[0x66, 0x41, 0x03, 0x01]), // add ax, [bx + 8]
        (32, &[0x82, 0xc4, 0x05], &[0x80, 0xc4, 0x05]),       // add ah, 5, by its second encoding
    ];
    for (bitness, guest, host) in cases {
        assert_eq!(passed_from(bitness, guest, &exchange).as_deref(), Ok(host));
    }
}

#[test]
fn high_bytes_are_refused_where_they_cannot_be() {
    let exchange = Exchange::new().memory(Register::R9, 0);
    // mov ah, [rdi]; add bh, cl
    assert_eq!(passed_from(64, &[0x8a, 0x27], &exchange), Err(NotPassed::HighByte(Register::AH)));
    check(&[0x00, 0xcf], &exchange, &[0x00, 0xcf]);
    // mov ah, [rdi], through a base that needs no prefix
    check(&[0x8a, 0x27], &Exchange::new().memory(Register::RDI, 0), &[0x8a, 0x27]);
    // The high byte of a register that moved where it has none.
    let moved = Exchange::new().register(3, Register::R9);
    assert_eq!(passed_from(64, &[0x00, 0xcf], &moved), Err(NotPassed::NoRegister(Register::BH)));
}

#[test]
fn what_means_something_else_on_the_host_is_refused() {
    let exchange = Exchange::new().memory(Register::R9, 0);
    assert_eq!(passed_from(64, &[0xeb, 0xfe], &exchange), Err(NotPassed::Meaning(Code::Jmp_rel8_64)));
    assert_eq!(passed_from(64, &[0x50], &exchange), Err(NotPassed::Meaning(Code::Push_r64)));
    assert_eq!(passed_from(64, &[0x0f, 0x09], &exchange), Err(NotPassed::Meaning(Code::Wbinvd)));
    // vpgatherdd xmm1, [rax + xmm2], xmm3
    assert_eq!(passed_from(64, &[0xc4, 0xe2, 0x61, 0x90, 0x0c, 0x10], &exchange), Err(NotPassed::Operand(1)));
    assert_eq!(passed_from(64, &[0xa4], &exchange), Err(NotPassed::Operand(0))); // movsb
    assert_eq!(passed_from(64, &[0x8c, 0xd8], &exchange), Err(NotPassed::NoRegister(Register::DS))); // mov eax, ds
    assert_eq!(passed_from(64, &[0x0f, 0xfe, 0xc1], &exchange), Err(NotPassed::NoRegister(Register::MM0)));
    assert_eq!(passed_from(32, &[0x27], &exchange), Err(NotPassed::Encoding(Code::Daa)));
}

#[test]
fn addresses_are_computed_with_the_hosts_registers() {
    let exchange = Exchange::new().register(9, Register::R10);
    let address = |bitness, guest: &[u8]| {
        let mut emitter = emitter();
        emitter.address(Register::R9, &decode(bitness, guest), &exchange).map(|()| emitter.code(Side::Hot).to_vec())
    };
    let cases: [(u32, &[u8], &[u8]); 6] = [
        (64, &[0x48, 0x8b, 0x44, 0x24, 0x08], &[0x4d, 0x8d, 0x48, 0x08]), // [rsp + 8]
        (64, &[0x64, 0x48, 0x8b, 0x07], &[0x4c, 0x8d, 0x0f]),             // fs:[rdi]
        (64, &[0x4b, 0x8b, 0x04, 0xcc], &[0x4f, 0x8d, 0x0c, 0xd4]),       // [r12 + r9 * 8]
        (64, &[0x67, 0x8b, 0x03], &[0x67, 0x4c, 0x8d, 0x0b]),             // [ebx]
        (32, &[0x8b, 0x83, 0, 0, 0, 0xf0], &[0x67, 0x4c, 0x8d, 0x8b, 0, 0, 0, 0xf0]), // [ebx + 0xf0000000]
        (32, &[0x8b, 0x1d, 0, 0, 0, 0xf0], &[0x67, 0x4c, 0x8d, 0x0c, 0x25, 0, 0, 0, 0xf0]), // [0xf0000000]
    ];
    for (bitness, guest, host) in cases {
        assert_eq!(address(bitness, guest).as_deref(), Ok(host), "{guest:02x?}");
    }
    assert!(address(16, &[0x8b, 0x47, 0x08]).is_err(), "16-bit addresses are not for lea");
}

/// Random instructions that mean something: prefixes, an opcode of some map, and random operands.
struct Instructions(u64);

impl Instructions {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> [u8; 24] {
        let starts: [&[u8]; 16] = [
            &[],
            &[0x48],
            &[0x4d],
            &[0x66],
            &[0x66, 0x43],
            &[0xf0],
            &[0x0f],
            &[0x66, 0x0f],
            &[0xf3, 0x0f],
            &[0xf2, 0x4c, 0x0f],
            &[0x0f, 0x38],
            &[0x66, 0x41, 0x0f, 0x38],
            &[0x66, 0x0f, 0x3a],
            &[0xc5],
            &[0xc4, 0xe2],
            &[0xc4, 0x43],
        ];
        let mut bytes = [0; 24];
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
        let start = starts[self.next() as usize % starts.len()];
        bytes[..start.len()].copy_from_slice(start);
        bytes
    }
}

/// Whether `host` is the guest's instruction with everything exchanged and nothing else changed.
#[track_caller]
fn assert_exchanged(guest: &Instruction, host: &Instruction, exchange: &Exchange, base: Register, displacement: u64) {
    assert_eq!(guest.mnemonic(), host.mnemonic(), "{guest:?} {host:?}");
    assert_eq!(guest.has_lock_prefix(), host.has_lock_prefix());
    assert_eq!(guest.op_count(), host.op_count());
    for operand in 0..guest.op_count() {
        let (was, is) = (guest.op_kind(operand), host.op_kind(operand));
        assert_eq!(was, is, "operand {operand}");
        match was {
            OpKind::Register => assert_eq!(exchange.host(guest.op_register(operand)), Some(host.op_register(operand))),
            OpKind::Memory => {
                assert_eq!(guest.memory_size(), host.memory_size());
                assert_eq!((host.memory_base(), host.memory_displacement64()), (base, displacement));
                assert_eq!((host.memory_index(), host.segment_prefix()), (Register::None, Register::None));
            }
            _ => assert_eq!(guest.immediate(operand), host.immediate(operand)),
        }
    }
}

/// Passes random instructions; returns of how many kinds some passed.
fn pass_random(seed: u64, bitness: u32) -> usize {
    let mut random = Instructions(seed);
    let mut passed = std::collections::BTreeSet::new();
    let displacements = [0, 8, -128, 128, i32::MAX, i32::MIN];
    for _ in 0..100_000 {
        let bytes = random.bytes();
        let guest = Decoder::with_ip(bitness, &bytes, 0, DecoderOptions::NONE).decode();
        let base = [Register::R9, Register::RSP, Register::RBP, Register::R13][random.next() as usize % 4];
        let displacement = displacements[random.next() as usize % displacements.len()];
        let exchange = Exchange::new()
            .register(8, Register::R9)
            .register(9, Register::R10)
            .register(10, Register::RSI)
            .register(11, Register::R14)
            .memory(base, displacement);
        let mut e = emitter();
        // A decoder's option decides whether those are prefetches.
        let reserved = guest.mnemonic() == Mnemonic::Reservednop;
        if guest.is_invalid() || reserved || e.pass(&guest, &exchange).is_err() {
            assert_eq!(e.code(Side::Hot), []);
            continue;
        }
        let host = decode(64, e.code(Side::Hot));
        assert_exchanged(&guest, &host, &exchange, base, i64::from(displacement) as u64);
        passed.insert(guest.code());
    }
    passed.len()
}

#[test]
fn random_instructions_keep_their_meaning() {
    assert!(pass_random(0x5eed_0001, 64) > 1000, "{}", pass_random(0x5eed_0001, 64));
    assert!(pass_random(0x5eed_0002, 32) > 800, "{}", pass_random(0x5eed_0002, 32));
    assert!(pass_random(0x5eed_0003, 16) > 800, "{}", pass_random(0x5eed_0003, 16));
}
