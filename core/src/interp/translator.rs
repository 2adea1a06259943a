//! What runs guest code natively, as the interpreter's companion.

use super::exec::Exec;

/// What a translator leaves to the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The one instruction at RIP.
    One,
    /// The block at RIP, or as much of it as the budget admits.
    Block,
    /// Nothing: the budget is used up, or a look around is due.
    Nothing,
}

/// Runs guest code natively between two looks around of the interpreter's run loop.
///
/// It takes the state exactly where the interpreter would take it, instruction by instruction. Whatever needs more than
/// registers, cached memory and jumps it leaves to the interpreter, with RIP at the instruction and nothing of it done.
/// What it remembers is a cache.
pub trait Translator {
    /// Runs from RIP while there is a budget. Nothing needs care: no single step, no breakpoint of the guest, no interrupt
    /// shadow. An instruction at a [breakpoint](Exec::is_breakpoint) of a debugger it leaves to the interpreter, before it
    /// fetches it.
    ///
    /// When the breakpoints in a page of linear addresses are others, tables forget their jumps into it.
    fn run(&mut self, x: &mut Exec<'_>) -> Rest;

    /// `len` bytes of one page were written at an offset of RAM: forgets what was translated from them. Returns whether
    /// anything of the page is still remembered, so that the page stays watched.
    fn written(&mut self, x: &mut Exec<'_>, offset: u64, len: u32) -> bool;

    /// Forgets everything.
    fn flush(&mut self);
}

/// Translates nothing: the interpreter by itself.
pub(crate) struct Nothing;

impl Translator for Nothing {
    #[inline(always)]
    fn run(&mut self, _x: &mut Exec<'_>) -> Rest {
        Rest::Block
    }

    fn written(&mut self, _x: &mut Exec<'_>, _offset: u64, _len: u32) -> bool {
        false
    }

    fn flush(&mut self) {}
}
