//! `mch`: the host bridge of the memory controller hub, function 00:00.0.
//!
//! Intel 3 Series Express Chipset Family datasheet (316966), 5 DRAM Controller Registers (D0:F0).
//!
//! The PAM, SMRAM and remap registers are storage: RAM answers at all addresses below 1 MiB but the VGA window, and there
//! is no system management mode. PCIEXBAR is what firmware would leave, and read-only: see [`super::root`].

use super::{ECAM_BASE, Identity, Layout, SUBSYSTEM};
use crate::pci::ConfigSpace;
use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

const PCIEXBAR: u16 = 0x60;
const PAM0: u16 = 0x90;
const SMRAM: u16 = 0x9d;
const TOLUD: u16 = 0xb0;

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "mch",
    category: Category::Bridge,
    bus: "PCIE",
    description: "host bridge",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Everything that the guest can observe of the host bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MchState {
    config: ConfigSpace,
}

/// The host bridge.
#[derive(Debug)]
pub struct Mch {
    layout: Layout,
    state: MchState,
}

fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::new(Mch::new(board.low_ram())));
    board.map(id, Region::config(0, 0, 0)).map_err(|source| AttachError::Map { device: SPEC.name, source })?;
    Ok(id)
}

impl Mch {
    /// A host bridge of a machine with `low_ram` bytes of RAM below 4 GiB.
    pub fn new(low_ram: u64) -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x29c0, revision: 2, class: 0x06_0000, subsystem: SUBSYSTEM };
        let mut layout = Layout::endpoint(identity);
        layout.register(PCIEXBAR, 4, ECAM_BASE as u32 | 1, 0);
        layout.register(PAM0, 1, 0, 0x30);
        for pam in 1..7 {
            layout.register(PAM0 + pam, 1, 0, 0x33);
        }
        layout.register(SMRAM, 1, 0x02, 0x78);
        layout.register(TOLUD, 2, (low_ram >> 16) as u32 & 0xfff0, 0);
        let state = MchState { config: layout.power_on() };
        Self { layout, state }
    }
}

impl Device for Mch {
    fn read(&mut self, _region: u32, offset: u64, width: Width, _ctx: &mut Context<'_>) -> u64 {
        self.state.config.read(offset, width)
    }

    fn write(&mut self, _region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        self.state.config.write(&self.layout, offset, width, value, ctx);
    }

    fn peek(&self, _region: u32, offset: u64, width: Width, _now: Tick) -> u64 {
        self.state.config.read(offset, width)
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, ctx: &mut Context<'_>) {
        self.state.config.reset(&self.layout, ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}
