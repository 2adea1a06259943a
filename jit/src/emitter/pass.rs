//! Guest instructions as host instructions: encoded again, with registers and memory operand exchanged.

use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

use super::Emitter;
use crate::registers::{PLACES, Place};

/// Why an instruction was not passed through; nothing was emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPassed {
    /// It names one of `ah`, `ch`, `dh` and `bh`, which no instruction can together with a register numbered 8 or more.
    #[error("{0:?} cannot be encoded together with the new registers")]
    HighByte(Register),
    /// It names a register that has no host register.
    #[error("{0:?} has no host register")]
    NoRegister(Register),
    /// It jumps, uses the stack or is privileged.
    #[error("{0:?} means something else on the host")]
    Meaning(Code),
    /// It has an operand of a kind that means something else on the host: an implied or a vector of addresses.
    #[error("operand {0} cannot be exchanged")]
    Operand(u32),
    /// No 64-bit code has it.
    #[error("{0:?} cannot be encoded")]
    Encoding(Code),
}

/// What stands for the guest's registers and memory operand in a passed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    general: [Register; 16],
    memory: Option<(Register, i32)>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchange {
    /// The host registers of [`crate::registers`]; guest registers that live in slots have none yet, and a memory operand
    /// keeps its address, computed from the exchanged registers.
    pub const fn new() -> Self {
        let mut general = [Register::None; 16];
        let mut number = 0;
        while number < 16 {
            if let Place::Host(host) = PLACES[number] {
                general[number] = host;
            }
            number += 1;
        }
        Self { general, memory: None }
    }

    /// Lets a host register of 64 bits stand for a guest register, given by number.
    #[must_use]
    pub fn register(mut self, guest: usize, host: Register) -> Self {
        assert!(host.is_gpr64(), "{host:?} is no general-purpose register of 64 bits");
        self.general[guest] = host;
        self
    }

    /// Makes the memory operand `[base + displacement]`, without segment or index.
    #[must_use]
    pub fn memory(mut self, base: Register, displacement: i32) -> Self {
        assert!(base.is_gpr64(), "{base:?} is no general-purpose register of 64 bits");
        self.memory = Some((base, displacement));
        self
    }

    /// What stands for a register of any size and kind; the size stays. None if nothing does.
    pub fn host(&self, guest: Register) -> Option<Register> {
        if guest.is_xmm() || guest.is_ymm() {
            return (guest.number() < 16).then_some(guest);
        }
        if guest == Register::None || guest.is_st() {
            return Some(guest);
        }
        if !guest.is_gpr() {
            return None;
        }
        let full = self.general[guest.full_register().number()];
        if full == Register::None { None } else { resized(full, guest) }
    }
}

/// The part of a host register that a guest register is of its own full register.
fn resized(full: Register, like: Register) -> Option<Register> {
    let number = full as u32 - Register::RAX as u32;
    Some(match like.size() {
        8 => full,
        4 => Register::EAX + number,
        2 => Register::AX + number,
        _ if matches!(like, Register::AH | Register::CH | Register::DH | Register::BH) => {
            return (number < 4).then(|| Register::AH + number);
        }
        _ if number < 4 => Register::AL + number,
        _ => Register::SPL + (number - 4),
    })
}

impl Emitter {
    /// Emits a guest instruction with its registers and memory operand exchanged. On failure nothing is emitted.
    ///
    /// The instruction must do on the host what it does in the guest: implied operands (`mul`, `shl cl`) are the host's
    /// registers of the same name, and a memory operand must have been made harmless.
    pub fn pass(&mut self, insn: &Instruction, exchange: &Exchange) -> Result<(), NotPassed> {
        if insn.flow_control() != FlowControl::Next || insn.is_stack_instruction() || insn.is_privileged() {
            return Err(NotPassed::Meaning(insn.code()));
        }
        let mut host = *insn;
        for operand in 0..insn.op_count() {
            exchange_operand(&mut host, operand, exchange)?;
        }
        make_encodable(&mut host);
        self.encode(&host)
    }

    /// Emits `lea register, [...]` of a guest's memory operand without its segment, its registers exchanged.
    ///
    /// The address size is the operand's: one of 32 bits is zero-extended. None of 16 bits can be computed so.
    pub fn address(&mut self, register: Register, insn: &Instruction, exchange: &Exchange) -> Result<(), NotPassed> {
        let mut lea = Instruction::default();
        lea.set_code(Code::Lea_r64_m);
        lea.set_op0_register(register);
        lea.set_op1_kind(OpKind::Memory);
        lea.set_memory_base(insn.memory_base());
        lea.set_memory_index(insn.memory_index());
        lea.set_memory_index_scale(insn.memory_index_scale());
        lea.set_memory_displacement64(insn.memory_displacement64());
        lea.set_memory_displ_size(insn.memory_displ_size());
        exchange_address(&mut lea, exchange)?;
        self.encode(&lea)
    }

    /// Encodes an instruction as it is at the end of the active buffer.
    pub fn encode(&mut self, insn: &Instruction) -> Result<(), NotPassed> {
        let position = self.position();
        let code = std::mem::take(&mut self.active().code);
        let length = code.len();
        self.encoder.set_buffer(code);
        let encoded = self.encoder.encode(insn, position);
        self.active().code = self.encoder.take_buffer();
        if encoded.is_err() {
            self.active().code.truncate(length);
            return Err(why(insn));
        }
        Ok(())
    }
}

