//! The power management registers of the ICH9 south bridge: the fixed hardware of ACPI.
//!
//! * ICH9 datasheet (316972), 13.8.3 Power Management I/O Registers.
//! * ACPI 6.5, 4.8.3 Fixed Hardware Registers.
//!
//! Not modelled: sleep states but S5, system management interrupts (SMI_EN is storage), bus master status, throttling, the
//! watchdog (TCO), and the power button's four-second override. Sleep type 0 switches off as 7 does, because it does so in
//! QEMU and small kernels rely on it.

use reprise_core::clock::{Clock, Tick};
use serde::{Deserialize, Serialize};

/// Bytes that the registers take up among the ports.
pub const SIZE: u64 = 128;

const PM1_STS: u64 = 0x00;
const PM1_EN: u64 = 0x02;
const PM1_CNT: u64 = 0x04;
const PM1_TMR: u64 = 0x08;
const GPE0_STS: u64 = 0x20;
const GPE0_EN: u64 = 0x28;
const SMI_EN: u64 = 0x30;
const SMI_EN_END: u64 = 0x34;

/// PM1_STS and PM1_EN: the timer's most significant bit changed.
const TMROF: u16 = 1 << 0;
/// PM1_EN: the global lock was released.
const GBL: u16 = 1 << 5;
/// PM1_STS and PM1_EN: the power button was pressed.
const PWRBTN: u16 = 1 << 8;
/// PM1_EN: the alarm of the real-time clock.
const RTC: u16 = 1 << 10;
/// Bits of PM1_EN that exist.
const PM1_ENABLES: u16 = TMROF | GBL | PWRBTN | RTC;

/// PM1_CNT: power management events raise SCI.
const SCI_EN: u16 = 1 << 0;
/// PM1_CNT: bits that keep what is written: SCI_EN, BM_RLD, SLP_TYP.
const CNT_STORED: u16 = 0x1c03;
/// PM1_CNT: enters the sleep state of SLP_TYP; reads as zero.
const SLP_EN: u16 = 1 << 13;

const TIMER: Clock = Clock::new(3_579_545);
/// log2 of the counts after which the most significant bit of the 24-bit timer changes.
const HALF_PERIOD: u32 = 23;

/// Everything that the guest can observe of the power management registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PmState {
    /// PM1_STS, without TMROF_STS, which follows from the time.
    pm1_sts: u16,
    pm1_en: u16,
    pm1_cnt: u16,
    /// How often the timer's most significant bit had changed when TMROF_STS was last cleared.
    timer_changes: u64,
    gpe0_sts: u64,
    gpe0_en: u64,
    smi_en: u32,
}

impl PmState {
    /// The registers after a reset at `now`, with ACPI enabled as firmware leaves it.
    pub fn power_on(now: Tick) -> Self {
        Self {
            pm1_sts: 0,
            pm1_en: 0,
            pm1_cnt: SCI_EN,
            timer_changes: timer_changes(now),
            gpe0_sts: 0,
            gpe0_en: 0,
            smi_en: 0,
        }
    }

    /// Reads the byte at `offset`.
    pub fn read(&self, offset: u64, now: Tick) -> u8 {
        let byte = |value: u64, first: u64| (value >> (8 * (offset - first))) as u8;
        match offset {
            PM1_STS..PM1_EN => byte(u64::from(self.status(now)), PM1_STS),
            PM1_EN..PM1_CNT => byte(u64::from(self.pm1_en), PM1_EN),
            PM1_CNT..PM1_TMR => byte(u64::from(self.pm1_cnt), PM1_CNT),
            PM1_TMR..0x0c => byte(TIMER.count(now) & 0xff_ffff, PM1_TMR),
            GPE0_STS..GPE0_EN => byte(self.gpe0_sts, GPE0_STS),
            GPE0_EN..SMI_EN => byte(self.gpe0_en, GPE0_EN),
            SMI_EN..SMI_EN_END => byte(u64::from(self.smi_en), SMI_EN),
            _ => 0,
        }
    }

    /// Writes the byte at `offset`; true if the guest switched the machine off.
    pub fn write(&mut self, offset: u64, value: u8, now: Tick) -> bool {
        let shift = |first: u64| 8 * (offset - first);
        let put = |old: u64, first: u64| old & !(0xff << shift(first)) | u64::from(value) << shift(first);
        match offset {
            PM1_STS..PM1_EN => self.clear_status(u16::from(value) << shift(PM1_STS), now),
            PM1_EN..PM1_CNT => self.pm1_en = put(u64::from(self.pm1_en), PM1_EN) as u16 & PM1_ENABLES,
            PM1_CNT..PM1_TMR => return self.control(put(u64::from(self.pm1_cnt), PM1_CNT) as u16),
            GPE0_STS..GPE0_EN => self.gpe0_sts &= !(u64::from(value) << shift(GPE0_STS)),
            GPE0_EN..SMI_EN => self.gpe0_en = put(self.gpe0_en, GPE0_EN),
            SMI_EN..SMI_EN_END => self.smi_en = put(u64::from(self.smi_en), SMI_EN) as u32,
            _ => {}
        }
        false
    }

