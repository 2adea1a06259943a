//! Where native code can leave, and what is known there.

use crate::translate::flags::FlagsAt;
use iced_x86::Mnemonic;

/// Why native code leaves at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SiteKind {
    /// The budget does not cover the block.
    Budget,
    /// The instruction, which is one of these, is the interpreter's.
    Interpret(Mnemonic),
    /// No translation is cached for an access of `size` bytes at the linear address in [`crate::registers::Slot::Address`].
    Miss {
        /// Bytes.
        size: u16,
        /// A write, or a read that a write to the same place follows.
        write: bool,
        /// They are those of several accesses.
        several: bool,
    },
    /// The flags are needed in the form that `lahf` and `seto` leave them.
    Flags,
    /// The guest's x87 unit must be loaded into the host's.
    LoadX87,
    /// The block goes on at an offset of the same page; the jump at this address may lead there directly.
    Link(u64),
    /// The block goes on at the linear address in [`crate::registers::Slot::Address`]. If nothing can be there, the
    /// last instruction is undone: its effect on the stack pointer was this. `None` if it was no transfer of control.
    Jump(Option<i32>),
}

/// A place at which native code leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// Why.
    pub kind: SiteKind,
    /// Offset in its page of the instruction that has not begun; with [`SiteKind::Link`], of the next one.
    pub at: u16,
    /// Offset in its page of the last instruction that began.
    pub last: u16,
    /// Offset in its page of the block.
    pub head: u16,
    /// Instructions of the block that were counted but have not begun.
    pub refund: u8,
    /// Where the flags are.
    pub flags: FlagsAt,
    /// Offset in its page of the block's last x87 instruction, if the unit's instruction pointer does not say so yet.
    pub x87: Option<u16>,
    /// Where native code goes on once the matter is settled.
    pub retry: u64,
}
