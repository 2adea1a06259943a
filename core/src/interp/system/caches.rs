//! Instructions that flush translations and caches (SDM vol. 2, INVLPG, INVPCID, INVD, WBINVD). Translations are never
//! stale and memory is always coherent, so only their checks are left.

use crate::cpu::{Exception, cr4};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Lowering, Op};
use iced_x86::Mnemonic;

fn flush(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()
}

/// INVPCID: the type is in the register operand, the descriptor in memory.
fn flush_context(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    let kind = x.system_register(op);
    let descriptor = x.read::<u128>(op)?;
    let (pcid, address) = (descriptor as u64, (descriptor >> 64) as u64);
    let legal = match kind {
        0 => is_canonical(address),
        1..=3 => true,
        _ => false,
    };
    let names_pcid = kind < 2 && pcid & 0xfff != 0 && x.cpu.cr4 & cr4::PCIDE == 0;
    if !legal || pcid >> 12 != 0 || names_pcid { x.raise(Exception::gp(0)) } else { Ok(()) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Invlpg | Mnemonic::Invd | Mnemonic::Wbinvd => l.op(flush),
        Mnemonic::Invpcid => Op { reg: l.register(0), size: l.operand_size(0) as u8, ..l.op(flush_context) },
        _ => return None,
    })
}
