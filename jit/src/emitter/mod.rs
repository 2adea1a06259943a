//! Appends host code: two buffers, one for each area of the [code memory](crate::code_memory), at known addresses.
//!
//! Glue is written with `dynasm!(e; .arch x64; ...)` on an [`Emitter`]; guest instructions are [passed](Emitter::pass)
//! through with registers and memory operand exchanged. Jumps have displacements of 32 bits, so that code may be copied
//! to its place and patched there; where the target is near and known to stay, [short](Emitter::jump_short_if) ones.

mod jumps;
mod pass;

pub use jumps::{Condition, Jump, ShortJump};
pub use pass::{Exchange, NotPassed};

use dynasmrt::{AssemblyOffset, DynasmApi};
use iced_x86::Encoder;

use crate::code_memory::{CodeMemory, Full};

/// One of the two areas of the code memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Code that runs often.
    Hot,
    /// Stubs that run rarely.
    Cold,
}

/// Code for one area.
#[derive(Debug, Default)]
struct Buffer {
    code: Vec<u8>,
    base: u64,
}

/// Appends host code to one of two buffers, of which one is active.
pub struct Emitter {
    buffers: [Buffer; 2],
    side: Side,
    encoder: Encoder,
    /// Where the code of each guest instruction begins, on either side.
    instructions: Vec<[usize; 2]>,
}

impl Default for Emitter {
    fn default() -> Self {
        Self { buffers: Default::default(), side: Side::Hot, encoder: Encoder::new(64), instructions: Vec::new() }
    }
}

impl Emitter {
    /// An emitter that must be [started](Self::start).
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins code for where the code memory would put it next, on the hot side.
    pub fn start(&mut self, memory: &CodeMemory) {
        self.start_at(memory.hot_next(), memory.cold_next());
    }

    /// Begins code for these addresses, on the hot side.
    pub fn start_at(&mut self, hot: u64, cold: u64) {
        for (buffer, base) in self.buffers.iter_mut().zip([hot, cold]) {
            buffer.code.clear();
            buffer.base = base;
        }
        self.side = Side::Hot;
        self.instructions.clear();
    }

    /// Notes that a guest instruction's code begins here.
    pub fn begin_instruction(&mut self) {
        let [hot, cold] = &self.buffers;
        self.instructions.push([hot.code.len(), cold.code.len()]);
    }

    /// Where the code of each guest instruction begins in either buffer.
    pub fn instructions(&self) -> &[[usize; 2]] {
        &self.instructions
    }

    /// Puts the code into the code memory, where it was begun for.
    pub fn finish(&self, memory: &mut CodeMemory) -> Result<(), Full> {
        let [hot, cold] = &self.buffers;
        assert_eq!((hot.base, cold.base), (memory.hot_next(), memory.cold_next()), "code is for another place");
        memory.append(&hot.code, &cold.code)
    }

    /// Which buffer is active.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Makes a buffer the active one, and says which was.
    pub fn switch(&mut self, side: Side) -> Side {
        std::mem::replace(&mut self.side, side)
    }

    /// The code on one side so far.
    pub fn code(&self, side: Side) -> &[u8] {
        &self.buffers[side as usize].code
    }

    /// The address at which one side's code begins.
    pub fn base(&self, side: Side) -> u64 {
        self.buffers[side as usize].base
    }

    /// The address at which the next byte of the active buffer will be.
    #[inline]
    pub fn position(&self) -> u64 {
        let active = &self.buffers[self.side as usize];
        active.base + active.code.len() as u64
    }

    /// Forgets what was emitted to the active buffer from `position` on; nothing may jump there.
    pub fn rewind(&mut self, position: u64) {
        let active = self.active();
        let length = position.checked_sub(active.base).expect("a position in the active buffer") as usize;
        assert!(length <= active.code.len(), "a position in the active buffer");
        active.code.truncate(length);
    }

    #[inline]
    fn active(&mut self) -> &mut Buffer {
        &mut self.buffers[self.side as usize]
    }
}

impl Extend<u8> for Emitter {
    #[inline]
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        self.active().code.extend(bytes);
    }
}

impl<'a> Extend<&'a u8> for Emitter {
    #[inline]
    fn extend<T: IntoIterator<Item = &'a u8>>(&mut self, bytes: T) {
        self.active().code.extend(bytes);
    }
}

impl DynasmApi for Emitter {
    #[inline]
    fn offset(&self) -> AssemblyOffset {
        AssemblyOffset(self.buffers[self.side as usize].code.len())
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.active().code.push(byte);
    }

    fn align(&mut self, alignment: usize, with: u8) {
        let beyond = self.position() % alignment as u64;
        if beyond != 0 {
            let padding = alignment - beyond as usize;
            self.extend(std::iter::repeat_n(with, padding));
        }
    }
}

#[cfg(test)]
mod tests;
