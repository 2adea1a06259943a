//! What gdb's `monitor` does: commands that go to Reprise as text.
//!
//! The words and the layouts are those of QEMU's monitor where it has the command. A command comes from whoever reached
//! the server's socket, so it is text that is not trusted: each has a bound on what it costs in memory, and none touches
//! a file of the host but `diversion save`, which makes a new one in the folder where the server was started.

mod checkpoints;
mod devices;
mod diversion;
mod events;
mod expression;
mod fingerprint;
mod help;
mod inputs;
mod kaslr;
mod last_write;
mod memory;
mod mtree;
mod position;
mod registers;
mod script;

#[cfg(test)]
mod tests;

use super::debuggee::Debuggee;
use crate::usage::UsageError;
use reprise_core::clock::Tick;
use reprise_core::cpu::CpuState;
use reprise_core::machine::Machine;
use reprise_core::output::Output;
use reprise_replay::timeline::{Stop, Timeline, Watcher};

/// Longest command in bytes.
const LONGEST: usize = 4096;

/// What a command says; an error is said just so, and nothing has moved.
type Answer = Result<String, String>;

/// A command at work.
struct Monitor<'a> {
    debuggee: &'a mut dyn Debuggee,
    /// The vCPU that gdb has selected.
    cpu: usize,
    watcher: &'a mut dyn Watcher,
}

/// A command.
struct Command {
    name: &'static str,
    /// What comes after the name.
    arguments: &'static str,
    /// What it does, in a line.
    summary: &'static str,
    /// What else there is to know; may be empty.
    details: &'static str,
    run: fn(&mut Monitor<'_>, &[&str]) -> Answer,
}

/// Every command, in the order in which `help` lists them.
const COMMANDS: [&Command; 11] = [
    &help::HELP,
    &position::WHEN,
    &position::SEEK,
    &fingerprint::FINGERPRINT,
    &last_write::LAST_WRITE,
    &checkpoints::CHECKPOINT,
    &diversion::DIVERSION,
    &INFO,
    &memory::X,
    &memory::XP,
    &script::GDB_SCRIPT,
];

const INFO: Command = Command {
    name: "info",
    arguments: "registers [-a]|mtree|devices|inputs [N]|checkpoints|kaslr|version",
    summary: "show something of the machine or its recording",
    details: "\
registers    of the vCPU that gdb has selected; -a of all of them
mtree        who answers at which address of memory and of the ports
devices      the devices with their addresses and buses (also: info qtree)
inputs       the recorded inputs around the position, N (10) before and N after it
checkpoints  the positions that are quickly reached
kaslr        where the guest's kernel is, and how gdb learns of it
version      of Reprise; Linux's own commands for gdb ask for it, as they ask QEMU",
    run: info,
};

/// Carries `command` out for the vCPU `cpu`, which gdb has selected; what there is to say.
pub(crate) fn run(command: &str, debuggee: &mut dyn Debuggee, cpu: usize, watcher: &mut dyn Watcher) -> String {
    let cpu = cpu.min(debuggee.machine().cpus.len() - 1);
    let answer = Monitor { debuggee, cpu, watcher }.obey(command);
    let mut text = answer.unwrap_or_else(|error| error);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

impl Monitor<'_> {
    fn obey(&mut self, command: &str) -> Answer {
        if command.len() > LONGEST {
            return Err(format!("a command has at most {LONGEST} characters"));
        }
        let command = with_spaced_format(command);
        let words: Vec<_> = command.split_whitespace().collect();
        let Some((name, arguments)) = words.split_first() else { return Ok(help::overview()) };
        let command = find(name)?;
        (command.run)(self, arguments)
    }

    fn machine(&self) -> &Machine {
        self.debuggee.machine()
    }

    fn vcpu(&self) -> &CpuState {
        &self.machine().cpus[self.cpu]
    }

    /// The timeline, for a command that needs one.
    fn timeline(&mut self) -> Result<&mut Timeline, String> {
        self.debuggee.timeline().ok_or_else(no_timeline)
    }

    /// Goes back to where the machine was, whoever has lost patience meanwhile.
    fn return_to(&mut self, tick: Tick) -> Result<Stop, String> {
        let (timeline, watcher) = self.moving()?;
        Ok(timeline.seek(tick, &mut Patient(watcher)))
    }

    /// The timeline and who waits for it.
    fn moving(&mut self) -> Result<(&mut Timeline, &mut dyn Watcher), String> {
        Ok((self.debuggee.timeline().ok_or_else(no_timeline)?, self.watcher))
    }
}

/// Shows what there is to see, and does not end a movement.
struct Patient<'a>(&'a mut dyn Watcher);

impl Watcher for Patient<'_> {
    fn pass(&mut self, now: Tick) -> bool {
        self.0.pass(now);
        true
    }

    fn output(&mut self, now: Tick, output: Output) {
        self.0.output(now, output);
    }
}

/// The format of `x` and `xp` may follow without a space.
fn with_spaced_format(command: &str) -> String {
    match command.split_once('/') {
        Some((name @ ("x" | "xp"), format)) => format!("{name} /{format}"),
        Some(_) | None => command.to_owned(),
    }
}

fn no_timeline() -> String {
    "this machine is running, and has no history: record it, and open the recording with 'reprise replay FILE -gdb'"
        .into()
}

/// The command called `name`.
fn find(name: &str) -> Result<&'static Command, String> {
    let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
    let found = COMMANDS.iter().find(|command| command.name == name);
    found.copied().ok_or_else(|| unknown("command", name, &names))
}

/// `name` is no `kind` of these.
fn unknown(kind: &str, name: &str, choices: &[&str]) -> String {
    let name: String = name.chars().take(40).collect();
    UsageError::unknown(kind, &name.escape_debug().to_string(), choices).to_string()
}

/// The command was given arguments that it does not take.
fn usage(command: &Command) -> String {
    format!("usage: {} {}\n'help {}' tells more", command.name, command.arguments, command.name)
}

fn info(monitor: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    match *arguments {
        [] => Ok(help::of(&INFO)),
        ["registers"] => Ok(registers::of(monitor.vcpu())),
        ["registers", "-a"] => Ok(monitor.machine().cpus.iter().map(registers::of).collect()),
        ["mtree"] => Ok(mtree::show(&monitor.machine().board)),
        ["devices" | "qtree"] => Ok(devices::show(&monitor.machine().board)),
        ["inputs"] => inputs::show(monitor, None),
        ["inputs", count] => inputs::show(monitor, Some(count)),
        ["checkpoints"] => checkpoints::list(monitor),
        ["kaslr"] => kaslr::show(monitor),
        ["version"] => Ok(concat!("Reprise ", env!("CARGO_PKG_VERSION")).into()),
        [name, ..] => {
            let names = ["registers", "mtree", "devices", "qtree", "inputs", "checkpoints", "kaslr", "version"];
            if names.contains(&name) { Err(usage(&INFO)) } else { Err(unknown("subject of info", name, &names)) }
        }
    }
}
