//! Control registers (SDM vol. 3, 2.5 Control Registers, 9.8.5 Initializing IA-32e Mode and 4.4.1 PDPTE Registers).

use super::segments::with_operand16;
use crate::cpu::{Exception, cr0, cr4, efer, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op, flag};
use crate::interp::paging::PHYSICAL_BITS;
use iced_x86::{Code, CpuidFeature, Mnemonic, Register};

/// Bits of CR0 that can be written; ET is always set.
const CR0_WRITABLE: u64 =
    cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD | cr0::PG;
/// Bits of CR4 that every model has.
const CR4_BASIC: u64 =
    cr4::TSD | cr4::DE | cr4::PSE | cr4::PAE | cr4::MCE | cr4::PGE | cr4::PCE | cr4::OSFXSR | cr4::OSXMMEXCPT;
/// Bits of CR4 that come with features of the second level.
const CR4_LEVEL_2: u64 = cr4::UMIP | cr4::FSGSBASE | cr4::PCIDE | cr4::OSXSAVE | cr4::SMEP | cr4::SMAP;
/// With CR4.PCIDE, in a value for CR3: keep translations. They are never stale, so it says nothing.
const CR3_NO_FLUSH: u64 = 1 << 63;
const PDPTE_PRESENT: u64 = 1;
/// Bits of a present PDPTE that must be zero.
const PDPTE_RESERVED: u64 = 0x1e6 | !((1 << PHYSICAL_BITS) - 1);

impl Exec<'_> {
    fn refuse<T>(&mut self) -> Outcome<T> {
        self.raise(Exception::gp(0))
    }

    pub(super) fn write_cr0(&mut self, value: u64) -> Outcome {
        let new = value & CR0_WRITABLE | cr0::ET;
        let no_pe = new & (cr0::PG | cr0::PE) == cr0::PG;
        let no_cd = new & (cr0::NW | cr0::CD) == cr0::NW;
        if value >> 32 != 0 || no_pe || no_cd {
            return self.refuse();
        }
        let changed = self.cpu.cr0 ^ new;
        let mut efer = self.cpu.efer;
        if changed & cr0::PG != 0 {
            efer = self.paging_switched(new)?;
        }
        let long = efer & efer::LMA != 0;
        let pae_paging = new & cr0::PG != 0 && self.cpu.cr4 & cr4::PAE != 0 && !long;
        if pae_paging && changed & (cr0::CD | cr0::NW | cr0::PG) != 0 {
            self.load_pdptes(self.cpu.cr3)?;
        }
        (self.cpu.cr0, self.cpu.efer) = (new, efer);
        self.mode_changed();
        Ok(())
    }

    /// EFER once paging is switched on or off: long mode begins and ends with it.
    fn paging_switched(&mut self, cr0: u64) -> Outcome<u64> {
        let (efer, cr4) = (self.cpu.efer, self.cpu.cr4);
        if cr0 & cr0::PG == 0 {
            if self.is_64bit || cr4 & cr4::PCIDE != 0 {
                return self.refuse();
            }
            return Ok(efer & !efer::LMA);
        }
        if efer & efer::LME == 0 {
            return Ok(efer);
        }
        if cr4 & cr4::PAE == 0 || self.cpu.segs[seg::CS].is_long() {
            return self.refuse();
        }
        Ok(efer | efer::LMA)
    }

    pub(super) fn write_cr3(&mut self, value: u64) -> Outcome {
        let pcid = self.cpu.cr4 & cr4::PCIDE != 0;
        let new = if pcid { value & !CR3_NO_FLUSH } else { value };
        if self.cpu.is_long_mode() && new >> PHYSICAL_BITS != 0 {
            return self.refuse();
        }
        let pae_paging = self.cpu.cr0 & cr0::PG != 0 && self.cpu.cr4 & cr4::PAE != 0 && !self.cpu.is_long_mode();
        if pae_paging {
            self.load_pdptes(new)?;
        }
        self.cpu.cr3 = new;
        self.mode_changed();
        Ok(())
    }

    pub(super) fn write_cr4(&mut self, value: u64) -> Outcome {
        let level_2 = if self.model.has(CpuidFeature::FSGSBASE) { CR4_LEVEL_2 } else { 0 };
        if value & !(CR4_BASIC | level_2) != 0 {
            return self.refuse();
        }
        let (changed, long) = (self.cpu.cr4 ^ value, self.cpu.is_long_mode());
        let pcid_early = changed & value & cr4::PCIDE != 0 && (!long || self.cpu.cr3 & 0xfff != 0);
        if (long && value & cr4::PAE == 0) || pcid_early {
            return self.refuse();
        }
        let pae_paging = self.cpu.cr0 & cr0::PG != 0 && value & cr4::PAE != 0 && !long;
        if pae_paging && changed & (cr4::PGE | cr4::PSE | cr4::PAE | cr4::SMEP) != 0 {
            self.load_pdptes(self.cpu.cr3)?;
        }
        self.cpu.cr4 = value;
        self.mode_changed();
        Ok(())
    }

    fn load_pdptes(&mut self, cr3: u64) -> Outcome {
        let mut pdptes = [0; 4];
        for (at, pdpte) in (0..).zip(&mut pdptes) {
            let offset = self.board.ram_offset((cr3 & 0xffff_ffe0) + 8 * at);
            *pdpte = offset.and_then(|at| self.board.ram.get(at)).map_or(u64::MAX, u64::from_le_bytes);
        }
        if pdptes.iter().any(|pdpte| pdpte & PDPTE_PRESENT != 0 && pdpte & PDPTE_RESERVED != 0) {
            return self.refuse();
        }
        self.cpu.pdptes = pdptes;
        Ok(())
    }

    pub(super) fn write_efer(&mut self, value: u64) -> Option<()> {
        let writable = efer::SCE | efer::LME | efer::NXE;
        let changed = self.cpu.efer ^ value;
        let switches = changed & efer::LME != 0 && self.cpu.cr0 & cr0::PG != 0;
        if value & !(writable | efer::LMA) != 0 || switches {
            return None;
        }
        self.cpu.efer = self.cpu.efer & efer::LMA | value & writable;
        self.mode_changed();
        Some(())
    }
}

