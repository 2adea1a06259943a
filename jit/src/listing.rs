//! Translated code to be looked at: which host code a guest instruction became.

use crate::emitter::{Emitter, Side};
use crate::enter::Thunks;
use crate::translate::plan::Plan;
use crate::translate::translate;
use crate::variant::Variant;
use iced_x86::Instruction;
use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, Model};
use reprise_core::engine::HostCode;
use reprise_core::memory::PAGE_SIZE;

/// Where listed hot code would lie.
pub const HOT: u64 = 0x1000_0000;
/// Where listed cold code would lie.
pub const COLD: u64 = 0x2000_0000;
/// Where the leave thunk would be.
pub const LEAVE: u64 = 0x0f00_0000;
/// Where the thunk that loads flags would be.
pub const LOAD_FLAGS: u64 = 0x0f00_1000;

/// A guest instruction and its host code.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The instruction.
    pub guest: Instruction,
    /// Address of its hot code.
    pub address: u64,
    /// Its hot code; of the last instruction, with the block's end.
    pub hot: Vec<u8>,
    /// Its cold code.
    pub cold: Vec<u8>,
}

/// Translates the block at the beginning of a page of 64-bit code. Empty if its first instruction is the interpreter's.
pub fn list(code: &[u8], model: &Model) -> Vec<Listed> {
    let mut page = code.to_vec();
    page.resize(PAGE_SIZE as usize, 0);
    list_block(&page, 0, Variant::usual(model), model)
}

/// Translates the block at `within` in a page.
fn list_block(page: &[u8], within: u16, variant: Variant, model: &Model) -> Vec<Listed> {
    let plan = Plan::new(page, within, variant, model);
    if plan.native() == 0 {
        return Vec::new();
    }
    let mut emitter = Emitter::new();
    emitter.start_at(HOT, COLD);
    let thunks = Thunks { leave: LEAVE, load_flags: LOAD_FLAGS, switch: LEAVE };
    translate(&plan, &mut emitter, thunks, 0, true);
    listed(&plan, &emitter)
}

/// The code for the block that `cpu` executes next, which is at `offset` in RAM.
pub(crate) fn describe(cpu: &CpuState, board: &Board, offset: u64, variant: Variant, model: &Model) -> Vec<HostCode> {
    let (start, within) = (offset & !(PAGE_SIZE - 1), offset % PAGE_SIZE);
    let Some(page) = board.ram.slice(start, PAGE_SIZE as usize) else { return Vec::new() };
    let first = cpu.regs.rip().wrapping_sub(within);
    let block = list_block(page, within as u16, variant, model).into_iter();
    block.map(|one| HostCode { rip: first.wrapping_add(one.guest.ip()), usual: one.hot, rare: one.cold }).collect()
}

fn listed(plan: &Plan, emitter: &Emitter) -> Vec<Listed> {
    let (hot, cold) = (emitter.code(Side::Hot), emitter.code(Side::Cold));
    let starts = emitter.instructions();
    let ends = starts.iter().skip(1).copied().chain([[hot.len(), cold.len()]]);
    let instructions = plan.insns.iter().zip(starts.iter().zip(ends));
    let listed = instructions.map(|(planned, (start, end))| Listed {
        guest: planned.insn,
        address: HOT + start[0] as u64,
        hot: hot[start[0]..end[0]].to_vec(),
        cold: cold[start[1]..end[1]].to_vec(),
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_byte_is_left_alone_beside_a_register_that_needs_a_prefix() {
        let model = Model::find(Model::DEFAULT).expect("the default model exists");
        // movzx esp, ch: the guest's rsp is r8
        assert!(list(&[0x0f, 0xb6, 0xe5], model).is_empty());
        // movzx eax, ch
        assert!(!list(&[0x0f, 0xb6, 0xc5], model).is_empty());
    }
}
