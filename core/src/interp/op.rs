//! A decoded instruction, and how one is made.
//!
//! Decoding resolves once what execution would otherwise ask each time: which handler, which registers, how the address
//! is computed. Nothing in an [`Op`] depends on where the instruction lies: displacements and branch targets are
//! relative, so blocks can be keyed by physical address.

use super::exec::{Exec, Trap};
use crate::cpu::{Model, reg, seg};
use iced_x86::{Instruction, OpKind, Register};

/// Executes one instruction. RIP is that of the next one already; on `Err` nothing architectural has changed but what
/// the manual says, and RIP is put back.
pub(crate) type Handler = fn(&mut Exec<'_>, &Op) -> Result<(), Trap>;

/// A decoded instruction.
#[derive(Clone, Copy)]
pub(crate) struct Op {
    /// What executes it.
    pub run: Handler,
    /// Immediate (sign-extended), branch displacement, or whatever the handler's family put here.
    pub imm: u64,
    /// Displacement of the memory operand; relative to the next instruction if `base` is RIP.
    pub disp: i32,
    /// Base register of the memory operand, or [`reg::ZERO`].
    pub base: u8,
    /// Index register, or [`reg::ZERO`].
    pub index: u8,
    /// log2 of the index's scale.
    pub scale: u8,
    /// Segment register number of the memory operand.
    pub seg: u8,
    /// First register operand; byte registers by [`byte_register`].
    pub reg: u8,
    /// Second register operand.
    pub rm: u8,
    /// Third register operand.
    pub third: u8,
    /// Bytes of the instruction.
    pub len: u8,
    /// Bytes of an address: 2, 4 or 8.
    pub address_size: u8,
    /// Bytes of an operand, for handlers that serve several sizes.
    pub size: u8,
    /// Bits of [`flag`].
    pub flags: u8,
}

/// Bits of [`Op::flags`].
pub(crate) mod flag {
    /// The instruction ends a block: it transfers control, or may change how the next one is decoded or interrupted.
    pub(crate) const ENDS_BLOCK: u8 = 1;
    /// REP or REPE.
    pub(crate) const REP: u8 = 2;
    /// REPNE.
    pub(crate) const REPNE: u8 = 4;
    /// The memory operand's linear address is the plain 64-bit sum: no segment base, no limit, nothing to cut off.
    pub(crate) const FLAT: u8 = 8;
}

/// Marks AH, CH, DH and BH among byte registers.
pub(crate) const HIGH_BYTE: u8 = 0x40;

/// What a family needs to know to make an [`Op`].
pub(crate) struct Lowering<'a> {
    /// The instruction, decoded at address 0.
    pub insn: &'a Instruction,
    /// 16, 32 or 64.
    pub bitness: u32,
    /// Which features exist.
    pub model: &'static Model,
}

