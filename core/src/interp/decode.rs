//! From bytes to [`Op`]s.

use super::blocks::BLOCK_LIMIT;
use super::exec::{Exec, Outcome};
use super::families;
use super::op::{Lowering, Op, flag};
use super::paging::Access;
use crate::cpu::{Exception, reg};
use crate::memory::PAGE_SIZE;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic};

/// Longest instruction.
pub(super) const LONGEST: usize = 15;

impl Exec<'_> {
    /// Decodes the block at an offset of RAM: its ops, and how many bytes they came from. Empty if the first
    /// instruction goes on in the next page.
    pub(crate) fn decode_block(&self, offset: u64) -> (Vec<Op>, u64) {
        let len = (PAGE_SIZE - offset % PAGE_SIZE) as usize;
        let Some(bytes) = self.board.ram.slice(offset, len) else { return (Vec::new(), 0) };
        let mut decoder = Decoder::new(self.bitness(), bytes, DecoderOptions::FORCE_RESERVED_NOP);
        let mut ops = Vec::new();
        let mut insn = Instruction::default();
        while ops.len() < BLOCK_LIMIT && decoder.can_decode() {
            let before = decoder.position();
            decoder.decode_out(&mut insn);
            if decoder.last_error() == DecoderError::NoMoreBytes && bytes.len() - before < LONGEST {
                return (ops, before as u64);
            }
            let op = self.lower(&insn);
            ops.push(op);
            if op.flags & flag::ENDS_BLOCK != 0 {
                break;
            }
        }
        let used = decoder.position() as u64;
        (ops, used)
    }

    /// Decodes the one instruction at a linear address, from wherever it lies.
    pub(crate) fn decode_uncached(&mut self, linear: u64) -> Outcome<Op> {
        let mut bytes = [0; LONGEST];
        let in_page = ((PAGE_SIZE - linear % PAGE_SIZE) as usize).min(LONGEST);
        let privilege = self.fetch_privilege();
        let first = self.physical(linear, Access::Fetch, privilege)?;
        self.peek_physical(first, &mut bytes[..in_page]);
        let mut known = in_page;
        if in_page < LONGEST && self.needs_more(&bytes[..in_page]) {
            let next = linear.wrapping_add(in_page as u64);
            let next = if self.is_64bit { next } else { next & 0xffff_ffff };
            let second = self.physical(next, Access::Fetch, privilege)?;
            self.peek_physical(second, &mut bytes[in_page..]);
            known = LONGEST;
        }
        let mut insn = Instruction::default();
        Decoder::new(self.bitness(), &bytes[..known], DecoderOptions::FORCE_RESERVED_NOP).decode_out(&mut insn);
        Ok(self.lower(&insn))
    }

    fn needs_more(&self, bytes: &[u8]) -> bool {
        let mut decoder = Decoder::new(self.bitness(), bytes, DecoderOptions::FORCE_RESERVED_NOP);
        let _ = decoder.decode();
        decoder.last_error() == DecoderError::NoMoreBytes
    }

    /// Instruction bytes at a physical address; devices are not disturbed.
    fn peek_physical(&self, physical: u64, bytes: &mut [u8]) {
        let ram = self.board.ram_offset(physical).and_then(|offset| self.board.ram.slice(offset, bytes.len()));
        match ram {
            Some(found) => bytes.copy_from_slice(found),
            None => bytes.fill(0xff),
        }
    }

    fn lower(&self, insn: &Instruction) -> Op {
        let lowering = Lowering { insn, bitness: self.bitness(), model: self.model };
        // A processor without TZCNT and LZCNT ignores their prefix and executes BSF and BSR.
        let prefixed = matches!(insn.mnemonic(), Mnemonic::Tzcnt | Mnemonic::Lzcnt);
        if insn.is_invalid() && insn.len() == LONGEST {
            return Op { run: raise_too_long, ..undefined(&lowering) };
        }
        if insn.is_invalid() || (!prefixed && !self.model.has_all(insn.cpuid_features())) {
            return undefined(&lowering);
        }
        families::lower(&lowering).unwrap_or_else(|| undefined(&lowering))
    }
}

/// An instruction that does not exist raises #UD.
fn undefined(lowering: &Lowering<'_>) -> Op {
    let op = Op {
        run: raise_undefined,
        imm: 0,
        disp: 0,
        base: reg::ZERO,
        index: reg::ZERO,
        scale: 0,
        seg: 0,
        reg: reg::ZERO,
        rm: reg::ZERO,
        third: reg::ZERO,
        len: 0,
        address_size: 8,
        size: 0,
        flags: flag::ENDS_BLOCK,
    };
    Op { len: lowering.insn.len() as u8, ..op }
}

fn raise_undefined(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.raise(Exception::ud())
}

/// An instruction of more than 15 bytes raises #GP(0) (SDM vol. 3, 6.15, "Interrupt 13").
fn raise_too_long(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.raise(Exception::gp(0))
}
