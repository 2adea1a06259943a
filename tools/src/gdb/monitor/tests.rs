//! The monitor of a machine that is running.

use super::{COMMANDS, run};
use crate::cli::values::DEFAULT_RTC_BASE;
use crate::engine::EngineKind;
use crate::gdb::debuggee::Debuggee;
use crate::machine::{BootConfig, MachineConfig, build};
use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::door::Script;
use reprise_core::edit::Edit;
use reprise_core::machine::{End, Machine};
use reprise_core::output::Output;
use reprise_core::probe::Probes;
use reprise_replay::timeline::{Direction, Stop, Timeline, Watcher};

/// The embedded guest, where it has run for a while.
struct Live(Machine);

impl Debuggee for Live {
    fn machine(&self) -> &Machine {
        &self.0
    }

    fn timeline(&mut self) -> Option<&mut Timeline> {
        None
    }

    fn run(&mut self, _: &Probes, _: Direction, _: &mut dyn Watcher) -> Stop {
        unreachable!("the monitor runs no machine that has no history")
    }

    fn edit(&mut self, _: Edit) -> Result<(), String> {
        unreachable!("the monitor changes nothing by itself")
    }
}

/// Nobody watches.
struct Nobody;

impl Watcher for Nobody {
    fn pass(&mut self, _: Tick) -> bool {
        true
    }

    fn output(&mut self, _: Tick, _: Output) {}
}

fn live() -> Live {
    let config = MachineConfig {
        machine: "q35".into(),
        cpu: Model::DEFAULT.into(),
        cpus: 2,
        ram: 128 << 20,
        serial: [Some(ChardevId(0)), None, None, None],
        disks: Vec::new(),
        rtc_base: DEFAULT_RTC_BASE,
        devices: Vec::new(),
        boot: BootConfig::default(),
        no_reboot: true,
    };
    let mut machine = build(&config, EngineKind::Interp.make()).unwrap();
    assert_eq!(machine.run(&mut Script::default(), 200_000), End::Until);
    Live(machine)
}

fn say(live: &mut Live, command: &str) -> String {
    run(command, live, 0, &mut Nobody)
}

#[test]
fn memory_is_shown_as_it_is() {
    let mut live = live();
    let mut bytes = [0; 8];
    live.0.read_physical(0x10_0000, &mut bytes);
    let expected = format!("0000000000100000: {:#018x}\n", u64::from_le_bytes(bytes));
    assert_eq!(say(&mut live, "xp/1xg 0x100000"), expected);
    assert_eq!(say(&mut live, "x /gx 0x100010-0x10"), expected);
    let rip = live.0.cpus[0].regs.rip();
    let text = say(&mut live, "x/3i $rip");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with(&format!("{rip:#010x}:  ")), "{text}");
    assert_eq!(say(&mut live, "x 0x8000000000000000"), "Cannot access memory\n");
    assert_eq!(say(&mut live, "x/2xb 0xffffffffffffffff").lines().last(), Some("Cannot access memory"));
}

#[test]
fn the_machine_describes_itself() {
    let mut live = live();
    let registers = say(&mut live, "info registers");
    assert!(registers.contains(&format!("RIP={:016x} ", live.0.cpus[0].regs.rip())), "{registers}");
    let all = say(&mut live, "info registers -a");
    assert!(all.starts_with(&registers) && all.contains("CPU#1"), "{all}");
    let tree = say(&mut live, "info mtree");
    for line in [
        "    0000000000000000-000000000009ffff (prio 0, ram): pc.ram",
        "    00000000000c0000-0000000007ffffff (prio 0, ram): pc.ram @00000000000c0000",
        "address-space: I/O",
    ] {
        assert!(tree.lines().any(|found| found == line), "{line} is not in {tree}");
    }
    let devices = say(&mut live, "info qtree");
    assert_eq!(devices, say(&mut live, "info devices"));
    assert!(devices.contains("bus: pcie.0") && devices.contains("ports 03f8/0008"), "{devices}");
}

/// The embedded guest is no Linux.
#[test]
fn a_kernel_that_is_not_there_is_not_found() {
    let mut live = live();
    let text = say(&mut live, "info kaslr");
    assert!(text.contains("seek to where"), "{text}");
    assert!(say(&mut live, "info version").starts_with("Reprise "));
}

#[test]
fn what_needs_a_history_says_so() {
    let mut live = live();
    for command in ["seek 0", "last-write 0x1000", "checkpoint", "diversion drop", "info inputs", "info checkpoints"] {
        let text = say(&mut live, command);
        assert!(text.contains("reprise replay FILE -gdb"), "{command}: {text}");
    }
    assert_eq!(say(&mut live, "when").lines().next(), Some("tick 200000 (0.000200000 s), running"));
}

#[test]
fn what_is_not_understood_is_answered() {
    let mut live = live();
    let text = say(&mut live, "sek 5");
    assert!(text.starts_with("unknown command 'sek'; did you mean 'seek'?\nvalid choices: help, "), "{text}");
    assert!(say(&mut live, "info mtre").contains("did you mean 'mtree'?"));
    assert!(say(&mut live, "info registers -b").starts_with("usage: info "));
    assert!(say(&mut live, "help xx").contains("unknown command 'xx'"));
    assert!(say(&mut live, "x/4q 0").starts_with("unknown format 'q'"));
    assert!(say(&mut live, "x &jiffies").contains("gdb's own expressions"));
    for command in ["", "help", "help help"] {
        assert!(say(&mut live, command).contains("help"), "{command}");
    }
    for command in COMMANDS {
        assert!(say(&mut live, &format!("help {}", command.name)).starts_with(command.name));
    }
}

/// Words of commands in an order that nobody thought of, and bytes that are no words.
#[test]
fn no_command_breaks_it() {
    let mut live = live();
    let words = [
        "x",
        "xp",
        "/",
        "/9999999x",
        "x/-1",
        "info",
        "registers",
        "-a",
        "inputs",
        "99999999999999999999",
        "mtree",
        "seek",
        "next",
        "last",
        "-1",
        "+",
        "%",
        "icount",
        "when",
        "help",
        "checkpoint",
        "list",
        "diversion",
        "drop",
        "save",
        "/etc",
        "last-write",
        "-p",
        ",",
        "0,0",
        "1,0xffffffffffffffff",
        "$rip",
        "$",
        "kaslr",
        "gdb-script",
        "\u{0}",
        "\u{1f600}",
        "'",
    ];
    let mut seed = 1_u64;
    for _ in 0..3000 {
        let mut command = String::new();
        loop {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            command += words[(seed >> 40) as usize % words.len()];
            if seed >> 62 == 0 {
                break;
            }
            command += if seed >> 61 & 1 == 0 { " " } else { "" };
        }
        let text = say(&mut live, &command);
        assert!(text.ends_with('\n'), "{command}: {text}");
    }
    assert!(say(&mut live, &"x".repeat(10_000)).starts_with("a command has at most"));
    assert_eq!(live.0.now(), 200_000);
}

#[test]
fn the_document_names_commands_that_there_are() {
    let document = include_str!("../../../GDB.md");
    let mut live = live();
    let typed = document.lines().filter_map(|line| line.strip_prefix("(gdb) monitor "));
    let quoted = document.split('`').filter_map(|quoted| quoted.strip_prefix("monitor "));
    let named: Vec<_> = typed.chain(quoted).collect();
    assert!(named.len() > 12, "{named:?}");
    for command in named {
        let text = say(&mut live, command);
        assert!(!text.starts_with("unknown") && !text.starts_with("usage"), "monitor {command}: {text}");
    }
}
