//! The wiring of a machine: from a configuration, which is a value, to a machine at power-on.

use crate::boot::files::{Files, HostFiles};
use crate::boot::{self, Loader, Request, Source};
use crate::embedded_guest;
use crate::engine::MakeEngine;
use anyhow::{Context, Result, ensure};
use reprise_core::backend::ChardevId;
use reprise_core::board::Board;
use reprise_core::cpu::Model;
use reprise_core::disk::DiskGeometry;
use reprise_core::engine::Engine;
use reprise_core::machine::Machine;
use reprise_core::property::{DeviceSpec, Properties};
use reprise_frontend::DEVICES;
use reprise_frontend::pc::{self, PcConfig, SERIAL_PORTS};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The machine that there is, and QEMU's names that lead to it.
pub const MACHINES: [(&str, &str); 3] = [
    ("q35", "PC with the Q35 and ICH9 chipset (the default)"),
    ("pc-q35", "the same"),
    ("pc", "the same: there is no machine with an older chipset"),
];

/// Everything that determines a run but its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Name of the board.
    pub machine: String,
    /// Name of the CPU model.
    pub cpu: String,
    /// Number of vCPUs.
    pub cpus: u32,
    /// Bytes of RAM.
    pub ram: u64,
    /// The character device of each serial port; `None` leaves the port out.
    pub serial: [Option<ChardevId>; SERIAL_PORTS],
    /// The disks: size and access, by number.
    pub disks: Vec<DiskGeometry>,
    /// What the real-time clock shows at tick 0, in seconds since 1970.
    pub rtc_base: u64,
    /// Devices besides those of the board, in order.
    pub devices: Vec<DeviceConfig>,
    /// What is booted.
    pub boot: BootConfig,
    /// Whether a reset ends the run.
    pub no_reboot: bool,
}

/// A device besides those of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Its kind.
    pub name: String,
    /// What the user calls it.
    pub id: Option<String>,
    /// The properties that the user gave.
    pub properties: Vec<(String, String)>,
}

/// What is booted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// The kernel; the embedded guest if there is neither a kernel nor a `loader` device.
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk, or its modules.
    pub initrd: Option<String>,
    /// Its command line.
    pub command_line: String,
}

/// Kinds of devices that are not part of Reprise: a program of tests brings them.
static EXTRA_DEVICES: OnceLock<&'static [&'static DeviceSpec]> = OnceLock::new();

/// Adds kinds of devices to those there are, for the whole process; the first call counts.
pub(crate) fn add_kinds(extra: &'static [&'static DeviceSpec]) {
    EXTRA_DEVICES.get_or_init(|| extra);
}

/// The kinds of devices that a user can add.
pub fn creatable_devices() -> impl Iterator<Item = &'static DeviceSpec> {
    let extra = EXTRA_DEVICES.get().copied().unwrap_or_default();
    let all = DEVICES.iter().chain(extra).copied().chain([&boot::loader::SPEC]);
    all.filter(|spec| spec.user_creatable)
}

/// Their names.
pub fn device_names() -> Vec<&'static str> {
    let mut names: Vec<_> = creatable_devices().map(|spec| spec.name).collect();
    names.sort_unstable();
    names
}

/// The kind of device called `name`, if a user can add it.
pub fn device_spec(name: &str) -> Option<&'static DeviceSpec> {
    creatable_devices().find(|spec| spec.name == name)
}

/// Builds the machine that `config` describes, and puts what it boots into its memory. No file of the host but those is
/// touched.
pub fn build(config: &MachineConfig, engine: MakeEngine) -> Result<Machine> {
    build_from(config, engine, &mut HostFiles)
}

/// The same with what it boots from `files`; the host is not touched.
pub fn build_from(
    config: &MachineConfig,
    engine: impl FnOnce(&'static Model) -> Box<dyn Engine>,
    files: &mut dyn Files,
) -> Result<Machine> {
    let model = Model::find(&config.cpu).with_context(|| format!("unknown CPU model '{}'", config.cpu))?;
    let mut board = Board::new(config.ram, config.cpus as usize)?;
    let pc = pc::build(&mut board, &PcConfig { serial: config.serial, rtc_base: config.rtc_base })?;
    for &disk in &config.disks {
        board.add_disk(disk);
    }
    for device in config.devices.iter().filter(|device| !is_loader(device)) {
        let spec = device_spec(&device.name).with_context(|| format!("unknown device '{}'", device.name))?;
        (spec.attach)(&mut board, &Properties::new(spec, &device.properties)?.of(device.id.as_deref()))?;
    }
    let image = boot::load(&request(config)?, files, &board, &pc, model)?;
    let mut machine = Machine::new(board, model, engine(model));
    machine.set_no_reboot(config.no_reboot);
    machine.set_boot(image);
    Ok(machine)
}

fn is_loader(device: &DeviceConfig) -> bool {
    device.name == boot::loader::SPEC.name
}

fn request(config: &MachineConfig) -> Result<Request> {
    let BootConfig { kernel, initrd, command_line } = &config.boot;
    let loaders = config.devices.iter().filter(|device| is_loader(device));
    let loaders = loaders.map(|device| Loader::new(&device.properties)).collect::<Result<Vec<_>, _>>()?;
    let kernel = match kernel {
        Some(path) => Some(Source::File(path.clone())),
        None if loaders.is_empty() => {
            Some(Source::BuiltIn { name: "the embedded guest", bytes: embedded_guest::KERNEL })
        }
        None => None,
    };
    let has_kernel = config.boot.kernel.is_some();
    ensure!(has_kernel || initrd.is_none(), "-initrd is for a kernel: add -kernel FILE");
    ensure!(has_kernel || command_line.is_empty(), "-append is for a kernel: add -kernel FILE");
    Ok(Request { kernel, initrd: initrd.clone(), command_line: command_line.clone(), loaders })
}
