//! Texts that teach: what `-help` says after the options, and the lists that `help` as a value shows.

use super::values::LOG_ITEMS;
use crate::exit_status;
use crate::machine::{MACHINES, creatable_devices};
use reprise_backend::chardev;
use reprise_core::cpu::Model;
use reprise_core::cpu::model::MODELS;
use reprise_core::property::{DeviceSpec, PropertyKind, PropertySpec};
use std::fmt::Write;

/// What `reprise run -help` says after the options.
pub(super) fn after_run() -> String {
    format!(
        "\
Options are QEMU's and are written with one dash or two: -kernel FILE, --kernel FILE, --kernel=FILE.

Keys, on the console of -serial mon:stdio:
{keys}
Debugging:
  With -s, or -gdb WHERE, gdb can call at any time: gdb -ex 'target remote :1234' VMLINUX. That stops the machine; gdb's
  continue and detach let it go on, kill ends the run. If gdb only vanishes, the machine runs or stands still as it was
  left. Without a client it runs at full speed. vCPUs are threads, and all breakpoints are kept outside the guest. A
  running machine goes forward only: record it, and reprise replay FILE -gdb goes both ways.

Disks:
  -drive, -hda and the others add a virtio disk: there is no IDE controller, which would be QEMU's choice. if=none adds
  only the image, for -device virtio-blk-pci,drive=ID. Images are raw or qcow2; without format= their contents say which.
  An image is never written during a run. What the guest wrote is written back after it with -commit or snapshot=off,
  and dropped otherwise. An image that another program writes to is refused, unless share-rw=on or force-share=on.
  cache=, aio=, discard=, detect-zeroes=, werror= and rerror= are taken and change nothing.

Exit status:
{statuses}  A signal that ends the run (Ctrl-C with -serial stdio, kill) ends reprise too, with the terminal put back.

Examples:
  reprise run
      boots the embedded guest, which checks the machine and switches it off
  reprise run -m 512M -kernel vmlinuz -initrd initrd.img -append 'console=ttyS0'
      boots Linux with its console on this terminal
  reprise run -m 512M -kernel vmlinuz -initrd initrd.img -nic user,hostfwd=tcp:127.0.0.1:8080-:80
      gives the guest a network adapter (there is none otherwise), and its port 80 to this host's port 8080
  reprise run -kernel test.elf -device isa-debug-exit,iobase=0xf4,iosize=4 -no-reboot
      runs a unit test's kernel, whose result is the exit status
  reprise run -serial file:boot.log -pace fast -until 10s -fingerprint
      runs ten seconds of guest time as fast as it goes, and prints what identifies the state
",
        keys = indented(chardev::HELP),
        statuses = indented(exit_status::TABLE),
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// What `-device help` shows, as QEMU does.
pub(super) fn devices() -> String {
    let mut specs: Vec<_> = creatable_devices().collect();
    specs.sort_by_key(|spec| (spec.category, spec.name));
    let mut text = String::new();
    for (index, spec) in specs.iter().enumerate() {
        if index == 0 || specs[index - 1].category != spec.category {
            let gap = if index == 0 { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}:", spec.category.title());
        }
        let bus = if spec.bus.is_empty() { String::new() } else { format!(", bus {}", spec.bus) };
        let _ = writeln!(text, "name \"{}\"{bus}, desc \"{}\"", spec.name, spec.description);
    }
    text
}

/// What `-device NAME,help` shows.
pub(super) fn properties(spec: &DeviceSpec) -> String {
    let mut text = format!("{} options:\n", spec.name);
    for property in spec.properties {
        let form = format!("{}={}", property.name, values_of(property));
        let default =
            if property.default.is_empty() { String::new() } else { format!(" (default: {})", property.default) };
        let _ = writeln!(text, "  {form:<22} - {}{default}", property.description);
    }
    if spec.properties.is_empty() {
        text.push_str("  none\n");
    }
    text
}

fn values_of(property: &PropertySpec) -> String {
    match property.kind {
        PropertyKind::Bool => "<on|off>".into(),
        PropertyKind::Number(max) => format!("<0..{max:#x}>"),
        PropertyKind::Text => "<text>".into(),
        PropertyKind::Backend(kind) => format!("<id of a {kind}>"),
        PropertyKind::Choice(words) => format!("<{}>", words.join("|")),
    }
}

/// What `-cpu help` shows.
pub(super) fn cpus() -> String {
    let line = |model: &Model| {
        let default = if model.name == Model::DEFAULT { " (the default)" } else { "" };
        (model.name, format!("{}{default}", model.description))
    };
    list("CPU models", MODELS.iter().map(line))
}

/// What `-machine help` shows.
pub(super) fn machines() -> String {
    list("Machines", MACHINES.into_iter().map(|(name, text)| (name, text.into())))
}

/// What `-d help` shows.
pub(super) fn log_items() -> String {
    list("Log items, separated by commas", LOG_ITEMS.into_iter().map(|(name, text)| (name, text.into())))
}

fn list<'a>(title: &str, lines: impl Iterator<Item = (&'a str, String)>) -> String {
    lines.fold(format!("{title}:\n"), |text, (name, description)| format!("{text}  {name:<14} {description}\n"))
}
