//! Operands for an encoding: registers by what they are for, memory mostly in the data area.

use std::ops::Range;

use iced_x86::{Code, Encoder, Instruction, Mnemonic, OpCodeOperandKind, OpKind, Register};

use super::random::Random;
use super::start::{ENVIRONMENT_OFFSET, INDICES_32, INDICES_64, Role, integer};
use crate::memory::{DATA_BASE, DATA_LEN};

/// Makes instructions out of encodings, for a sequence whose registers have these roles.
pub(super) struct Operands<'a> {
    pub(super) random: &'a mut Random,
    pub(super) roles: &'a [Role; 16],
}

impl Operands<'_> {
    /// The bytes of an instruction with that encoding at `rip`, or none if the operands drawn do not go together.
    pub(super) fn encode(&mut self, code: Code, rip: u64) -> Option<Vec<u8>> {
        let mut instruction = Instruction::new();
        instruction.set_code(code);
        let op_code = code.op_code();
        for operand in 0..op_code.op_count() {
            let kind = op_code.op_kind(operand);
            self.fill(&mut instruction, operand, kind, rip)?;
        }
        self.choose_prefixes(&mut instruction);
        encode(&instruction, rip)
    }

    fn choose_prefixes(&mut self, instruction: &mut Instruction) {
        let op_code = instruction.code().op_code();
        let to_memory = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
        if op_code.can_use_lock_prefix() && to_memory {
            instruction.set_has_lock_prefix(self.random.percent(25));
        }
        if op_code.can_use_rep_prefix() {
            instruction.set_has_rep_prefix(self.random.percent(50));
        }
        if op_code.can_use_repne_prefix() && !instruction.has_rep_prefix() {
            instruction.set_has_repne_prefix(self.random.percent(50));
        }
    }

    fn fill(&mut self, instruction: &mut Instruction, operand: u32, kind: OpCodeOperandKind, rip: u64) -> Option<()> {
        use OpCodeOperandKind as K;
        if let Some(register) = self.register(kind, operand == 0) {
            instruction.set_op_kind(operand, OpKind::Register);
            instruction.set_op_register(operand, register);
            return Some(());
        }
        match kind {
            K::mem | K::mem_offs => self.memory(instruction, operand, kind),
            K::r8_or_mem
            | K::r16_or_mem
            | K::r32_or_mem
            | K::r64_or_mem
            | K::mm_or_mem
            | K::xmm_or_mem
            | K::ymm_or_mem => self.memory(instruction, operand, kind),
            K::mem_vsib32x => self.scattered(instruction, operand, Register::XMM0, INDICES_32),
            K::mem_vsib64x => self.scattered(instruction, operand, Register::XMM0, INDICES_64),
            K::mem_vsib32y => self.scattered(instruction, operand, Register::YMM0, INDICES_32),
            K::mem_vsib64y => self.scattered(instruction, operand, Register::YMM0, INDICES_64),
            K::seg_rSI | K::es_rDI | K::seg_rDI | K::seg_rBX_al => {
                self.implicit_memory(instruction, operand, kind);
            }
            K::br64_1 | K::br64_4 => {
                // The jump's target is patched when the sequence is laid out.
                instruction.set_op_kind(operand, OpKind::NearBranch64);
                instruction.set_near_branch64(rip);
            }
            _ => self.immediate(instruction, operand, kind)?,
        }
        Some(())
    }

    /// The register for an operand that is one, or that is one or memory and is to be the former.
    fn register(&mut self, kind: OpCodeOperandKind, is_written: bool) -> Option<Register> {
        use OpCodeOperandKind as K;
        let or_memory = matches!(
            kind,
            K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem | K::mm_or_mem | K::xmm_or_mem | K::ymm_or_mem
        );
        if or_memory && self.random.percent(55) {
            return None;
        }
        match kind {
            K::r8_or_mem | K::r8_reg | K::r8_opcode => Some(self.general_8()),
            K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => {
                Some(Register::AX + self.general(is_written))
            }
            K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode | K::r32_vvvv => {
                Some(Register::EAX + self.general(is_written))
            }
            K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode | K::r64_vvvv => {
                Some(Register::RAX + self.general(is_written))
            }
            K::mm_or_mem | K::mm_reg | K::mm_rm => Some(Register::MM0 + self.below(8)),
            K::xmm_or_mem | K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmm_is4 => Some(Register::XMM0 + self.below(16)),
            K::ymm_or_mem | K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_is4 => Some(Register::YMM0 + self.below(16)),
            K::al => Some(Register::AL),
            K::cl => Some(Register::CL),
            K::ax => Some(Register::AX),
            K::dx => Some(Register::DX),
            K::eax => Some(Register::EAX),
            K::rax => Some(Register::RAX),
            K::st0 => Some(Register::ST0),
            K::sti_opcode => Some(Register::ST0 + self.below(8)),
            _ => None,
        }
    }

    fn below(&mut self, bound: u64) -> u32 {
        self.random.below(bound) as u32
    }

    /// A general register's number; pointers and indices are seldom written, or soon every access would fault.
    fn general(&mut self, is_written: bool) -> u32 {
        let drawn = self.below(16);
        if is_written && self.roles[drawn as usize] != Role::Value && self.random.percent(85) {
            return self.with_role(Role::Value);
        }
        drawn
    }

    fn general_8(&mut self) -> Register {
        const LEGACY: [Register; 8] = [
            Register::AL,
            Register::CL,
            Register::DL,
            Register::BL,
            Register::AH,
            Register::CH,
            Register::DH,
            Register::BH,
        ];
        if self.random.percent(60) { self.random.pick(&LEGACY) } else { Register::SPL + self.below(12) }
    }

    /// Some register of that role; rax stands in where there is none.
    fn with_role(&mut self, role: Role) -> u32 {
        let first = self.below(16);
        let found = (0..16).map(|step| (first + step) % 16).find(|&register| self.roles[register as usize] == role);
        found.unwrap_or(0)
    }

    fn implicit_memory(&mut self, instruction: &mut Instruction, operand: u32, kind: OpCodeOperandKind) {
        use OpCodeOperandKind as K;
        let op_kind = match kind {
            K::es_rDI => OpKind::MemoryESRDI,
            K::seg_rSI => OpKind::MemorySegRSI,
            K::seg_rDI => OpKind::MemorySegRDI,
            _ => {
                instruction.set_memory_base(Register::RBX);
                instruction.set_memory_index(Register::AL);
                OpKind::Memory
            }
        };
        instruction.set_op_kind(operand, op_kind);
    }

    fn memory(&mut self, instruction: &mut Instruction, operand: u32, kind: OpCodeOperandKind) {
        instruction.set_op_kind(operand, OpKind::Memory);
        if kind == OpCodeOperandKind::mem_offs {
            self.absolute(instruction, 8);
        } else if keeps_environment(instruction.code()) {
            self.environment(instruction);
        } else {
            match self.random.below(100) {
                0..74 => self.based(instruction, Register::RAX),
                74..80 => self.based(instruction, Register::EAX),
                80..90 => self.rip_relative(instruction),
                90..95 => self.absolute(instruction, 4),
                95..98 => self.near_an_end(instruction),
                _ => self.wild(instruction),
            }
        }
    }

    /// `[base + vector * scale + displacement]`, or without a base.
    fn scattered(&mut self, instruction: &mut Instruction, operand: u32, first: Register, indices: Range<usize>) {
        instruction.set_op_kind(operand, OpKind::Memory);
        let any = self.below(16);
        let index = if self.random.percent(95) { indices.start as u32 + any % indices.len() as u32 } else { any };
        instruction.set_memory_index(first + index);
        instruction.set_memory_index_scale(1 << self.below(4));
        if self.random.percent(6) {
            let len = self.random.pick(&[4, 8]);
            return self.absolute(instruction, len);
        }
        let pointer = self.with_role(Role::Pointer);
        let base = if self.random.percent(94) { Register::RAX } else { Register::EAX };
        instruction.set_memory_base(base + pointer);
        if self.random.percent(30) {
            instruction.set_memory_displacement64(self.random.below(64));
            instruction.set_memory_displ_size(1);
        }
    }

    /// `[base + index * scale + displacement]` in registers of that size (its first one is named).
    fn based(&mut self, instruction: &mut Instruction, first: Register) {
        let pointer = self.with_role(Role::Pointer);
        instruction.set_memory_base(first + pointer);
        // Most 16-byte operands must be aligned, which an index would spoil.
        let is_wide = instruction.code().op_code().memory_size().size() == 16;
        if self.random.percent(if is_wide { 2 } else { 25 }) {
            let index = self.with_role(Role::Index);
            if self.roles[index as usize] == Role::Index {
                instruction.set_memory_index(first + index);
                instruction.set_memory_index_scale(1 << self.below(4));
            }
        }
        let displacement = match self.random.below(10) {
            0..3 => return,
            3..9 => self.random.below(16).wrapping_sub(8).wrapping_mul(16),
            _ if is_wide => return,
            _ => self.random.below(0x1000).wrapping_sub(0x800),
        };
        instruction.set_memory_displacement64(displacement);
        instruction.set_memory_displ_size(if first == Register::RAX { 8 } else { 4 });
    }

    fn data_address(&mut self) -> u64 {
        let offset = self.random.below(ENVIRONMENT_OFFSET as u64 - 64);
        let aligned = if self.random.percent(90) { !15 } else { !0 };
        DATA_BASE + (offset & aligned)
    }

    fn rip_relative(&mut self, instruction: &mut Instruction) {
        instruction.set_memory_base(Register::RIP);
        let address = self.data_address();
        instruction.set_memory_displacement64(address);
        instruction.set_memory_displ_size(8);
    }

    fn absolute(&mut self, instruction: &mut Instruction, len: u32) {
        let address = self.data_address();
        instruction.set_memory_displacement64(address);
        instruction.set_memory_displ_size(if len == 8 { 8 } else { 4 });
    }

    fn near_an_end(&mut self, instruction: &mut Instruction) {
        let end = self.random.pick(&[DATA_BASE, DATA_BASE + DATA_LEN as u64]);
        let address = end.wrapping_add(self.random.below(40)).wrapping_sub(32);
        instruction.set_memory_base(Register::RIP);
        instruction.set_memory_displacement64(address);
        instruction.set_memory_displ_size(8);
    }

    /// A base that points nowhere: page faults, general-protection and stack faults.
    fn wild(&mut self, instruction: &mut Instruction) {
        let base = self.below(16);
        instruction.set_memory_base(Register::RAX + base);
    }

    /// Now and then misaligned, which FXSAVE and FXRSTOR refuse.
    fn environment(&mut self, instruction: &mut Instruction) {
        let within = match instruction.mnemonic() {
            Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr => 24,
            _ => 0,
        };
        let misaligned = if self.random.percent(4) { 8 } else { 0 };
        let address = DATA_BASE + ENVIRONMENT_OFFSET as u64 + within + misaligned;
        instruction.set_memory_base(Register::RIP);
        instruction.set_memory_displacement64(address);
        instruction.set_memory_displ_size(8);
    }

    fn immediate(&mut self, instruction: &mut Instruction, operand: u32, kind: OpCodeOperandKind) -> Option<()> {
        use OpCodeOperandKind as K;
        let value = integer(self.random);
        let op_kind = match kind {
            K::imm8 | K::imm8_const_1 if is_second_of_enter(instruction, operand) => {
                instruction.set_op_kind(operand, OpKind::Immediate8_2nd);
                instruction.set_immediate8_2nd(value as u8);
                return Some(());
            }
            K::imm8 | K::imm8_const_1 => OpKind::Immediate8,
            K::imm8sex16 => OpKind::Immediate8to16,
            K::imm8sex32 => OpKind::Immediate8to32,
            K::imm8sex64 => OpKind::Immediate8to64,
            K::imm16 => OpKind::Immediate16,
            K::imm32 => OpKind::Immediate32,
            K::imm32sex64 => OpKind::Immediate32to64,
            K::imm64 => OpKind::Immediate64,
            _ => return None,
        };
        instruction.set_op_kind(operand, op_kind);
        let value = limited(instruction, kind, value);
        match op_kind {
            OpKind::Immediate8 => instruction.set_immediate8(value as u8),
            OpKind::Immediate8to16 => instruction.set_immediate8to16(i16::from(value as i8)),
            OpKind::Immediate8to32 => instruction.set_immediate8to32(i32::from(value as i8)),
            OpKind::Immediate8to64 => instruction.set_immediate8to64(i64::from(value as i8)),
            OpKind::Immediate16 => instruction.set_immediate16(value as u16),
            OpKind::Immediate32 => instruction.set_immediate32(value as u32),
            OpKind::Immediate32to64 => instruction.set_immediate32to64(i64::from(value as i32)),
            _ => instruction.set_immediate64(value),
        }
        Some(())
    }
}

