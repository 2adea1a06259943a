//! RDMSR and WRMSR (SDM vol. 4, 2.1 Architectural MSRs). Any register that is not listed raises #GP.

use crate::cpu::{Exception, Msrs, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::memory::is_canonical;
use crate::interp::op::{Lowering, Op, flag};
use crate::interp::paging::PHYSICAL_BITS;
use iced_x86::{CpuidFeature, Mnemonic};

const P5_MC_ADDR: u32 = 0x0;
const P5_MC_TYPE: u32 = 0x1;
const TIME_STAMP_COUNTER: u32 = 0x10;
const PLATFORM_ID: u32 = 0x17;
const APIC_BASE: u32 = 0x1b;
const EBL_CR_POWERON: u32 = 0x2a;
const FEATURE_CONTROL: u32 = 0x3a;
const TSC_ADJUST: u32 = 0x3b;
const SPEC_CTRL: u32 = 0x48;
const PRED_CMD: u32 = 0x49;
const BIOS_UPDT_TRIG: u32 = 0x79;
const BIOS_SIGN_ID: u32 = 0x8b;
const PLATFORM_INFO: u32 = 0xce;
const MTRRCAP: u32 = 0xfe;
const ARCH_CAPABILITIES: u32 = 0x10a;
const MISC_FEATURES_ENABLES: u32 = 0x140;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MCG_CTL: u32 = 0x17b;
const PERF_STATUS: u32 = 0x198;
const MISC_ENABLE: u32 = 0x1a0;
const DEBUGCTL: u32 = 0x1d9;
const MTRR_PHYSBASE0: u32 = 0x200;
const MTRR_PHYSMASK7: u32 = 0x20f;
const MTRR_FIX64K_00000: u32 = 0x250;
const MTRR_FIX16K_80000: u32 = 0x258;
const MTRR_FIX16K_A0000: u32 = 0x259;
const MTRR_FIX4K_C0000: u32 = 0x268;
const MTRR_FIX4K_F8000: u32 = 0x26f;
const PAT: u32 = 0x277;
const MTRR_DEF_TYPE: u32 = 0x2ff;
const MC0_CTL: u32 = 0x400;
const TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_FIRST: u32 = 0x800;
const X2APIC_LAST: u32 = 0x8ff;
const EFER: u32 = 0xc000_0080;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const FMASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const KERNEL_GS_BASE: u32 = 0xc000_0102;
const TSC_AUX: u32 = 0xc000_0103;

/// 8 variable ranges, fixed ranges, write combining.
const MTRRCAP_VALUE: u64 = 8 | 1 << 8 | 1 << 10;
/// 10 banks, and MCG_CTL.
const MCG_CAP_VALUE: u64 = Msrs::BANKS as u64 | 1 << 8;
/// The TSC's ratio to a bus clock of 100 MHz.
const RATIO: u64 = 10 << 8;
/// Some revision of the microcode.
const MICROCODE: u64 = 1 << 32;
/// IBRS, STIBP, SSBD and BHI_DIS_S.
const SPEC_CTRL_BITS: u64 = 7 | 1 << 10;
/// What IA32_DEBUGCTL keeps: last-branch records and branch steps; neither has an effect.
const DEBUGCTL_BITS: u64 = 3;
/// Bits of IA32_MISC_ENABLE that can be written.
const MISC_ENABLE_WRITABLE: u64 = 1 | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 22 | 1 << 23 | 1 << 34;
/// What this processor is not susceptible to: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO,
/// TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
const ARCH_CAPABILITIES_VALUE: u64 = 1
    | 1 << 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 20
    | 1 << 24
    | 1 << 26
    | 1 << 27
    | 1 << 62;

/// A memory type that MTRRs can hold, and with UC- those of the PAT.
fn is_memory_type(value: u8, pat: bool) -> bool {
    matches!(value, 0 | 1 | 4 | 5 | 6) || (pat && value == 7)
}

fn all_types(value: u64, pat: bool) -> bool {
    value.to_le_bytes().iter().all(|&byte| is_memory_type(byte, pat))
}

/// Index of a fixed-range MTRR.
fn fixed_range(msr: u32) -> Option<usize> {
    let at = match msr {
        MTRR_FIX64K_00000 => 0,
        MTRR_FIX16K_80000 | MTRR_FIX16K_A0000 => msr - MTRR_FIX16K_80000 + 1,
        MTRR_FIX4K_C0000..=MTRR_FIX4K_F8000 => msr - MTRR_FIX4K_C0000 + 3,
        _ => return None,
    };
    Some(at as usize)
}

/// Bank and register (CTL, STATUS, ADDR, MISC) of a machine-check bank.
fn bank(msr: u32) -> Option<(usize, usize)> {
    let at = msr.checked_sub(MC0_CTL)? as usize;
    (at / 4 < Msrs::BANKS).then_some((at / 4, at % 4))
}

fn check(legal: bool) -> Option<()> {
    legal.then_some(())
}

impl Exec<'_> {
    fn is_level_2(&self) -> Option<()> {
        check(self.model.has(CpuidFeature::FSGSBASE))
    }

    fn read_msr(&mut self, msr: u32) -> Option<u64> {
        let index = self.index();
        let msrs = &self.cpu.msrs;
        Some(match msr {
            TIME_STAMP_COUNTER => self.time_stamp(),
            APIC_BASE | TSC_DEADLINE | X2APIC_FIRST..=X2APIC_LAST => {
                self.sync_clock();
                return self.board.apic_read_msr(index, msr);
            }
            P5_MC_ADDR | P5_MC_TYPE | PLATFORM_ID | EBL_CR_POWERON | MISC_FEATURES_ENABLES => 0,
            FEATURE_CONTROL => msrs.feature_control,
            TSC_ADJUST => msrs.tsc_adjust,
            SPEC_CTRL => self.is_level_2().map(|()| self.cpu.msrs.spec_ctrl)?,
            ARCH_CAPABILITIES => self.is_level_2().map(|()| ARCH_CAPABILITIES_VALUE)?,
            BIOS_SIGN_ID => MICROCODE,
            PLATFORM_INFO | PERF_STATUS => RATIO,
            MTRRCAP => MTRRCAP_VALUE,
            SYSENTER_CS => msrs.sysenter_cs,
            SYSENTER_ESP => msrs.sysenter_esp,
            SYSENTER_EIP => msrs.sysenter_eip,
            MCG_CAP => MCG_CAP_VALUE,
            MCG_STATUS => msrs.mcg_status,
            MCG_CTL => msrs.mcg_ctl,
            MISC_ENABLE => msrs.misc_enable,
            DEBUGCTL => msrs.debugctl,
            MTRR_PHYSBASE0..=MTRR_PHYSMASK7 => msrs.mtrr_variable[(msr - MTRR_PHYSBASE0) as usize],
            PAT => msrs.pat,
            MTRR_DEF_TYPE => msrs.mtrr_def_type,
            _ => return self.read_far_msr(msr),
        })
    }

    /// The registers of banks and tables, and those from 0xc0000080.
    fn read_far_msr(&self, msr: u32) -> Option<u64> {
        let msrs = &self.cpu.msrs;
        Some(match msr {
            EFER => self.cpu.efer,
            STAR => msrs.star,
            LSTAR => msrs.lstar,
            CSTAR => msrs.cstar,
            FMASK => msrs.fmask,
            FS_BASE => self.cpu.segs[seg::FS].base,
            GS_BASE => self.cpu.segs[seg::GS].base,
            KERNEL_GS_BASE => msrs.kernel_gs_base,
            TSC_AUX => self.is_level_2().map(|()| msrs.tsc_aux)?,
            _ => match (fixed_range(msr), bank(msr)) {
                (Some(at), _) => msrs.mtrr_fixed[at],
                (None, Some((bank, at))) => msrs.mc_banks[bank][at],
                (None, None) => return None,
            },
        })
    }

    fn write_msr(&mut self, msr: u32, value: u64) -> Option<()> {
        let index = self.index();
        match msr {
            TIME_STAMP_COUNTER => {
                let ahead = value.wrapping_sub(self.time_stamp());
                self.shift_time_stamp(ahead);
            }
            TSC_ADJUST => {
                let ahead = value.wrapping_sub(self.cpu.msrs.tsc_adjust);
                self.shift_time_stamp(ahead);
            }
            APIC_BASE | TSC_DEADLINE | X2APIC_FIRST..=X2APIC_LAST => {
                self.sync_clock();
                let written = self.board.apic_write_msr(index, msr, value);
                self.after_device();
                if msr == APIC_BASE {
                    self.mode_changed();
                }
                return written;
            }
            P5_MC_ADDR | P5_MC_TYPE | MISC_FEATURES_ENABLES => check(value == 0)?,
            // No microcode is ever updated, and the revision stays.
            EBL_CR_POWERON | BIOS_UPDT_TRIG | BIOS_SIGN_ID => {}
            SPEC_CTRL => {
                self.is_level_2()?;
                check(value & !SPEC_CTRL_BITS == 0)?;
                self.cpu.msrs.spec_ctrl = value;
            }
            PRED_CMD => {
                self.is_level_2()?;
                check(value & !1 == 0)?;
            }
            EFER => self.write_efer(value)?,
            FS_BASE => self.cpu.segs[seg::FS].base = canonical(value)?,
            GS_BASE => self.cpu.segs[seg::GS].base = canonical(value)?,
            _ => return self.cpu.msrs.write(msr, value, self.model.has(CpuidFeature::RDTSCP)),
        }
        Some(())
    }

    /// Sets the time-stamp counter forward.
    fn shift_time_stamp(&mut self, ahead: u64) {
        self.sync_clock();
        let index = self.index();
        let msrs = &mut self.cpu.msrs;
        msrs.tsc_offset = msrs.tsc_offset.wrapping_add(ahead);
        msrs.tsc_adjust = msrs.tsc_adjust.wrapping_add(ahead);
        self.board.set_tsc_offset(index, msrs.tsc_offset);
        self.after_device();
    }
}

