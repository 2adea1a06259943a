//! Which instructions sequences are made of, by family, and which they must never have.
//!
//! The list is not written out: it is every encoding the decoder library knows that 64-bit user mode
//! has with nothing newer than x86-64-v3, less those that reach outside the sandbox, tell processors apart,
//! or have results that the manuals leave open.

use std::sync::LazyLock;

use iced_x86::{
    Code, ConditionCode, CpuidFeature, Decoder, DecoderOptions, EncodingKind, FlowControl, Instruction, Mnemonic,
    OpCodeOperandKind, OpKind, Register,
};

use crate::level::has_v3;
use crate::memory::{CODE_BASE, code_page};

/// The families of instructions. Names follow the interpreter's files where there is such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// add, sub, adc, sbb, inc, dec, neg, cmp.
    Arith,
    /// and, or, xor, not, test.
    Logic,
    /// Shifts and rotates, by constants and by CL, single and double.
    Shift,
    /// mul, imul, div, idiv, sign extensions.
    Muldiv,
    /// Bit tests and scans, bswap, popcnt, crc32.
    Bit,
    /// String instructions, alone and repeated.
    String,
    /// push, pop, enter, leave, pushf, popf.
    Stack,
    /// Jumps, calls and returns, all forward.
    Control,
    /// mov and its relatives, lea, xlat, nops and fences.
    Move,
    /// setcc, cmovcc and the flag instructions.
    Conditional,
    /// xchg, xadd, cmpxchg and its wide forms.
    Exchange,
    /// x87, transcendental functions aside.
    X87,
    /// MMX, and the MMX forms of later extensions.
    Mmx,
    /// SSE.
    Sse,
    /// SSE2.
    Sse2,
    /// SSE3.
    Sse3,
    /// SSSE3.
    Ssse3,
    /// SSE4.1.
    Sse41,
    /// SSE4.2.
    Sse42,
    /// AES-NI and PCLMULQDQ.
    Crypto,
    /// fxsave, fxrstor, ldmxcsr, stmxcsr.
    State,
    /// BMI1, BMI2, lzcnt, movbe.
    Bmi,
    /// AVX, and the VEX forms of AES-NI and PCLMULQDQ.
    Avx,
    /// AVX2.
    Avx2,
    /// Masked moves and gathers.
    Masked,
    /// FMA.
    Fma,
    /// F16C.
    Half,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 27] = [
        Self::Arith,
        Self::Logic,
        Self::Shift,
        Self::Muldiv,
        Self::Bit,
        Self::String,
        Self::Stack,
        Self::Control,
        Self::Move,
        Self::Conditional,
        Self::Exchange,
        Self::X87,
        Self::Mmx,
        Self::Sse,
        Self::Sse2,
        Self::Sse3,
        Self::Ssse3,
        Self::Sse41,
        Self::Sse42,
        Self::Crypto,
        Self::State,
        Self::Bmi,
        Self::Avx,
        Self::Avx2,
        Self::Masked,
        Self::Fma,
        Self::Half,
    ];
    const V2: usize = 21;

    /// The families that the host's processor has.
    #[must_use]
    pub fn on_host() -> &'static [Self] {
        if has_v3() { &Self::ALL } else { &Self::ALL[..Self::V2] }
    }

    /// The families that only processors with all of x86-64-v3 have.
    #[must_use]
    pub fn newer() -> &'static [Self] {
        &Self::ALL[Self::V2..]
    }
}

/// Every eligible encoding, by family.
pub(super) struct Catalogue {
    families: Vec<Vec<Code>>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let mut families = vec![Vec::new(); Family::ALL.len()];
        for code in Code::values().filter(|&code| is_eligible(code)) {
            families[family_of(code) as usize].push(code);
        }
        Self { families }
    }

    pub(super) fn of(&self, family: Family) -> &[Code] {
        &self.families[family as usize]
    }
}

/// Decodes as the models do: they have no CET, MPX or CLDEMOTE, whose encodings are no-ops there.
pub(super) fn decode(code: &[u8], rip: u64) -> Instruction {
    Decoder::with_ip(64, code, rip, DecoderOptions::FORCE_RESERVED_NOP).decode()
}

/// Whether sequences may contain this encoding at all. Asked for every instruction, so the answers are kept.
fn is_eligible(code: Code) -> bool {
    static ANSWERS: LazyLock<Vec<bool>> = LazyLock::new(|| Code::values().map(decide_eligible).collect());
    ANSWERS[code as usize]
}

