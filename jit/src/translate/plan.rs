//! What a block's instructions are to the translator, before any code is emitted.

use super::slots::slot_operands;
use super::{control, exchange, string, system, x87};
use crate::variant::Variant;
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderError, DecoderOptions, EncodingKind, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register, RflagsBits,
};
use reprise_core::cpu::Model;

/// Longest block, in instructions.
pub(crate) const BLOCK_LIMIT: usize = 64;
/// Longest instruction.
const LONGEST: usize = 15;

/// How an instruction is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// As it is, with registers and memory operand exchanged.
    Pass,
    /// Nothing to do.
    Nop,
    Lea,
    Push,
    Pop,
    Leave,
    Shift,
    Multiply,
    Divide,
    BitScan,
    /// BMI1 and LZCNT, with flags that the manuals leave undefined.
    Bits,
    /// A move of what a mask enables.
    Masked,
    Call,
    CallIndirect,
    Return,
    Jump,
    JumpIf,
    JumpIndirect,
    JumpByCount,
    BitString,
    Exchange,
    String,
    System,
    /// By the host's x87 unit.
    X87,
    /// By the interpreter.
    Interpret,
}

/// Which of the six status flags an instruction sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sets {
    None,
    /// Some, or all under a condition.
    Some,
    All,
}

/// The access to the memory operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub size: u8,
    pub write: bool,
    /// An address that is no multiple of the size faults.
    pub aligned: bool,
}

/// An instruction of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// Decoded at its offset in the page.
    pub insn: Instruction,
    pub class: Class,
    pub access: Option<Access>,
    /// The general-purpose registers that it writes, a bit each.
    pub writes: u16,
    pub sets: Sets,
    pub reads_flags: bool,
    /// Someone looks at the flags after it before all are set again: an instruction, or whoever looks when native code
    /// leaves.
    pub live: bool,
}

impl Planned {
    /// Offset in the page.
    pub(crate) fn at(&self) -> u16 {
        self.insn.ip() as u16
    }

    /// Native code may leave before it.
    fn may_leave(&self) -> bool {
        self.access.is_some()
            || !matches!(self.class, Class::Pass | Class::Multiply | Class::Bits | Class::Nop | Class::Lea)
    }

    pub(crate) fn ends_block(&self) -> bool {
        use Class::{Call, CallIndirect, Interpret, Jump, JumpByCount, JumpIf, JumpIndirect, Return};
        matches!(self.class, Call | CallIndirect | Return | Jump | JumpIf | JumpByCount | JumpIndirect | Interpret)
    }
}

/// A block to be translated.
#[derive(Debug)]
pub(crate) struct Plan {
    pub insns: Vec<Planned>,
    /// Bytes that it was made from.
    pub bytes: u64,
    /// An instruction goes on in the next page: the one that follows, or the only one.
    pub meets_end: bool,
}

impl Plan {
    /// Plans the block at an offset of a page. A first instruction that goes on in the next page is the interpreter's.
    pub(crate) fn new(page: &[u8], offset: u16, variant: Variant, model: &Model) -> Self {
        let bytes = &page[usize::from(offset)..];
        let options = DecoderOptions::FORCE_RESERVED_NOP;
        let mut decoder = Decoder::with_ip(variant.bitness(), bytes, u64::from(offset), options);
        let mut factory = InstructionInfoFactory::new();
        let mut insns: Vec<Planned> = Vec::with_capacity(16);
        let mut used = 0;
        let mut meets_end = false;
        while insns.len() < BLOCK_LIMIT && decoder.can_decode() {
            let before = decoder.position();
            let insn = decoder.decode();
            let crosses = decoder.last_error() == DecoderError::NoMoreBytes && bytes.len() - before < LONGEST;
            if crosses && !insns.is_empty() {
                meets_end = true;
                break;
            }
            let mut planned = plan(insn, variant, model, &mut factory);
            if crosses {
                planned.class = Class::Interpret;
                meets_end = true;
            }
            insns.push(planned);
            used = decoder.position();
            if planned.ends_block() {
                break;
            }
        }
        mark_live(&mut insns);
        let all = insns.len();
        end_at_undefined(&mut insns);
        let meets_end = meets_end && insns.len() == all;
        Self { insns, bytes: used as u64, meets_end }
    }

    /// Leaves the first instruction to the interpreter that is at one of these offsets of the page, where there are
    /// breakpoints.
    pub(crate) fn leave_at(mut self, breakpoints: &[u16]) -> Self {
        if let Some(at) = self.insns.iter().position(|planned| breakpoints.contains(&planned.at())) {
            end_at(&mut self.insns, at);
            self.meets_end = false;
        }
        self
    }

