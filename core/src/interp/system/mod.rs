//! The system side of the CPU: exceptions and interrupts, segments, control registers, privilege.
//!
//! Not modelled: hardware task switching (task gates, far transfers to a TSS and IRET with NT set raise #GP) and
//! virtual-8086 mode with its flags (IRET with VM set raises #GP).
//!
//! | module | what |
//! | --- | --- |
//! | [`deliver`], [`gate`], [`stack`] | from an event to the first instruction of its handler |
//! | [`signals`], [`debug`] | what happens between instructions |
//! | [`software`], [`far_return`], [`flags`] | instructions that interrupt, return, mask and wait |
//! | [`segments`], [`far_branch`], [`tables`], [`descriptor`] | segment registers and descriptor tables |

mod debug;
mod deliver;
mod descriptor;
mod far_branch;
mod far_return;
mod flags;
mod gate;
mod segments;
mod signals;
mod software;
mod stack;
mod tables;
#[cfg(test)]
mod tests;

use super::op::{Lowering, Op};

const PARTS: &[fn(&Lowering<'_>) -> Option<Op>] =
    &[flags::lower, far_return::lower, segments::lower, far_branch::lower, software::lower, tables::lower];

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    PARTS.iter().find_map(|part| part(l))
}