fn decide_eligible(code: Code) -> bool {
    let op_code = code.op_code();
    op_code.is_instruction()
        && op_code.mode64()
        && op_code.cpl3()
        && !op_code.must_be_cpl0()
        && !op_code.fwait()
        && op_code.intel_decoder64()
        && matches!(op_code.encoding(), EncodingKind::Legacy | EncodingKind::VEX)
        && code.cpuid_features().iter().all(|&feature| is_in_v2(feature) || has_v3() && is_in_v3(feature))
        && !op_code.op_kinds().iter().any(|&kind| names_a_segment(kind))
        && !reaches_outside(code)
        && !has_open_result(code)
        && !is_16_bit_branch(code)
}

fn is_in_v2(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(
        feature,
        F::INTEL8086
            | F::INTEL186
            | F::INTEL286
            | F::INTEL386
            | F::INTEL486
            | F::X64
            | F::CX8
            | F::CMOV
            | F::CMPXCHG16B
            | F::CLFSH
            | F::FPU
            | F::FPU287
            | F::FPU387
            | F::FXSR
            | F::MMX
            | F::MULTIBYTENOP
            | F::PAUSE
            | F::POPCNT
            | F::SSE
            | F::SSE2
            | F::SSE3
            | F::SSSE3
            | F::SSE4_1
            | F::SSE4_2
            | F::AES
            | F::PCLMULQDQ
    )
}

fn is_in_v3(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(feature, F::AVX | F::AVX2 | F::FMA | F::F16C | F::BMI1 | F::BMI2 | F::LZCNT | F::MOVBE)
}

fn names_a_segment(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind as K;
    matches!(kind, K::seg_reg | K::es | K::cs | K::ss | K::ds | K::fs | K::gs | K::farbr2_2 | K::farbr4_2)
}

/// Enters the kernel, changes segments or TF, or reads what the host's kernel or processor chose.
fn reaches_outside(code: Code) -> bool {
    use Mnemonic as M;
    let is_far = matches!(
        code,
        Code::Jmp_m1616 | Code::Jmp_m1632 | Code::Jmp_m1664 | Code::Call_m1616 | Code::Call_m1632 | Code::Call_m1664
    );
    is_far
        || matches!(
            code.mnemonic(),
            M::Syscall
                | M::Sysenter
                | M::Sysexit
                | M::Sysexitq
                | M::Int
                | M::Int1
                | M::Int3
                | M::Into
                | M::Iret
                | M::Iretd
                | M::Iretq
                | M::Retf
                | M::In
                | M::Out
                | M::Insb
                | M::Insw
                | M::Insd
                | M::Outsb
                | M::Outsw
                | M::Outsd
                | M::Cli
                | M::Sti
                | M::Popf
                | M::Popfd
                | M::Popfq
                | M::Lds
                | M::Les
                | M::Lss
                | M::Lfs
                | M::Lgs
                | M::Lar
                | M::Lsl
                | M::Verr
                | M::Verw
                | M::Sgdt
                | M::Sidt
                | M::Sldt
                | M::Str
                | M::Smsw
                | M::Cpuid
                | M::Rdtsc
                | M::Rdpmc
                | M::Rsm
                | M::Ud0
                | M::Ud1
        )
}

/// The manuals leave the result, not only flags, to the processor.
fn has_open_result(code: Code) -> bool {
    use Mnemonic as M;
    let open_encoding = matches!(code, Code::Bswap_r16 | Code::Shld_rm16_r16_CL | Code::Shrd_rm16_r16_CL);
    open_encoding
        || matches!(
            code.mnemonic(),
            M::Rcpps
                | M::Rcpss
                | M::Rsqrtps
                | M::Rsqrtss
                | M::Vrcpps
                | M::Vrcpss
                | M::Vrsqrtps
                | M::Vrsqrtss
                | M::Fsin
                | M::Fcos
                | M::Fsincos
                | M::Fptan
                | M::Fpatan
                | M::F2xm1
                | M::Fyl2x
                | M::Fyl2xp1
        )
}

/// With an operand-size prefix in 64-bit mode, Intel's and AMD's processors disagree.
fn is_16_bit_branch(code: Code) -> bool {
    let op_code = code.op_code();
    let is_branch = !matches!(code.flow_control(), FlowControl::Next | FlowControl::Exception);
    is_branch && op_code.operand_size() == 16
}