fn move_from_control(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    let value = match op.rm {
        0 => x.cpu.cr0,
        2 => x.cpu.cr2,
        3 => x.cpu.cr3,
        4 => x.cpu.cr4,
        8 => u64::from(x.board.task_priority(x.index())),
        _ => return x.raise(Exception::ud()),
    };
    x.put_system_register(op, value);
    Ok(())
}

impl Exec<'_> {
    /// Sets the general register of a MOV from a control or debug register, which has the width of the mode.
    pub(super) fn put_system_register(&mut self, op: &Op, value: u64) {
        if op.size == 8 {
            self.cpu.regs.set(op.reg, value);
        } else {
            self.cpu.regs.set32(op.reg, value as u32);
        }
    }

    /// The general register of a MOV to a control or debug register.
    pub(super) fn system_register(&self, op: &Op) -> u64 {
        let value = self.cpu.regs.get(op.reg);
        if op.size == 8 { value } else { value & 0xffff_ffff }
    }
}

fn move_to_control(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    let value = x.system_register(op);
    match op.rm {
        0 => x.write_cr0(value),
        2 => {
            x.cpu.cr2 = value;
            Ok(())
        }
        3 => x.write_cr3(value),
        4 => x.write_cr4(value),
        8 => write_cr8(x, value),
        _ => x.raise(Exception::ud()),
    }
}

fn write_cr8(x: &mut Exec<'_>, value: u64) -> Outcome {
    if value > 15 {
        return x.raise(Exception::gp(0));
    }
    x.sync_clock();
    x.board.set_task_priority(x.index(), value as u8);
    x.after_device();
    Ok(())
}

fn store_machine_status(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.check_umip()?;
    x.put_operand16(op, x.cpu.cr0)
}

/// LMSW can set PE but not clear it.
fn load_machine_status(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.require_kernel()?;
    let value = u64::from(x.operand16(op)?);
    let writable = cr0::MP | cr0::EM | cr0::TS;
    let new = x.cpu.cr0 & !writable | value & (writable | cr0::PE);
    x.write_cr0(new)
}

fn clear_task_switched(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()?;
    x.cpu.cr0 &= !cr0::TS;
    x.mode_changed();
    Ok(())
}

/// MOV between a general and a control register.
fn lower_move(l: &Lowering<'_>) -> Option<Op> {
    let is_control = |index| l.is_register(index) && l.insn.op_register(index).is_cr();
    let number = |register: Register| register.number() as u8;
    let size = (l.bitness / 32 * 4).max(4) as u8;
    let op = if is_control(0) {
        Op { reg: l.register(1), rm: number(l.insn.op_register(0)), ..l.op(move_to_control) }
    } else if is_control(1) {
        Op { reg: l.register(0), rm: number(l.insn.op_register(1)), ..l.op(move_from_control) }
    } else {
        return None;
    };
    Some(Op { size, ..op })
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let mut op = match (l.insn.mnemonic(), l.insn.code()) {
        (Mnemonic::Mov, _) => lower_move(l)?,
        (_, Code::Smsw_rm16 | Code::Smsw_r32m16 | Code::Smsw_r64m16) => with_operand16(l, 0, store_machine_status),
        (_, Code::Lmsw_rm16 | Code::Lmsw_r32m16 | Code::Lmsw_r64m16) => with_operand16(l, 0, load_machine_status),
        (Mnemonic::Clts, _) => l.op(clear_task_switched),
        _ => return None,
    };
    op.flags |= flag::ENDS_BLOCK;
    Some(op)
}