/// Keeps an immediate to what the manuals define, and stack frames to the data area.
fn limited(instruction: &Instruction, kind: OpCodeOperandKind, value: u64) -> u64 {
    use Mnemonic as M;
    if kind == OpCodeOperandKind::imm8_const_1 {
        return 1;
    }
    match instruction.mnemonic() {
        M::Cmpps | M::Cmppd | M::Cmpss | M::Cmpsd => value & 7,
        M::Vcmpps | M::Vcmppd | M::Vcmpss | M::Vcmpsd => value & 31,
        M::Shld | M::Shrd if instruction.op0_kind() == OpKind::Register => value & 15,
        M::Shld | M::Shrd => value & 0x8f,
        M::Enter | M::Ret => value & 0xff,
        _ => value,
    }
}

fn is_second_of_enter(instruction: &Instruction, operand: u32) -> bool {
    instruction.mnemonic() == Mnemonic::Enter && operand == 1
}

/// Instructions whose memory operand is an x87 environment, an FXSAVE image or an MXCSR.
pub(super) fn keeps_environment(code: Code) -> bool {
    use Mnemonic as M;
    matches!(
        code.mnemonic(),
        M::Fnstenv
            | M::Fldenv
            | M::Fnsave
            | M::Frstor
            | M::Fxsave
            | M::Fxsave64
            | M::Fxrstor
            | M::Fxrstor64
            | M::Ldmxcsr
            | M::Vldmxcsr
    )
}

/// The bytes of an instruction at `rip`, if it has any.
pub(super) fn encode(instruction: &Instruction, rip: u64) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(64);
    encoder.encode(instruction, rip).ok()?;
    Some(encoder.take_buffer())
}