    /// The power button was pressed.
    pub fn press_power_button(&mut self) {
        self.pm1_sts |= PWRBTN;
    }

    /// The level of the system control interrupt.
    pub fn sci(&self, now: Tick) -> bool {
        let event = self.status(now) & self.pm1_en != 0 || self.gpe0_sts & self.gpe0_en != 0;
        event && self.pm1_cnt & SCI_EN != 0
    }

    /// When the timer will next raise SCI, if it is to and has not done so.
    pub fn next_overflow(&self, now: Tick) -> Option<Tick> {
        let waits = self.pm1_en & TMROF != 0 && self.status(now) & TMROF == 0;
        waits.then(|| TIMER.tick_of((timer_changes(now) + 1) << HALF_PERIOD))
    }

    fn status(&self, now: Tick) -> u16 {
        let overflow = if timer_changes(now) == self.timer_changes { 0 } else { TMROF };
        self.pm1_sts | overflow
    }

    fn clear_status(&mut self, bits: u16, now: Tick) {
        self.pm1_sts &= !bits;
        if bits & TMROF != 0 {
            self.timer_changes = timer_changes(now);
        }
    }

    fn control(&mut self, value: u16) -> bool {
        self.pm1_cnt = value & CNT_STORED;
        value & SLP_EN != 0 && matches!(value >> 10 & 7, 0 | 7)
    }
}

/// How often the timer's most significant bit has changed.
fn timer_changes(now: Tick) -> u64 {
    TIMER.count(now) >> HALF_PERIOD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(pm: &PmState, offset: u64, now: Tick) -> u16 {
        u16::from_le_bytes([pm.read(offset, now), pm.read(offset + 1, now)])
    }

    #[test]
    fn the_timer_counts_at_its_rate_in_24_bits() {
        let pm = PmState::power_on(0);
        let count = |now: Tick| (0..4).fold(0, |value, at| value | u32::from(pm.read(PM1_TMR + at, now)) << (8 * at));
        assert_eq!(count(1_000_000_000), 3_579_545);
        assert_eq!(count(5_000_000_000), 17_897_725 - (1 << 24));
    }

    #[test]
    fn the_timer_raises_sci_each_time_its_top_bit_changes() {
        let mut pm = PmState::power_on(0);
        assert_eq!(pm.next_overflow(0), None);
        pm.write(PM1_EN, TMROF as u8, 0);
        let due = pm.next_overflow(0).unwrap();
        assert_eq!(due, TIMER.tick_of(1 << 23));
        assert!(!pm.sci(due - 1) && pm.sci(due));
        assert_eq!(pm.next_overflow(due), None);
        pm.write(PM1_STS, TMROF as u8, due);
        assert!(!pm.sci(due));
        assert_eq!(pm.next_overflow(due), Some(TIMER.tick_of(2 << 23)));
    }

    #[test]
    fn the_power_button_is_acknowledged_by_a_one() {
        let mut pm = PmState::power_on(0);
        pm.press_power_button();
        assert!(!pm.sci(0));
        pm.write(PM1_EN + 1, (PWRBTN >> 8) as u8, 0);
        assert!(pm.sci(0));
        pm.write(PM1_STS + 1, 0, 0);
        assert!(pm.sci(0));
        pm.write(PM1_STS + 1, (PWRBTN >> 8) as u8, 0);
        assert!(!pm.sci(0));
    }

    #[test]
    fn sleep_types_zero_and_seven_switch_off() {
        let mut pm = PmState::power_on(0);
        assert!(!pm.write(PM1_CNT + 1, 7 << 2, 0), "without SLP_EN nothing happens");
        assert!(pm.write(PM1_CNT + 1, 7 << 2 | 0x20, 0));
        assert!(pm.write(PM1_CNT + 1, 0x20, 0));
        assert!(!pm.write(PM1_CNT + 1, 5 << 2 | 0x20, 0));
        assert_eq!(word(&pm, PM1_CNT, 0), 5 << 10 | SCI_EN, "SLP_EN reads as zero");
    }

    #[test]
    fn without_sci_en_there_is_no_interrupt() {
        let mut pm = PmState::power_on(0);
        pm.press_power_button();
        pm.write(PM1_EN + 1, 1, 0);
        pm.write(PM1_CNT, 0, 0);
        assert!(!pm.sci(0));
    }
}
