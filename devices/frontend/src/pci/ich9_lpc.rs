//! `ICH9-LPC`: the south bridge, function 00:1f.0, with the power management block and the routing of PCI interrupts.
//!
//! Intel I/O Controller Hub 9 (ICH9) Family datasheet (316972), 13 LPC Interface Bridge Registers (D31:F0). The power
//! management registers themselves are in [`crate::acpi::ich9_pm`].
//!
//! PIRQA# to PIRQH# are global system interrupts 16 to 23; the routing registers connect them to ISA interrupts as well,
//! for systems without an I/O APIC. What firmware would set up is so after power-on: PMBASE, ACPI_CNTL and the routing.
//!
//! Not modelled: the root complex register block (RCBA reads as disabled), GPIO, LPC decode ranges and the serial interrupt
//! (their registers are storage), and SMI: writes to APM_CNT do nothing.

use super::{ConfigSpace, Identity, Layout, SUBSYSTEM};
use crate::acpi::ich9_pm::{self, PmState};
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region, Sink, Space};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::output::PowerEvent;
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

/// Where firmware puts the power management registers.
pub const PM_BASE: u16 = 0x600;
/// The interrupt that power management events raise.
pub const SCI: u8 = 9;

const PMBASE: u16 = 0x40;
const ACPI_CNTL: u16 = 0x44;
const PIRQA_ROUT: u16 = 0x60;
const SIRQ_CNTL: u16 = 0x64;
const PIRQE_ROUT: u16 = 0x68;
const LPC_I_O_DEC: u16 = 0x80;
const LPC_EN: u16 = 0x82;
const GEN1_DEC: u16 = 0x84;
const GEN_PMCON_1: u16 = 0xa0;
const GEN_PMCON_2: u16 = 0xa2;
const GEN_PMCON_3: u16 = 0xa4;
const BIOS_CNTL: u16 = 0xdc;

/// ACPI_CNTL: the power management registers are decoded.
const ACPI_EN: u8 = 1 << 7;
/// PIRQn_ROUT: the interrupt is not routed to an ISA interrupt.
const IRQEN: u8 = 1 << 7;
/// How SeaBIOS routes PIRQA# to PIRQH#.
const FIRMWARE_ROUTES: [u8; 8] = [10, 10, 11, 11, 10, 10, 11, 11];
/// ISA interrupts that PCI ones can be routed to: the others are reserved.
const ROUTABLE: u16 = 0b1101_1110_1111_1000;

const CONFIG: u32 = 0;
const PM: u32 = 1;
const APM: u32 = 2;

/// Timer slot: the PM timer raises SCI.
const OVERFLOW: u32 = 0;

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "ICH9-LPC",
    category: Category::Bridge,
    bus: "PCI",
    description: "ICH9 LPC bridge with ACPI power management",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Everything that the guest can observe of the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LpcState {
    config: ConfigSpace,
    pm: PmState,
    /// APM_CNT and APM_STS.
    apm: [u8; 2],
    /// Levels of PIRQA# (bit 0) to PIRQH#.
    pirq: u8,
}

/// The bridge.
#[derive(Debug)]
pub struct Ich9Lpc {
    layout: Layout,
    sci: OutputPin,
    /// Outputs to the ISA interrupts that PCI ones can be routed to, by number.
    isa: [Option<OutputPin>; 16],
    state: LpcState,
}

fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let sci = board.connect_output(LineId::gsi(SCI));
    let isa =
        std::array::from_fn(|irq| (ROUTABLE >> irq & 1 != 0).then(|| board.connect_output(LineId::gsi(irq as u8))));
    let id = board.add_device(SPEC.name, Box::new(Ich9Lpc::new(sci, isa)));
    for region in [Region::config(CONFIG, 0x1f, 0), pm_region(PM_BASE), Region::ports(APM, 0xb2..0xb4)] {
        board.map(id, region).map_err(|source| AttachError::Map { device: SPEC.name, source })?;
    }
    for pirq in 0..8 {
        board.connect_sink(LineId::gsi(16 + pirq), Sink::Device(id, u32::from(pirq)));
    }
    board.set_power_button(id);
    Ok(id)
}

fn pm_region(base: u16) -> Region {
    let base = u64::from(base);
    Region::ports(PM, base..base + ich9_pm::SIZE)
}

