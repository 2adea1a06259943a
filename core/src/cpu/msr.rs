//! Model-specific registers that hold state of their own.

use serde::{Deserialize, Serialize};

/// Model-specific registers (SDM vol. 4). EFER and the local APIC's are kept where they act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// IA32_SYSENTER_CS.
    pub sysenter_cs: u64,
    /// IA32_SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// IA32_STAR.
    pub star: u64,
    /// IA32_LSTAR.
    pub lstar: u64,
    /// IA32_CSTAR.
    pub cstar: u64,
    /// IA32_FMASK.
    pub fmask: u64,
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// What IA32_TIME_STAMP_COUNTER is ahead of the tick.
    pub tsc_offset: u64,
    /// IA32_TSC_ADJUST.
    pub tsc_adjust: u64,
    /// IA32_TSC_AUX.
    pub tsc_aux: u64,
    /// IA32_MISC_ENABLE.
    pub misc_enable: u64,
    /// IA32_SPEC_CTRL.
    pub spec_ctrl: u64,
    /// IA32_MTRR_DEF_TYPE.
    pub mtrr_def_type: u64,
    /// IA32_MTRR_PHYSBASEn and IA32_MTRR_PHYSMASKn, in turn.
    pub mtrr_variable: [u64; 16],
    /// The fixed-range MTRRs in the order of their numbers.
    pub mtrr_fixed: [u64; 11],
    /// IA32_MCG_STATUS.
    pub mcg_status: u64,
    /// IA32_MCG_CTL.
    pub mcg_ctl: u64,
    /// IA32_MCi_CTL, _STATUS, _ADDR, _MISC of the banks, in turn.
    pub mc_banks: [[u64; 4]; Self::BANKS],
    /// IA32_FEATURE_CONTROL.
    pub feature_control: u64,
    /// IA32_DEBUGCTL.
    pub debugctl: u64,
}

impl Default for Msrs {
    /// Values after power-on.
    fn default() -> Self {
        Self {
            sysenter_cs: 0,
            sysenter_esp: 0,
            sysenter_eip: 0,
            star: 0,
            lstar: 0,
            cstar: 0,
            fmask: 0,
            kernel_gs_base: 0,
            pat: 0x0007_0406_0007_0406,
            tsc_offset: 0,
            tsc_adjust: 0,
            tsc_aux: 0,
            misc_enable: 1 | Self::NO_TRACE_STORES,
            spec_ctrl: 0,
            mtrr_def_type: 0,
            mtrr_variable: [0; 16],
            mtrr_fixed: [0; 11],
            mcg_status: 0,
            mcg_ctl: 0,
            mc_banks: [[0; 4]; Self::BANKS],
            feature_control: 1,
            debugctl: 0,
        }
    }
}

impl Msrs {
    /// Machine-check banks.
    pub const BANKS: usize = 10;
    /// In IA32_MISC_ENABLE: there are neither branch trace stores nor precise event-based sampling.
    const NO_TRACE_STORES: u64 = 1 << 11 | 1 << 12;

    /// Takes over what all CPUs of a system must agree on, as firmware sees to: the memory types of physical addresses
    /// (SDM vol. 3, 12.11.8 MTRR Considerations in MP Systems).
    pub fn agree_on_memory_types(&mut self, other: &Self) {
        self.mtrr_def_type = other.mtrr_def_type;
        self.mtrr_variable = other.mtrr_variable;
        self.mtrr_fixed = other.mtrr_fixed;
    }
}
