//! Where operands come from and go to, as types that handlers are generic over.

use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::Op;
use crate::interp::word::Integer;

/// A source operand.
pub(super) trait Source {
    fn get<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<W>;
}

/// The register in [`Op::reg`].
pub(super) struct Reg;
/// The register in [`Op::rm`].
pub(super) struct Rm;
/// The memory operand.
pub(super) struct Mem;
/// The immediate.
pub(super) struct Imm;

impl Source for Reg {
    #[inline(always)]
    fn get<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<W> {
        Ok(W::get(x, op.reg))
    }
}

impl Source for Rm {
    #[inline(always)]
    fn get<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<W> {
        Ok(W::get(x, op.rm))
    }
}

impl Source for Mem {
    #[inline(always)]
    fn get<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<W> {
        x.read(op)
    }
}

impl Source for Imm {
    #[inline(always)]
    fn get<W: Integer>(_x: &mut Exec<'_>, op: &Op) -> Outcome<W> {
        Ok(W::truncate(op.imm))
    }
}

/// An operand that is read and then written.
pub(super) trait Target {
    /// Whether the operand is the one in memory.
    const IN_MEMORY: bool = false;
    /// The value, and what [`put`](Self::put) needs to write it.
    fn take<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<(u64, W)>;
    /// Writes the operand that was taken; memory was checked by `take`, so this faults only by a device's page going away.
    fn put<W: Integer>(x: &mut Exec<'_>, op: &Op, place: u64, value: W) -> Outcome;
    /// Writes without reading first.
    fn set<W: Integer>(x: &mut Exec<'_>, op: &Op, value: W) -> Outcome;
}

impl Target for Reg {
    #[inline(always)]
    fn take<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<(u64, W)> {
        Ok((0, W::get(x, op.reg)))
    }
    #[inline(always)]
    fn put<W: Integer>(x: &mut Exec<'_>, op: &Op, _place: u64, value: W) -> Outcome {
        value.set(x, op.reg);
        Ok(())
    }
    #[inline(always)]
    fn set<W: Integer>(x: &mut Exec<'_>, op: &Op, value: W) -> Outcome {
        value.set(x, op.reg);
        Ok(())
    }
}

impl Target for Mem {
    const IN_MEMORY: bool = true;
    #[inline(always)]
    fn take<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome<(u64, W)> {
        x.read_for_write(op)
    }
    #[inline(always)]
    fn put<W: Integer>(x: &mut Exec<'_>, op: &Op, place: u64, value: W) -> Outcome {
        x.store(place, value, op.seg)
    }
    #[inline(always)]
    fn set<W: Integer>(x: &mut Exec<'_>, op: &Op, value: W) -> Outcome {
        x.write(op, value)
    }
}

/// Picks an instance of a generic handler for an operand size of 1, 2, 4 or 8 bytes.
macro_rules! by_size {
    ($size:expr, $handler:ident $(, $parameter:ty)*) => {
        match $size {
            1 => $handler::<u8 $(, $parameter)*>,
            2 => $handler::<u16 $(, $parameter)*>,
            4 => $handler::<u32 $(, $parameter)*>,
            _ => $handler::<u64 $(, $parameter)*>,
        }
    };
}

pub(super) use by_size;
