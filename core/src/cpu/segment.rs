//! Segment and table registers with their hidden parts.

use serde::{Deserialize, Serialize};

/// Segment register numbers, as instructions encode them.
#[allow(missing_docs)]
pub mod seg {
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// A segment register: the selector, and the descriptor that was loaded with it.
///
/// `attributes` holds the descriptor's bits 40 to 55: type 0..=3, S 4, DPL 5..=6, P 7, AVL 12, L 13, D/B 14, G 15 (the
/// limit's bits 8..=11 are clear: `limit` is in bytes). A segment that holds a null selector has P clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Visible part.
    pub selector: u16,
    /// First linear address.
    pub base: u64,
    /// Offset of the last byte.
    pub limit: u32,
    /// Type and attributes.
    pub attributes: u16,
}

impl Segment {
    /// Attribute: accessed.
    pub const ACCESSED: u16 = 1;
    /// Attribute: writable data, or readable code.
    pub const RW: u16 = 2;
    /// Attribute: expand-down data, or conforming code.
    pub const DC: u16 = 4;
    /// Attribute: code.
    pub const CODE: u16 = 8;
    /// Attribute: code or data, not a system descriptor.
    pub const S: u16 = 1 << 4;
    /// Attribute: present.
    pub const PRESENT: u16 = 1 << 7;
    /// Attribute: 64-bit code.
    pub const LONG: u16 = 1 << 13;
    /// Attribute: 32-bit code or stack.
    pub const BIG: u16 = 1 << 14;
    /// Attribute: the descriptor's limit counts 4 KiB units.
    pub const GRANULARITY: u16 = 1 << 15;

    /// A data segment as real mode has it.
    pub const fn real_mode(selector: u16) -> Self {
        Self { selector, base: (selector as u64) << 4, limit: 0xffff, attributes: 0x93 }
    }

    /// A code segment as real mode has it.
    pub const fn real_mode_code(selector: u16) -> Self {
        Self { attributes: 0x9b, ..Self::real_mode(selector) }
    }

    /// A present system segment of type `kind` that covers the first 64 KiB.
    pub const fn system(kind: u16) -> Self {
        Self { selector: 0, base: 0, limit: 0xffff, attributes: 0x80 | kind }
    }

    /// The segment that a null selector leaves behind.
    pub const fn null(selector: u16) -> Self {
        Self { selector, base: 0, limit: 0, attributes: 0 }
    }

    /// The null segment that SS holds in 64-bit mode at privilege level `level`.
    pub const fn null_stack(level: u8) -> Self {
        Self { attributes: (level as u16) << 5, ..Self::null(level as u16) }
    }

    /// The segment of an 8-byte descriptor in a descriptor table.
    pub const fn from_descriptor(selector: u16, descriptor: u64) -> Self {
        let attributes = (descriptor >> 40) as u16 & 0xf0ff;
        let raw = (descriptor & 0xffff | descriptor >> 32 & 0xf_0000) as u32;
        let limit = if attributes & Self::GRANULARITY != 0 { raw << 12 | 0xfff } else { raw };
        let base = descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000;
        Self { selector, base, limit, attributes }
    }

    /// Whether the segment may be used.
    #[inline(always)]
    pub const fn is_present(&self) -> bool {
        self.attributes & Self::PRESENT != 0
    }

    /// Descriptor privilege level.
    #[inline(always)]
    pub const fn dpl(&self) -> u8 {
        (self.attributes >> 5 & 3) as u8
    }

    /// Requested privilege level of the selector.
    #[inline(always)]
    pub const fn rpl(&self) -> u8 {
        (self.selector & 3) as u8
    }

    /// Code or data, not a system descriptor.
    #[inline(always)]
    pub const fn is_ordinary(&self) -> bool {
        self.attributes & Self::S != 0
    }

    /// Code segment.
    #[inline(always)]
    pub const fn is_code(&self) -> bool {
        self.attributes & (Self::S | Self::CODE) == Self::S | Self::CODE
    }

    /// Conforming code segment: it runs at the privilege of who calls it.
    #[inline(always)]
    pub const fn is_conforming(&self) -> bool {
        self.is_code() && self.attributes & Self::DC != 0
    }

    /// Data segment that may be written.
    #[inline(always)]
    pub const fn is_writable(&self) -> bool {
        self.attributes & (Self::S | Self::CODE | Self::RW) == Self::S | Self::RW
    }

    /// Data segment, or code segment that may be read.
    #[inline(always)]
    pub const fn is_readable(&self) -> bool {
        self.is_ordinary() && self.attributes & (Self::CODE | Self::RW) != Self::CODE
    }

    /// The type of a system descriptor.
    #[inline(always)]
    pub const fn kind(&self) -> u16 {
        self.attributes & 0x1f
    }

    /// Whether a selector is null: the first descriptor of the GDT.
    #[inline(always)]
    pub const fn is_null(selector: u16) -> bool {
        selector & !3 == 0
    }

    /// 64-bit code segment.
    #[inline(always)]
    pub const fn is_long(&self) -> bool {
        self.attributes & Self::LONG != 0
    }

    /// 32-bit code or stack segment.
    #[inline(always)]
    pub const fn is_big(&self) -> bool {
        self.attributes & Self::BIG != 0
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// First linear address.
    pub base: u64,
    /// Offset of the last byte.
    pub limit: u16,
}

impl Default for TableRegister {
    fn default() -> Self {
        Self { base: 0, limit: 0xffff }
    }
}