fn family_of(code: Code) -> Family {
    let features = code.cpuid_features();
    let has = |feature| features.contains(&feature);
    if BMI.iter().any(|&feature| has(feature)) {
        Family::Bmi
    } else if has(CpuidFeature::AVX) || has(CpuidFeature::AVX2) {
        avx_family(code)
    } else if has(CpuidFeature::FXSR) || matches!(code.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr) {
        Family::State
    } else if has(CpuidFeature::AES) || has(CpuidFeature::PCLMULQDQ) {
        Family::Crypto
    } else if is_x87(features) || code.mnemonic() == Mnemonic::Fisttp {
        Family::X87
    } else if is_mmx(code) {
        Family::Mmx
    } else {
        vector_family(features).unwrap_or_else(|| integer_family(code))
    }
}

const BMI: [CpuidFeature; 4] = [CpuidFeature::BMI1, CpuidFeature::BMI2, CpuidFeature::LZCNT, CpuidFeature::MOVBE];

fn avx_family(code: Code) -> Family {
    use OpCodeOperandKind as K;
    let op_code = code.op_code();
    let gathers = [K::mem_vsib32x, K::mem_vsib32y, K::mem_vsib64x, K::mem_vsib64y];
    let is_gather = op_code.op_kinds().iter().any(|kind| gathers.contains(kind));
    if is_gather || is_masked_move(code.mnemonic()) {
        Family::Masked
    } else if code.cpuid_features().contains(&CpuidFeature::AVX2) {
        Family::Avx2
    } else {
        Family::Avx
    }
}

fn is_masked_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Vmaskmovdqu, Vmaskmovpd, Vmaskmovps, Vpmaskmovd, Vpmaskmovq};
    matches!(mnemonic, Vmaskmovdqu | Vmaskmovpd | Vmaskmovps | Vpmaskmovd | Vpmaskmovq)
}

fn is_x87(features: &[CpuidFeature]) -> bool {
    use CpuidFeature::{FPU, FPU287, FPU387};
    features.iter().any(|feature| matches!(feature, FPU | FPU287 | FPU387))
}

fn is_mmx(code: Code) -> bool {
    use OpCodeOperandKind as K;
    let kinds = code.op_code().op_kinds();
    code.cpuid_features().contains(&CpuidFeature::MMX)
        || kinds.iter().any(|kind| matches!(kind, K::mm_reg | K::mm_rm | K::mm_or_mem))
}

fn vector_family(features: &[CpuidFeature]) -> Option<Family> {
    features.iter().find_map(|feature| match feature {
        CpuidFeature::SSE => Some(Family::Sse),
        CpuidFeature::SSE2 => Some(Family::Sse2),
        CpuidFeature::SSE3 => Some(Family::Sse3),
        CpuidFeature::SSSE3 => Some(Family::Ssse3),
        CpuidFeature::SSE4_1 => Some(Family::Sse41),
        CpuidFeature::SSE4_2 => Some(Family::Sse42),
        CpuidFeature::FMA => Some(Family::Fma),
        CpuidFeature::F16C => Some(Family::Half),
        _ => None,
    })
}

fn integer_family(code: Code) -> Family {
    use Mnemonic as M;
    let mnemonic = code.mnemonic();
    if code.flow_control() != FlowControl::Next {
        return Family::Control;
    }
    if code.op_code().op_kinds().iter().any(|&kind| is_string_operand(kind)) {
        return Family::String;
    }
    match mnemonic {
        M::Add | M::Sub | M::Adc | M::Sbb | M::Inc | M::Dec | M::Neg | M::Cmp => Family::Arith,
        M::And | M::Or | M::Xor | M::Not | M::Test => Family::Logic,
        M::Shl | M::Sal | M::Shr | M::Sar | M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shld | M::Shrd => Family::Shift,
        M::Mul | M::Imul | M::Div | M::Idiv | M::Cbw | M::Cwde | M::Cdqe | M::Cwd | M::Cdq | M::Cqo => Family::Muldiv,
        M::Bt | M::Bts | M::Btr | M::Btc | M::Bsf | M::Bsr | M::Bswap | M::Popcnt | M::Crc32 => Family::Bit,
        M::Push | M::Pop | M::Enter | M::Leave | M::Pushf | M::Pushfq => Family::Stack,
        M::Xchg | M::Xadd | M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b => Family::Exchange,
        M::Clc | M::Stc | M::Cmc | M::Cld | M::Std | M::Lahf | M::Sahf => Family::Conditional,
        _ if code.condition_code() != ConditionCode::None => Family::Conditional,
        _ => Family::Move,
    }
}