/// Exchanges one operand, which may be of any kind.
fn exchange_operand(insn: &mut Instruction, operand: u32, exchange: &Exchange) -> Result<(), NotPassed> {
    match insn.op_kind(operand) {
        OpKind::Register => {
            let guest = insn.op_register(operand);
            let host = exchange.host(guest).ok_or(NotPassed::NoRegister(guest))?;
            insn.set_op_register(operand, host);
            Ok(())
        }
        // A gather has as many addresses as its index has elements.
        OpKind::Memory if insn.memory_index().is_vector_register() => Err(NotPassed::Operand(operand)),
        OpKind::Memory => exchange_memory(insn, exchange),
        OpKind::Immediate8
        | OpKind::Immediate8_2nd
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Ok(()),
        OpKind::NearBranch16
        | OpKind::NearBranch32
        | OpKind::NearBranch64
        | OpKind::FarBranch16
        | OpKind::FarBranch32
        | OpKind::MemorySegSI
        | OpKind::MemorySegESI
        | OpKind::MemorySegRSI
        | OpKind::MemorySegDI
        | OpKind::MemorySegEDI
        | OpKind::MemorySegRDI
        | OpKind::MemoryESDI
        | OpKind::MemoryESEDI
        | OpKind::MemoryESRDI => Err(NotPassed::Operand(operand)),
    }
}

/// Exchanges the memory operand: by `[base + displacement]`, or register by register.
fn exchange_memory(insn: &mut Instruction, exchange: &Exchange) -> Result<(), NotPassed> {
    let Some((base, displacement)) = exchange.memory else { return exchange_address(insn, exchange) };
    insn.set_segment_prefix(Register::None);
    insn.set_memory_base(base);
    insn.set_memory_index(Register::None);
    insn.set_memory_index_scale(1);
    insn.set_memory_displacement64(i64::from(displacement) as u64);
    // 1 lets the encoder choose between one byte and four.
    insn.set_memory_displ_size(u32::from(displacement != 0));
    Ok(())
}

/// Exchanges the registers of an address, and drops the segment.
fn exchange_address(insn: &mut Instruction, exchange: &Exchange) -> Result<(), NotPassed> {
    let (base, index) = (insn.memory_base(), insn.memory_index());
    insn.set_segment_prefix(Register::None);
    insn.set_memory_base(exchange.host(base).ok_or(NotPassed::NoRegister(base))?);
    insn.set_memory_index(exchange.host(index).ok_or(NotPassed::NoRegister(index))?);
    Ok(())
}

/// Replaces encodings that 64-bit code lacks, or that cannot have the new operands, by others of the same instruction, and
/// drops prefixes that mean nothing.
fn make_encodable(insn: &mut Instruction) {
    insn.set_has_rep_prefix(false);
    insn.set_has_repne_prefix(false);
    let code = match insn.code() {
        Code::Inc_r16 => Code::Inc_rm16,
        Code::Inc_r32 => Code::Inc_rm32,
        Code::Dec_r16 => Code::Dec_rm16,
        Code::Dec_r32 => Code::Dec_rm32,
        Code::Mov_AL_moffs8 => Code::Mov_r8_rm8,
        Code::Mov_AX_moffs16 => Code::Mov_r16_rm16,
        Code::Mov_EAX_moffs32 => Code::Mov_r32_rm32,
        Code::Mov_RAX_moffs64 => Code::Mov_r64_rm64,
        Code::Mov_moffs8_AL => Code::Mov_rm8_r8,
        Code::Mov_moffs16_AX => Code::Mov_rm16_r16,
        Code::Mov_moffs32_EAX => Code::Mov_rm32_r32,
        Code::Mov_moffs64_RAX => Code::Mov_rm64_r64,
        Code::Add_rm8_imm8_82 => Code::Add_rm8_imm8,
        Code::Or_rm8_imm8_82 => Code::Or_rm8_imm8,
        Code::Adc_rm8_imm8_82 => Code::Adc_rm8_imm8,
        Code::Sbb_rm8_imm8_82 => Code::Sbb_rm8_imm8,
        Code::And_rm8_imm8_82 => Code::And_rm8_imm8,
        Code::Sub_rm8_imm8_82 => Code::Sub_rm8_imm8,
        Code::Xor_rm8_imm8_82 => Code::Xor_rm8_imm8,
        Code::Cmp_rm8_imm8_82 => Code::Cmp_rm8_imm8,
        _ => return,
    };
    insn.set_code(code);
}

/// Why the encoder refused an instruction.
#[cold]
fn why(insn: &Instruction) -> NotPassed {
    let high = [Register::AH, Register::CH, Register::DH, Register::BH];
    (0..insn.op_count())
        .filter(|operand| insn.op_kind(*operand) == OpKind::Register)
        .map(|operand| insn.op_register(operand))
        .find(|register| high.contains(register))
        .map_or(NotPassed::Encoding(insn.code()), NotPassed::HighByte)
}
