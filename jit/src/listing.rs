//! Translated code to be looked at: which host code a guest instruction became.

use crate::emitter::{Emitter, Side};
use crate::enter::Thunks;
use crate::translate::plan::Plan;
use crate::translate::translate;
use crate::variant::Variant;
use iced_x86::Instruction;
use reprise_core::cpu::Model;
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
    let plan = Plan::new(&page, 0, Variant::USUAL, model);
    if plan.native() == 0 {
        return Vec::new();
    }
    let mut emitter = Emitter::new();
    emitter.start_at(HOT, COLD);
    let thunks = Thunks { leave: LEAVE, load_flags: LOAD_FLAGS };
    translate(&plan, Variant::USUAL, &mut emitter, thunks, 0);
    listed(&plan, &emitter)
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