fn layout() -> Layout {
    let identity = Identity { vendor: 0x8086, device: 0x2918, revision: 2, class: 0x06_0100, subsystem: SUBSYSTEM };
    let mut layout = Layout::endpoint(identity).multi_function();
    layout.register(PMBASE, 4, u32::from(PM_BASE) | 1, 0xff80);
    layout.register(ACPI_CNTL, 1, u32::from(ACPI_EN), u32::from(ACPI_EN));
    for (pirq, route) in (0..).zip(FIRMWARE_ROUTES) {
        layout.register(pirq_rout(pirq), 1, u32::from(route), 0x8f);
    }
    layout.register(SIRQ_CNTL, 1, 0x10, 0xff);
    layout.register(LPC_I_O_DEC, 2, 0, 0x1377);
    layout.register(LPC_EN, 2, 0, 0x3fff);
    for range in 0..4 {
        layout.register(GEN1_DEC + 4 * range, 4, 0, 0x00fc_fffd);
    }
    layout.register(GEN_PMCON_1, 2, 0, 0x1e17);
    layout.register(GEN_PMCON_2, 1, 0, 0x85);
    layout.register(GEN_PMCON_3, 1, 0, 0xff);
    layout.register(BIOS_CNTL, 1, 0, 0x0f);
    layout
}

/// The offset of the routing register of PIRQA# (0) to PIRQH# (7).
fn pirq_rout(pirq: u16) -> u16 {
    if pirq < 4 { PIRQA_ROUT + pirq } else { PIRQE_ROUT + pirq - 4 }
}

impl LpcState {
    fn power_on(layout: &Layout, now: Tick) -> Self {
        Self { config: layout.power_on(), pm: PmState::power_on(now), apm: [0; 2], pirq: 0 }
    }

    /// Where the power management registers are decoded.
    fn pm_base(&self) -> Option<u16> {
        let base = self.config.word(PMBASE) & 0xff80;
        (self.config.byte(ACPI_CNTL) & ACPI_EN != 0 && base != 0).then_some(base)
    }

    /// Whether any PCI interrupt that is asserted is routed to ISA interrupt `irq`.
    fn routed(&self, irq: u8) -> bool {
        (0..8).any(|pirq| self.pirq >> pirq & 1 != 0 && self.config.byte(pirq_rout(pirq)) & (IRQEN | 0xf) == irq)
    }

    fn read(&self, region: u32, offset: u64, width: Width, now: Tick) -> u64 {
        match region {
            CONFIG => self.config.read(offset, width),
            PM => u64::from(self.pm.read(offset, now)),
            _ => u64::from(self.apm[(offset & 1) as usize]),
        }
    }
}

impl Ich9Lpc {
    /// A bridge with its outputs to SCI and to the ISA interrupts.
    pub fn new(sci: OutputPin, isa: [Option<OutputPin>; 16]) -> Self {
        let layout = layout();
        let state = LpcState::power_on(&layout, 0);
        Self { layout, sci, isa, state }
    }

    fn write_config(&mut self, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        let before = self.state.pm_base();
        self.state.config.write(&self.layout, offset, width, value, ctx);
        self.move_pm(before, ctx);
        self.drive_isa(ctx);
    }

    fn move_pm(&self, before: Option<u16>, ctx: &mut Context<'_>) {
        let after = self.state.pm_base();
        if before == after {
            return;
        }
        ctx.unmap(Space::Port, PM);
        if let Some(Err(error)) = after.map(|base| ctx.map(pm_region(base))) {
            log::debug!(target: "guest_errors", "PMBASE: {error}");
        }
    }

    fn drive_isa(&self, ctx: &mut Context<'_>) {
        for (irq, pin) in (0..).zip(self.isa) {
            if let Some(pin) = pin {
                ctx.set_line(pin, self.state.routed(irq));
            }
        }
    }

    /// Brings SCI and the timer that will raise it up to date.
    fn update_sci(&self, ctx: &mut Context<'_>) {
        ctx.set_line(self.sci, self.state.pm.sci(ctx.now()));
        match self.state.pm.next_overflow(ctx.now()) {
            Some(deadline) => ctx.arm(OVERFLOW, deadline),
            None => ctx.disarm(OVERFLOW),
        }
    }
}

