//! Registers by name, for people and debuggers.

use serde::{Deserialize, Serialize};

/// A register that a debugger can write.
///
/// Control registers, segments and MSRs are not among them: a state that software cannot reach could come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Register {
    /// A general-purpose register by number: RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15. 64 bits.
    General(u8),
    /// RIP. 64 bits.
    Rip,
    /// RFLAGS, of which bits that are reserved, or switch modes (VM), are not written. 64 bits.
    Flags,
    /// MXCSR, of which reserved bits are not written. 32 bits.
    Mxcsr,
    /// The low half of a vector register: XMM0 to XMM15. 128 bits.
    Xmm(u8),
    /// The high half of a vector register. 128 bits.
    YmmHigh(u8),
    /// ST(0) to ST(7). 80 bits.
    St(u8),
    /// The x87 control word. 16 bits.
    FpControl,
    /// The x87 status word. 16 bits.
    FpStatus,
    /// The x87 tag word as FSAVE stores it. 16 bits.
    FpTag,
}