impl Lowering<'_> {
    /// An op with its memory operand filled in and no registers.
    pub(crate) fn op(&self, run: Handler) -> Op {
        let insn = self.insn;
        let rip_relative = insn.is_ip_rel_memory_operand();
        let displacement = insn.memory_displacement64();
        let mut op = Op {
            run,
            imm: 0,
            disp: displacement as i32,
            base: number(insn.memory_base()),
            index: number(insn.memory_index()),
            scale: insn.memory_index_scale().trailing_zeros() as u8,
            seg: self.segment(),
            reg: reg::ZERO,
            rm: reg::ZERO,
            third: reg::ZERO,
            len: insn.len() as u8,
            address_size: self.address_size(),
            size: 0,
            flags: 0,
        };
        if self.bitness == 64 && op.address_size == 8 && usize::from(op.seg) < seg::FS {
            op.flags |= flag::FLAT;
        }
        if rip_relative {
            op.base = reg::RIP;
            op.disp = displacement.wrapping_sub(insn.next_ip()) as i32;
        }
        op
    }

    /// In 64-bit code the prefixes for ES, CS, SS and DS say nothing.
    fn segment(&self) -> u8 {
        let insn = self.insn;
        let ignored = matches!(insn.segment_prefix(), Register::ES | Register::CS | Register::SS | Register::DS);
        if self.bitness < 64 || !ignored {
            return segment(insn.memory_segment());
        }
        let stack = matches!(insn.memory_base(), Register::RSP | Register::RBP | Register::ESP | Register::EBP);
        if stack { seg::SS as u8 } else { seg::DS as u8 }
    }

    fn address_size(&self) -> u8 {
        let insn = self.insn;
        let register = if insn.memory_base() != Register::None { insn.memory_base() } else { insn.memory_index() };
        match register {
            Register::None => self.string_address_size(),
            register => register.size() as u8,
        }
    }

    /// Bytes of an address without registers: by the operand's kind, or by the displacement's encoding.
    fn string_address_size(&self) -> u8 {
        let insn = self.insn;
        let by_kind = (0..insn.op_count()).find_map(|i| match insn.op_kind(i) {
            OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => Some(2),
            OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => Some(4),
            OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => Some(8),
            OpKind::Memory if insn.memory_displ_size() != 0 => Some(insn.memory_displ_size().clamp(2, 8) as u8),
            _ => None,
        });
        by_kind.unwrap_or((self.bitness / 8) as u8)
    }

    /// Register number of operand `index`, by its class's own numbering.
    pub(crate) fn register(&self, index: u32) -> u8 {
        number(self.insn.op_register(index))
    }

    /// Whether operand `index` is a register.
    pub(crate) fn is_register(&self, index: u32) -> bool {
        self.insn.op_kind(index) == OpKind::Register
    }

    /// Whether operand `index` is memory addressed by ModRM or an absolute offset.
    pub(crate) fn is_memory(&self, index: u32) -> bool {
        self.insn.op_kind(index) == OpKind::Memory
    }

    /// Whether operand `index` is an immediate.
    pub(crate) fn is_immediate(&self, index: u32) -> bool {
        !self.is_register(index) && self.insn.op_kind(index) != OpKind::Memory && self.insn.op_count() > index && {
            use OpKind::{
                Immediate8, Immediate8_2nd, Immediate8to16, Immediate8to32, Immediate8to64, Immediate16, Immediate32,
                Immediate32to64, Immediate64,
            };
            matches!(
                self.insn.op_kind(index),
                Immediate8
                    | Immediate8_2nd
                    | Immediate8to16
                    | Immediate8to32
                    | Immediate8to64
                    | Immediate16
                    | Immediate32
                    | Immediate32to64
                    | Immediate64
            )
        }
    }

    /// Immediate operand `index`, sign-extended as the instruction says.
    pub(crate) fn immediate(&self, index: u32) -> u64 {
        self.insn.immediate(index)
    }

    /// Bytes of operand `index`: of the register, or of the memory operand.
    pub(crate) fn operand_size(&self, index: u32) -> usize {
        match self.insn.op_kind(index) {
            OpKind::Register => self.insn.op_register(index).size(),
            _ => self.insn.memory_size().size(),
        }
    }

    /// Displacement of a near branch, relative to the next instruction.
    pub(crate) fn branch(&self) -> u64 {
        self.insn.near_branch_target().wrapping_sub(self.insn.next_ip())
    }

    /// Flags for the repeat prefixes.
    pub(crate) fn repeat(&self) -> u8 {
        match (self.insn.has_rep_prefix() || self.insn.has_repe_prefix(), self.insn.has_repne_prefix()) {
            (true, _) => flag::REP,
            (false, true) => flag::REPNE,
            (false, false) => 0,
        }
    }
}

/// The number of a register in its class; AH to BH marked by [`HIGH_BYTE`]; none is [`reg::ZERO`].
fn number(register: Register) -> u8 {
    match register {
        Register::None | Register::RIP | Register::EIP => reg::ZERO,
        Register::AH => HIGH_BYTE,
        Register::CH => HIGH_BYTE | 1,
        Register::DH => HIGH_BYTE | 2,
        Register::BH => HIGH_BYTE | 3,
        register if register.is_gpr() => register.full_register().number() as u8,
        register => register.number() as u8,
    }
}

fn segment(register: Register) -> u8 {
    match register {
        Register::ES => seg::ES as u8,
        Register::CS => seg::CS as u8,
        Register::SS => seg::SS as u8,
        Register::FS => seg::FS as u8,
        Register::GS => seg::GS as u8,
        _ => seg::DS as u8,
    }
}