impl Device for Ich9Lpc {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        self.state.read(region, offset, width, ctx.now())
    }

    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        match region {
            CONFIG => self.write_config(offset, width, value, ctx),
            PM => {
                if self.state.pm.write(offset, value as u8, ctx.now()) {
                    ctx.power(PowerEvent::Off);
                }
                self.update_sci(ctx);
            }
            _ => self.state.apm[(offset & 1) as usize] = value as u8,
        }
    }

    fn peek(&self, region: u32, offset: u64, width: Width, now: Tick) -> u64 {
        self.state.read(region, offset, width, now)
    }

    fn timer(&mut self, _slot: u32, ctx: &mut Context<'_>) {
        self.update_sci(ctx);
    }

    fn line(&mut self, pin: u32, level: bool, ctx: &mut Context<'_>) {
        let bit = 1 << (pin & 7);
        self.state.pirq = if level { self.state.pirq | bit } else { self.state.pirq & !bit };
        self.drive_isa(ctx);
    }

    fn input(&mut self, input: DeviceInput<'_>, ctx: &mut Context<'_>) {
        match input {
            DeviceInput::PowerButton => self.state.pm.press_power_button(),
            DeviceInput::Bytes { .. }
            | DeviceInput::Connected { .. }
            | DeviceInput::Frame(_)
            | DeviceInput::Answer { .. }
            | DeviceInput::Key(_)
            | DeviceInput::Pointer(_) => return,
        }
        self.update_sci(ctx);
    }

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    /// The levels of the PCI interrupts stay: they are inputs, which their drivers reset.
    fn reset(&mut self, ctx: &mut Context<'_>) {
        let before = self.state.pm_base();
        let pirq = self.state.pirq;
        self.state = LpcState { pirq, ..LpcState::power_on(&self.layout, ctx.now()) };
        self.move_pm(before, ctx);
        self.drive_isa(ctx);
        self.update_sci(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use reprise_core::clock::Clock;

    const CONFIG_BASE: u64 = 0x1f << 15;

    fn board() -> Board {
        let mut board = Board::new(1 << 20, 1).unwrap();
        attach(&mut board, &Properties::new(&SPEC, &[]).unwrap()).unwrap();
        board
    }

    #[test]
    fn power_off_is_a_write_of_sleep_type_and_enable() {
        let mut board = board();
        board.write(Space::Port, 0x604, 2, 0x3c01);
        assert_eq!(board.take_power(), Some(PowerEvent::Off));
    }

    #[test]
    fn the_power_button_raises_sci_once_it_is_enabled() {
        let mut board = board();
        board.write(Space::Port, 0x602, 2, 0x100);
        board.person_input(DeviceInput::PowerButton);
        assert!(board.line_level(LineId::gsi(SCI)));
        board.write(Space::Port, 0x600, 2, 0x100);
        assert!(!board.line_level(LineId::gsi(SCI)));
    }

    #[test]
    fn the_timer_overflow_is_armed_while_it_is_enabled() {
        let mut board = board();
        board.write(Space::Port, 0x602, 2, 1);
        assert_eq!(board.scheduler.next_deadline(), Some(Clock::new(3_579_545).tick_of(1 << 23)));
        board.write(Space::Port, 0x602, 2, 0);
        assert_eq!(board.scheduler.next_deadline(), None);
    }

    #[test]
    fn the_power_management_block_moves() {
        let mut board = board();
        board.write(Space::PciConfig, CONFIG_BASE + 0x40, 4, 0xb000);
        assert_eq!(board.read(Space::PciConfig, CONFIG_BASE + 0x40, 4), 0xb001);
        assert_eq!(board.read(Space::Port, 0x604, 2), 0xffff);
        assert_eq!(board.read(Space::Port, 0xb004, 2), 1);
        board.write(Space::PciConfig, CONFIG_BASE + 0x44, 1, 0);
        assert_eq!(board.read(Space::Port, 0xb004, 2), 0xffff);
        board.reset_devices();
        assert_eq!(board.read(Space::Port, 0x604, 2), 1);
    }

    #[test]
    fn pci_interrupts_follow_the_routing_registers() {
        let mut board = board();
        let pin = board.connect_output(LineId::gsi(20));
        board.set_line(pin, true);
        assert!(board.line_level(LineId::gsi(10)));
        board.write(Space::PciConfig, CONFIG_BASE + 0x68, 1, 5);
        assert!(!board.line_level(LineId::gsi(10)) && board.line_level(LineId::gsi(5)));
        board.write(Space::PciConfig, CONFIG_BASE + 0x68, 1, 0x85);
        assert!(!board.line_level(LineId::gsi(5)));
    }

    #[test]
    fn identity_and_multi_function() {
        let mut board = board();
        assert_eq!(board.read(Space::PciConfig, CONFIG_BASE, 4), 0x2918_8086);
        assert_eq!(board.read(Space::PciConfig, CONFIG_BASE + 0x0e, 1), 0x80);
    }
}