fn canonical(value: u64) -> Option<u64> {
    is_canonical(value).then_some(value)
}

impl Msrs {
    /// Writes a register that is only kept.
    fn write(&mut self, msr: u32, value: u64, has_aux: bool) -> Option<()> {
        match msr {
            SYSENTER_CS => self.sysenter_cs = value & 0xffff_ffff,
            SYSENTER_ESP => self.sysenter_esp = canonical(value)?,
            SYSENTER_EIP => self.sysenter_eip = canonical(value)?,
            STAR => self.star = value,
            LSTAR => self.lstar = canonical(value)?,
            CSTAR => self.cstar = canonical(value)?,
            FMASK => self.fmask = value & 0xffff_ffff,
            KERNEL_GS_BASE => self.kernel_gs_base = canonical(value)?,
            TSC_AUX => {
                check(has_aux && value >> 32 == 0)?;
                self.tsc_aux = value;
            }
            MCG_STATUS => {
                check(value == 0)?;
                self.mcg_status = 0;
            }
            MCG_CTL => self.mcg_ctl = value,
            MISC_ENABLE => {
                self.misc_enable = self.misc_enable & !MISC_ENABLE_WRITABLE | value & MISC_ENABLE_WRITABLE;
            }
            DEBUGCTL => {
                check(value & !DEBUGCTL_BITS == 0)?;
                self.debugctl = value;
            }
            PAT => {
                check(all_types(value, true))?;
                self.pat = value;
            }
            _ => return self.write_range(msr, value),
        }
        Some(())
    }