    /// Plans the one instruction at an offset of a page that goes on in the page `next`.
    pub(crate) fn crossing(page: &[u8], offset: u16, next: &[u8], variant: Variant, model: &Model) -> Self {
        let mut bytes = page[usize::from(offset)..].to_vec();
        bytes.extend(next.iter().take(LONGEST));
        let options = DecoderOptions::FORCE_RESERVED_NOP;
        let mut decoder = Decoder::with_ip(variant.bitness(), &bytes, u64::from(offset), options);
        let planned = plan(decoder.decode(), variant, model, &mut InstructionInfoFactory::new());
        let mut insns = vec![planned];
        end_at_undefined(&mut insns);
        Self { insns, bytes: decoder.position() as u64, meets_end: false }
    }

    /// Whether its only instruction goes on in the next page.
    pub(crate) fn is_crossing(&self) -> bool {
        self.meets_end && self.native() == 0
    }

    /// Instructions that run natively.
    pub(crate) fn native(&self) -> usize {
        self.insns.len() - usize::from(self.insns.last().is_some_and(|last| last.class == Class::Interpret))
    }
}

/// Finds out after which instructions the flags matter, from the end: what follows a block may look at them.
fn mark_live(insns: &mut [Planned]) {
    let mut live = true;
    for planned in insns.iter_mut().rev() {
        planned.live = live;
        live = (live && planned.sets != Sets::All) || planned.reads_flags || planned.may_leave();
    }
}

/// Leaves to the interpreter the first double shift or rotation whose undefined flags anyone would see.
fn end_at_undefined(insns: &mut Vec<Planned>) {
    let undefined = |planned: &Planned| {
        let passed = planned.class == Class::Pass && planned.live;
        passed
            && match planned.insn.mnemonic() {
                Mnemonic::Shld | Mnemonic::Shrd => shift_count(&planned.insn) > 1,
                Mnemonic::Rol | Mnemonic::Ror => planned.insn.op1_kind() == OpKind::Register,
                _ => false,
            }
    };
    if let Some(at) = insns.iter().position(undefined) {
        end_at(insns, at);
    }
}

/// Leaves an instruction to the interpreter.
fn end_at(insns: &mut Vec<Planned>, at: usize) {
    insns.truncate(at + 1);
    let last = &mut insns[at];
    (last.class, last.access, last.sets, last.reads_flags) = (Class::Interpret, None, Sets::None, false);
    mark_live(insns);
}

fn plan(mut insn: Instruction, variant: Variant, model: &Model, factory: &mut InstructionInfoFactory) -> Planned {
    // Prefixes that processors without TZCNT and LZCNT ignore.
    match insn.mnemonic() {
        Mnemonic::Tzcnt if !model.has(CpuidFeature::BMI1) => as_bit_scan(&mut insn),
        Mnemonic::Lzcnt if !model.has(CpuidFeature::LZCNT) => as_bit_scan(&mut insn),
        _ => {}
    }
    // There is one thread, so everything is atomic.
    insn.set_has_lock_prefix(insn.has_lock_prefix() && insn.is_invalid());
    let class = classify(&insn, variant, model);
    let (access, writes) = used(&insn, class, factory);
    Planned {
        class,
        access,
        writes,
        sets: sets(&insn, class),
        reads_flags: insn.rflags_read() & STATUS != 0 && class != Class::Interpret,
        live: true,
        insn,
    }
}

fn as_bit_scan(insn: &mut Instruction) {
    insn.set_code(match insn.code() {
        Code::Tzcnt_r16_rm16 => Code::Bsf_r16_rm16,
        Code::Tzcnt_r32_rm32 => Code::Bsf_r32_rm32,
        Code::Tzcnt_r64_rm64 => Code::Bsf_r64_rm64,
        Code::Lzcnt_r16_rm16 => Code::Bsr_r16_rm16,
        Code::Lzcnt_r32_rm32 => Code::Bsr_r32_rm32,
        Code::Lzcnt_r64_rm64 => Code::Bsr_r64_rm64,
        other => other,
    });
}

/// The status flags, as iced numbers them.
pub(crate) const STATUS: u32 =
    RflagsBits::CF | RflagsBits::PF | RflagsBits::AF | RflagsBits::ZF | RflagsBits::SF | RflagsBits::OF;

