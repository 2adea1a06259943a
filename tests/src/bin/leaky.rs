//! `reprise` with a planted fault: a device that lets a guest read the host's clock.
//!
//! No recording can hold what it leaks, so a replay of a guest that looks at it must diverge, and be told.

use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// The port, of four bytes.
const PORT: u64 = 0x5c0;

static SPEC: DeviceSpec = DeviceSpec {
    name: "leaky-clock",
    category: Category::Misc,
    bus: "ISA",
    description: "Port at which the host's clock leaks into the guest",
    user_creatable: true,
    properties: &[],
    attach,
};

fn attach(board: &mut Board, _properties: &Properties) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::new(LeakyClock { latched: 0 }));
    let mapped = board.map(id, Region::ports(0, PORT..PORT + 4).widths(4, 4));
    mapped.map_err(|source| AttachError::Map { device: SPEC.name, source })?;
    Ok(id)
}

/// The device.
struct LeakyClock {
    /// What was read last.
    latched: u32,
}

impl Device for LeakyClock {
    fn read(&mut self, _region: u32, _offset: u64, _width: Width, _ctx: &mut Context<'_>) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the host's clock is past 1970");
        self.latched = since.subsec_nanos();
        u64::from(self.latched)
    }

    fn write(&mut self, _region: u32, _offset: u64, _width: Width, _value: u64, _ctx: &mut Context<'_>) {}

    fn peek(&self, _region: u32, _offset: u64, _width: Width, _now: Tick) -> u64 {
        u64::from(self.latched)
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _ctx: &mut Context<'_>) {
        self.latched = 0;
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.latched)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.latched = decode(SPEC.name, state)?;
        Ok(())
    }
}

static KINDS: [&DeviceSpec; 1] = [&SPEC];

fn main() -> ExitCode {
    reprise::main_with(&KINDS)
}
