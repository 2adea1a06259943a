//! The configuration of a machine, for people.

use super::bytes;
use crate::machine::{DeviceConfig, MachineConfig};
use jiff::Timestamp;
use serde_json::Value;

/// Rows of names and values that say all of `config`; as it is, if it is not of this build.
pub(super) fn rows(config: &Value) -> Vec<(&'static str, String)> {
    let console = config["console"].as_u64();
    match serde_json::from_value(config.clone()) {
        Ok(config) => of_config(&config, console),
        Err(_) => vec![("machine", config.to_string())],
    }
}

/// `console` is the character device that was on the terminal.
fn of_config(config: &MachineConfig, console: Option<u64>) -> Vec<(&'static str, String)> {
    // A new field has to be shown here.
    let MachineConfig { machine, cpu, cpus, ram, serial, disks, rtc_base, devices, boot, no_reboot } = config;
    let many = if *cpus == 1 { "" } else { "s" };
    let mut rows = vec![
        ("machine", format!("{machine}, {cpus} vCPU{many} of {cpu}, {} of RAM", bytes(*ram))),
        ("clock", format!("{} at the start", date(*rtc_base))),
        ("kernel", boot.kernel.as_ref().map_or("the embedded guest".into(), |path| path.display().to_string())),
    ];
    rows.extend(boot.initrd.iter().map(|initrd| ("initrd", initrd.clone())));
    if !boot.command_line.is_empty() {
        rows.push(("command line", boot.command_line.clone()));
    }
    for (number, chardev) in (1..).zip(serial) {
        rows.extend(chardev.iter().map(|chardev| {
            let terminal = if console == Some(chardev.0.into()) { ", the console" } else { "" };
            ("serial port", format!("COM{number} on chardev {}{terminal}", chardev.0))
        }));
    }
    for (number, disk) in disks.iter().enumerate() {
        let access = if disk.read_only { ", read-only" } else { "" };
        rows.push(("disk", format!("{number}: {}{access}", bytes(disk.size))));
    }
    rows.extend(devices.iter().map(|it| ("device", device(it))));
    rows.push(("a reset", if *no_reboot { "ends the run" } else { "starts the machine again" }.into()));
    rows
}

/// A device as `-device` has it; back ends by number.
fn device(device: &DeviceConfig) -> String {
    let id = device.id.iter().map(|id| format!(",id={id}"));
    let properties = device.properties.iter().map(|(name, value)| format!(",{name}={value}"));
    id.chain(properties).fold(device.name.clone(), |text, part| text + &part)
}

fn date(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| format!("{seconds} s after 1970"), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::BootConfig;
    use reprise_core::backend::ChardevId;
    use reprise_core::disk::DiskGeometry;

    #[test]
    fn all_of_a_machine_is_shown() {
        let config = MachineConfig {
            machine: "q35".into(),
            cpu: "x86-64-v2".into(),
            cpus: 2,
            ram: 128 << 20,
            serial: [None, Some(ChardevId(3)), None, None],
            disks: vec![DiskGeometry { size: 1 << 20, read_only: true }],
            rtc_base: 1_767_225_600,
            devices: vec![DeviceConfig {
                name: "virtio-blk-pci".into(),
                id: Some("d".into()),
                properties: vec![("drive".into(), "0".into())],
            }],
            boot: BootConfig { kernel: Some("vmlinuz".into()), initrd: None, command_line: "quiet".into() },
            no_reboot: true,
        };
        let lines: Vec<_> =
            of_config(&config, Some(3)).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "machine: q35, 2 vCPUs of x86-64-v2, 128.0 MiB of RAM",
            "clock: 2026-01-01T00:00:00Z at the start",
            "kernel: vmlinuz",
            "command line: quiet",
            "serial port: COM2 on chardev 3, the console",
            "disk: 0: 1.0 MiB, read-only",
            "device: virtio-blk-pci,id=d,drive=0",
            "a reset: ends the run",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_configuration_of_another_build_is_shown_as_it_is() {
        assert_eq!(rows(&serde_json::json!({ "cores": 2 })), [("machine", r#"{"cores":2}"#.to_owned())]);
        assert_eq!(date(u64::MAX), "18446744073709551615 s after 1970");
    }
}