/// Which flags an instruction sets; what the manuals leave undefined is answered in [`reprise_core::cpu::undefined`].
fn sets(insn: &Instruction, class: Class) -> Sets {
    use Mnemonic as M;
    if class == Class::Interpret {
        return Sets::None;
    }
    let modified = insn.rflags_modified() & STATUS;
    let by_count = insn.op_count() > 1 && insn.op_kind(insn.op_count() - 1) == OpKind::Register;
    match insn.mnemonic() {
        // Unchanged, we say.
        M::Div | M::Idiv => Sets::None,
        M::Bt | M::Bts | M::Btr | M::Btc => Sets::Some,
        M::Rol | M::Ror | M::Rcl | M::Rcr => Sets::Some,
        // By zero they are the interpreter's, if anyone looks at the flags.
        M::Shl | M::Sal | M::Shr | M::Sar if by_count => Sets::All,
        M::Shl | M::Sal | M::Shr | M::Sar | M::Shld | M::Shrd if shift_count(insn) == 0 => Sets::None,
        _ if modified == 0 => Sets::None,
        _ if modified == STATUS => Sets::All,
        _ => Sets::Some,
    }
}

/// The count of a shift by an immediate, as the processor masks it.
pub(super) fn shift_count(insn: &Instruction) -> u64 {
    let mask = if insn.op0_kind() == OpKind::Register { insn.op0_register().size() } else { insn.memory_size().size() };
    insn.immediate(insn.op_count() - 1) & if mask == 8 { 63 } else { 31 }
}

/// Bytes of an operand: of the register, or of the memory operand.
pub(super) fn operand_size(insn: &Instruction, operand: u32) -> u8 {
    match insn.op_kind(operand) {
        OpKind::Register => insn.op_register(operand).size() as u8,
        _ => insn.memory_size().size() as u8,
    }
}

/// The access to the memory operand, and the general-purpose registers that are written.
fn used(insn: &Instruction, class: Class, factory: &mut InstructionInfoFactory) -> (Option<Access>, u16) {
    if class == Class::Interpret {
        return (None, 0);
    }
    let info = factory.info(insn);
    let written = info
        .used_registers()
        .iter()
        .filter(|used| used.register().is_gpr() && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
        .fold(0, |mask, used| mask | 1 << used.register().full_register().number());
    let memory = (0..insn.op_count()).find(|&operand| insn.op_kind(operand) == OpKind::Memory);
    let Some(memory) = memory.filter(|_| !matches!(class, Class::Nop | Class::Lea)) else { return (None, written) };
    let size = insn.memory_size().size() as u8;
    let read = [OpAccess::Read, OpAccess::CondRead, OpAccess::None, OpAccess::NoMemAccess];
    let write = !read.contains(&info.op_access(memory));
    (Some(Access { size, write, aligned: size >= 16 && must_be_aligned(insn) }), written)
}

/// Legacy SSE instructions fault unless 16 bytes are aligned (SDM vol. 1, 4.1.1 Alignment of Words...), but for a few; of
/// those with a VEX prefix only a few do (SDM vol. 1, 14.9 Memory Alignment).
fn must_be_aligned(insn: &Instruction) -> bool {
    use Mnemonic::{Lddqu, Movdqu, Movupd, Movups, Pcmpestri, Pcmpestrm, Pcmpistri, Pcmpistrm};
    use Mnemonic::{Vmovapd, Vmovaps, Vmovdqa, Vmovntdq, Vmovntdqa, Vmovntpd, Vmovntps};
    if insn.encoding() == EncodingKind::VEX {
        let aligned = [Vmovaps, Vmovapd, Vmovdqa, Vmovntps, Vmovntpd, Vmovntdq, Vmovntdqa];
        return aligned.contains(&insn.mnemonic());
    }
    let unaligned = [Movups, Movupd, Movdqu, Lddqu, Pcmpestri, Pcmpestrm, Pcmpistri, Pcmpistrm];
    !unaligned.contains(&insn.mnemonic())
}

fn classify(insn: &Instruction, variant: Variant, model: &Model) -> Class {
    if insn.is_invalid() || !model.has_all(insn.cpuid_features()) || variant.bitness() != 64 {
        return Class::Interpret;
    }
    if high_byte_with_high_register(insn) || insn.is_ip_rel_memory_operand() && displacement(insn).is_none() {
        return Class::Interpret;
    }
    by_family(insn, variant)
        .or_else(|| by_mnemonic(insn))
        .or_else(|| x87::is_native(insn, variant).then_some(Class::X87))
        .or_else(|| bits(insn, variant))
        .or_else(|| vector(insn, variant))
        .filter(|&class| !is_executed(class) || few_slots(insn))
        .unwrap_or(Class::Interpret)
}

/// Whether the instruction itself is executed by the host.
fn is_executed(class: Class) -> bool {
    matches!(class, Class::Pass | Class::Shift | Class::Multiply | Class::Bits | Class::Masked)
}

/// Displacement of a RIP-relative operand from the start of the page.
pub(crate) fn displacement(insn: &Instruction) -> Option<i32> {
    i32::try_from(insn.memory_displacement64() as i64).ok()
}

/// AH to BH cannot be encoded together with the registers that addresses are in, nor with the one that is the guest's RSP.
fn high_byte_with_high_register(insn: &Instruction) -> bool {
    let stack = registers(insn).any(|register| register.full_register() == Register::RSP);
    (has_memory(insn) || stack) && registers(insn).any(is_high_byte)
}

pub(crate) fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}