    /// Writes an MTRR or a machine-check bank.
    fn write_range(&mut self, msr: u32, value: u64) -> Option<()> {
        if let MTRR_PHYSBASE0..=MTRR_PHYSMASK7 = msr {
            let is_mask = msr & 1 != 0;
            let reserved = if is_mask { 0x7ff } else { 0xf00 };
            let typed = is_mask || is_memory_type(value as u8, false);
            check(typed && value & reserved == 0 && value >> PHYSICAL_BITS == 0)?;
            self.mtrr_variable[(msr - MTRR_PHYSBASE0) as usize] = value;
        } else if msr == MTRR_DEF_TYPE {
            check(value & !0xcff == 0 && is_memory_type(value as u8, false))?;
            self.mtrr_def_type = value;
        } else if let Some(at) = fixed_range(msr) {
            check(all_types(value, false))?;
            self.mtrr_fixed[at] = value;
        } else {
            let (bank, at) = bank(msr)?;
            // Of status, address and miscellany only zero can be written.
            check(at == 0 || value == 0)?;
            self.mc_banks[bank][at] = value;
        }
        Some(())
    }
}

fn read_msr(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()?;
    let msr = x.cpu.regs.get(reg::RCX) as u32;
    match x.read_msr(msr) {
        Some(value) => {
            x.set_edx_eax(value);
            Ok(())
        }
        None => refuse(x, "RDMSR", msr),
    }
}

fn write_msr(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.require_kernel()?;
    let msr = x.cpu.regs.get(reg::RCX) as u32;
    match x.write_msr(msr, x.edx_eax()) {
        Some(()) => Ok(()),
        None => refuse(x, "WRMSR", msr),
    }
}

#[cold]
fn refuse(x: &mut Exec<'_>, what: &str, msr: u32) -> Outcome {
    let value = x.edx_eax();
    log::debug!(target: "unimp", "cpu {}: {what} {msr:#010x} (edx:eax {value:#018x}) raises #GP", x.cpu.index);
    x.raise(Exception::gp(0))
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    match l.insn.mnemonic() {
        Mnemonic::Rdmsr => Some(l.op(read_msr)),
        Mnemonic::Wrmsr => Some(Op { flags: flag::ENDS_BLOCK, ..l.op(write_msr) }),
        _ => None,
    }
}
