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
//! | [`fast_calls`], [`control_registers`], [`msr`], [`identify`], [`caches`] | system calls, modes, registers |
//! | [`segments`], [`far_branch`], [`tables`], [`descriptor`] | segment registers and descriptor tables |

mod caches;
mod control_registers;
mod debug;
mod deliver;
mod descriptor;
mod far_branch;
mod far_return;
mod fast_calls;
mod flags;
mod gate;
mod identify;
mod msr;
mod segments;
mod signals;
mod software;
mod stack;
mod tables;
#[cfg(test)]
mod tests;

use super::op::{Lowering, Op};

const PARTS: &[fn(&Lowering<'_>) -> Option<Op>] = &[
    flags::lower,
    far_return::lower,
    fast_calls::lower,
    identify::lower,
    segments::lower,
    control_registers::lower,
    msr::lower,
    caches::lower,
    far_branch::lower,
    software::lower,
    tables::lower,
    debug::lower,
];

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    PARTS.iter().find_map(|part| part(l))
}