/// The register operands.
pub(crate) fn registers(insn: &Instruction) -> impl Iterator<Item = Register> + '_ {
    (0..insn.op_count()).filter(|&op| insn.op_kind(op) == OpKind::Register).map(|op| insn.op_register(op))
}

/// Whether the guest's register lives in memory.
pub(crate) fn in_slot(register: Register) -> bool {
    register.is_gpr() && (8..12).contains(&register.full_register().number())
}

/// There are scratch registers enough for the operands that live in memory.
fn few_slots(insn: &Instruction) -> bool {
    let mut slots: Vec<usize> = registers(insn).filter(|&r| in_slot(r)).map(|r| r.full_register().number()).collect();
    slots.sort_unstable();
    slots.dedup();
    slots.len() + usize::from(has_memory(insn)) <= 2 || slot_operands(insn).is_some()
}

pub(crate) fn has_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|operand| insn.op_kind(operand) == OpKind::Memory)
}

/// Families that know themselves what they translate.
fn by_family(insn: &Instruction, variant: Variant) -> Option<Class> {
    if string::is_native(insn) {
        Some(Class::String)
    } else if system::is_native(insn, variant) {
        Some(Class::System)
    } else if exchange::is_bit_string(insn) {
        Some(Class::BitString)
    } else if exchange::is_exchange(insn) {
        Some(Class::Exchange)
    } else if control::counts_natively(insn) {
        Some(Class::JumpByCount)
    } else {
        None
    }
}

fn by_mnemonic(insn: &Instruction) -> Option<Class> {
    use Mnemonic as M;
    let general = registers(insn).all(Register::is_gpr);
    let high = registers(insn).any(is_high_byte);
    let size = if insn.op_count() > 0 && insn.op0_kind() == OpKind::Register {
        insn.op0_register().size()
    } else {
        insn.memory_size().size()
    };
    let class = match insn.mnemonic() {
        M::Mov if general => Class::Pass,
        M::Movzx | M::Movsx | M::Movsxd | M::Add | M::Adc | M::Sub | M::Sbb | M::Cmp | M::And | M::Or | M::Xor => {
            Class::Pass
        }
        M::Test | M::Inc | M::Dec | M::Neg | M::Not | M::Rol | M::Ror => Class::Pass,
        M::Shl | M::Sal | M::Shr | M::Sar if !high => Class::Shift,
        M::Rcl | M::Rcr if insn.op1_kind() != OpKind::Register && insn.immediate(1) == 1 => Class::Pass,
        M::Shld | M::Shrd if size > 2 && insn.op2_kind() != OpKind::Register => Class::Pass,
        M::Mul | M::Imul if !high => Class::Multiply,
        M::Div | M::Idiv if size >= 4 => Class::Divide,
        M::Bt | M::Bts | M::Btr | M::Btc
            if insn.op0_kind() == OpKind::Register || insn.op1_kind() != OpKind::Register =>
        {
            Class::Pass
        }
        M::Bswap if size >= 4 => Class::Pass,
        M::Bsf | M::Bsr if size >= 4 => Class::BitScan,
        M::Seto | M::Setno | M::Setb | M::Setae | M::Sete | M::Setne | M::Setbe | M::Seta | M::Sets | M::Setns => {
            Class::Pass
        }
        M::Setp | M::Setnp | M::Setl | M::Setge | M::Setle | M::Setg => Class::Pass,
        M::Cmovo | M::Cmovno | M::Cmovb | M::Cmovae | M::Cmove | M::Cmovne | M::Cmovbe | M::Cmova => Class::Pass,
        M::Cmovs | M::Cmovns | M::Cmovp | M::Cmovnp | M::Cmovl | M::Cmovge | M::Cmovle | M::Cmovg => Class::Pass,
        M::Xchg | M::Xadd | M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b => Class::Pass,
        M::Cbw | M::Cwde | M::Cdqe | M::Cwd | M::Cdq | M::Cqo => Class::Pass,
        M::Clc | M::Stc | M::Cmc | M::Lahf | M::Sahf => Class::Pass,
        M::Popcnt | M::Crc32 | M::Movnti => Class::Pass,
        M::Nop | M::Reservednop | M::Endbr64 | M::Endbr32 | M::Lfence | M::Mfence | M::Sfence => Class::Nop,
        M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 | M::Prefetchnta | M::Prefetchw | M::Prefetch => Class::Nop,
        M::Lea => Class::Lea,
        M::Push if pushes(insn) => Class::Push,
        M::Pop if pops(insn) => Class::Pop,
        M::Leave if insn.code() == Code::Leaveq => Class::Leave,
        M::Call if insn.code() == Code::Call_rel32_64 => Class::Call,
        M::Call if insn.code() == Code::Call_rm64 => Class::CallIndirect,
        M::Ret if matches!(insn.code(), Code::Retnq | Code::Retnq_imm16) => Class::Return,
        M::Jmp if matches!(insn.code(), Code::Jmp_rel8_64 | Code::Jmp_rel32_64) => Class::Jump,
        M::Jmp if insn.code() == Code::Jmp_rm64 => Class::JumpIndirect,
        _ if insn.is_jcc_short_or_near() && insn.op0_kind() == OpKind::NearBranch64 => Class::JumpIf,
        _ => return None,
    };
    Some(class)
}