fn is_string_operand(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind as K;
    matches!(kind, K::seg_rSI | K::es_rDI)
}

/// Whether a decoded instruction may stand in a sequence; `bytes` are the bytes it was decoded from.
///
/// One that no processor has (#UD) may; one that only newer processors than the models have may not.
pub(super) fn is_allowed_instruction(instruction: &Instruction, bytes: &[u8]) -> bool {
    if !is_harmless(bytes) {
        return false;
    }
    if instruction.is_invalid() {
        return true;
    }
    if instruction.len() != bytes.len() {
        return false;
    }
    let code = instruction.code();
    let branches = !matches!(instruction.flow_control(), FlowControl::Next | FlowControl::Exception);
    let tells_processors_apart = branches && bytes[..bytes.len() - 1].contains(&0x66)
        || instruction.has_xacquire_prefix()
        || instruction.has_xrelease_prefix()
        || has_open_operands(instruction);
    let uses_thread_base = matches!(instruction.segment_prefix(), Register::FS | Register::GS);
    is_allowed_code(code) && !tells_processors_apart && !uses_thread_base
}

fn is_allowed_code(code: Code) -> bool {
    code.mnemonic() == Mnemonic::Reservednop
        || code.mnemonic() == Mnemonic::Wait
        || matches!(code, Code::Popfq)
        || is_eligible(code)
}

/// The operands make the result one that the manuals leave open.
fn has_open_operands(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        // A count beyond the operand's size.
        Mnemonic::Shld | Mnemonic::Shrd => {
            let is_16_bit = matches!(instruction.code(), Code::Shld_rm16_r16_imm8 | Code::Shrd_rm16_r16_imm8);
            is_16_bit && instruction.immediate8() & 31 > 16
        }
        // Reserved bits of the predicate.
        Mnemonic::Cmpps | Mnemonic::Cmppd | Mnemonic::Cmpss | Mnemonic::Cmpsd => {
            instruction.op_count() == 3 && instruction.op_kind(2) == OpKind::Immediate8 && instruction.immediate8() > 7
        }
        Mnemonic::Vcmpps | Mnemonic::Vcmppd | Mnemonic::Vcmpss | Mnemonic::Vcmpsd => instruction.immediate8() > 31,
        _ => false,
    }
}

/// No way into the kernel or to a hypervisor, and no write of FS or GS base, at whatever byte execution starts.
fn is_harmless(bytes: &[u8]) -> bool {
    let enters_kernel = bytes.windows(2).any(|pair| matches!(pair, [0x0f, 0x05 | 0x34] | [0xcd, _]));
    let writes_base = bytes.windows(3).any(|three| matches!(three, [0x0f, 0xae, 0xd0..=0xdf]));
    // VMCALL and its relatives: what they raise depends on what the host runs under.
    let calls_hypervisor = bytes.windows(3).any(|three| matches!(three, [0x0f, 0x01, 0xc0..=0xff]));
    !enters_kernel && !writes_base && !calls_hypervisor
}

/// Whether a sequence is fit for the sandbox: nothing but allowed instructions, whose jumps go forward to another
/// instruction or to the end, and nothing that enters the kernel even when entered in the middle.
#[must_use]
pub fn is_allowed(code: &[u8]) -> bool {
    // What follows the sequence belongs to an instruction that is cut short.
    let page = code_page(code);
    let end = code.len() as u64;
    let (mut starts, mut targets) = (vec![end], Vec::new());
    let mut at = 0;
    while at < code.len() {
        let instruction = decode(&page[at..], CODE_BASE + at as u64);
        starts.push(at as u64);
        if instruction.is_invalid() {
            // #UD for certain: what follows does not run unless something jumps there.
            return is_harmless(code) && targets.iter().all(|target| starts.contains(target));
        }
        let next = at + instruction.len();
        if next > code.len() || !is_allowed_instruction(&instruction, &code[at..next]) {
            return false;
        }
        if instruction.near_branch_target() != 0 {
            let target = instruction.near_branch_target().wrapping_sub(CODE_BASE);
            if target <= at as u64 {
                return false;
            }
            targets.push(target);
        }
        at = next;
    }
    is_harmless(code) && targets.iter().all(|target| starts.contains(target))
}