fn pushes(insn: &Instruction) -> bool {
    matches!(insn.code(), Code::Push_r64 | Code::Push_rm64 | Code::Pushq_imm8 | Code::Pushq_imm32)
}

/// An address by RSP is one after the pop.
fn pops(insn: &Instruction) -> bool {
    let by_stack = insn.op0_kind() == OpKind::Memory
        && [insn.memory_base(), insn.memory_index()].iter().any(|r| r.full_register() == Register::RSP);
    matches!(insn.code(), Code::Pop_r64 | Code::Pop_rm64) && !by_stack
}

/// BMI1, BMI2, LZCNT and MOVBE. What they leave of the flags undefined is computed.
fn bits(insn: &Instruction, variant: Variant) -> Option<Class> {
    use Mnemonic as M;
    let class = match insn.mnemonic() {
        M::Andn | M::Bextr | M::Blsi | M::Blsmsk | M::Blsr | M::Bzhi | M::Tzcnt | M::Lzcnt => Class::Bits,
        M::Mulx | M::Pdep | M::Pext | M::Rorx | M::Sarx | M::Shlx | M::Shrx | M::Movbe => Class::Pass,
        _ => return None,
    };
    variant.has_bits().then_some(class)
}

/// How a vector instruction is translated that does on every host what the interpreter does.
fn vector(insn: &Instruction, variant: Variant) -> Option<Class> {
    let implied = (0..insn.op_count()).any(|op| {
        let kind = insn.op_kind(op);
        !matches!(kind, OpKind::Register | OpKind::Memory | OpKind::Immediate8)
    });
    let gathers = insn.memory_index().is_vector_register();
    let registers_known = registers(insn).all(|r| r.is_xmm() || r.is_ymm() || r.is_gpr());
    let ready = if insn.encoding() == EncodingKind::VEX { variant.has_avx() } else { variant.has_sse() };
    let passed = ready && insn.cpuid_features().iter().all(is_vector_feature) && registers_known;
    if !passed || implied || gathers || is_own(insn.mnemonic()) {
        return None;
    }
    use Mnemonic::{Vmaskmovpd, Vmaskmovps, Vpmaskmovd, Vpmaskmovq};
    let masked = matches!(insn.mnemonic(), Vmaskmovps | Vmaskmovpd | Vpmaskmovd | Vpmaskmovq);
    Some(if masked { Class::Masked } else { Class::Pass })
}

fn is_vector_feature(feature: &CpuidFeature) -> bool {
    use CpuidFeature as F;
    let sse = matches!(feature, F::SSE | F::SSE2 | F::SSE3 | F::SSSE3 | F::SSE4_1 | F::SSE4_2 | F::AES | F::PCLMULQDQ);
    sse || matches!(feature, F::AVX | F::AVX2 | F::FMA | F::F16C)
}

/// Approximations differ between makers of processors; sums of products are rounded in an order of their own; who writes
/// MXCSR may unmask exceptions.
fn is_own(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    let legacy = matches!(
        mnemonic,
        M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss | M::Dpps | M::Dppd | M::Ldmxcsr | M::Stmxcsr | M::Clflush
    );
    let vex = matches!(
        mnemonic,
        M::Vrcpps | M::Vrcpss | M::Vrsqrtps | M::Vrsqrtss | M::Vdpps | M::Vdppd | M::Vldmxcsr | M::Vstmxcsr
    );
    legacy || vex
}
