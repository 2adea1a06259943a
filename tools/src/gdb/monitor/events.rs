//! `seek next|last EVENT`: recorded inputs, and interrupts that a vCPU takes.

use super::{Answer, Monitor, position, unknown};
use crate::dump::{Kind, text_line};
use reprise_core::cpu::CpuState;
use reprise_core::door::HostInput;
use reprise_core::machine::Machine;
use reprise_core::probe::{Breakpoint, Cause, Probes};
use reprise_replay::Event;
use reprise_replay::timeline::{Direction, Stop};
use std::collections::BTreeMap;

/// The first vector that is no exception (SDM vol. 3, 6.2 Exception and Interrupt Vectors).
const FIRST_INTERRUPT: u8 = 32;

/// Goes to the nearest event of this name.
pub(super) fn seek(monitor: &mut Monitor<'_>, name: &str, direction: Direction) -> Answer {
    match name {
        "interrupt" => seek_interrupt(monitor, direction),
        "input" => seek_input(monitor, direction, name, None),
        "packet" => seek_input(monitor, direction, name, Some(Kind::Frame)),
        _ => match kinds().find(|kind| kind.name() == name) {
            Some(kind) => seek_input(monitor, direction, name, Some(kind)),
            None => {
                let names: Vec<_> =
                    ["interrupt", "input", "packet"].into_iter().chain(kinds().map(Kind::name)).collect();
                Err(unknown("event", name, &names))
            }
        },
    }
}

/// The kinds of inputs.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| kind.is_input())
}

fn seek_input(monitor: &mut Monitor<'_>, direction: Direction, name: &str, kind: Option<Kind>) -> Answer {
    let now = monitor.machine().now();
    let is_wanted = |input: &HostInput| {
        let found = Kind::of(&Event::Input(input.clone()));
        kind.is_none_or(|kind| kind == found)
    };
    let (timeline, watcher) = monitor.moving()?;
    let found = timeline.nearest_inputs(now, direction, 1, &is_wanted).map_err(|error| error.to_string())?;
    let Some((tick, input)) = found.into_iter().next() else { return Err(none(name, direction)) };
    let stop = timeline.seek(tick, watcher);
    Ok(format!("{}\n{}", text_line(&Event::Input(input)), position::arrived(monitor, &stop)?))
}

fn none(name: &str, direction: Direction) -> String {
    match direction {
        Direction::Forward => format!("the recording has no {name} after this position"),
        Direction::Backward => format!("the recording has no {name} before this position"),
    }
}

fn seek_interrupt(monitor: &mut Monitor<'_>, direction: Direction) -> Answer {
    let handlers = handlers(monitor.machine());
    if handlers.is_empty() {
        return Err("no vCPU has handlers for interrupts here: seek to where the guest has set them up first".into());
    }
    let breakpoint = |(&address, _): (&u64, &u8)| Breakpoint { address, condition: None };
    let probes = Probes { breakpoints: handlers.iter().map(breakpoint).collect(), ..Probes::default() };
    let begin = monitor.machine().now();
    let (timeline, watcher) = monitor.moving()?;
    let stop = timeline.run(&probes, direction, watcher);
    if let Stop::Hits(hits) = &stop {
        let taken: String = hits.iter().filter_map(|hit| taken(&hit.cause, &handlers)).collect();
        return Ok(taken + &position::arrived(monitor, &stop)?);
    }
    monitor.return_to(begin)?;
    match stop {
        Stop::Start | Stop::End(_) | Stop::Reached | Stop::Hits(_) => Err(none("interrupt", direction)),
        Stop::Interrupted | Stop::Broken(_) => position::arrived(monitor, &stop),
    }
}

fn taken(cause: &Cause, handlers: &BTreeMap<u64, u8>) -> Option<String> {
    match cause {
        Cause::Breakpoint { cpu, address } => {
            let vector = handlers.get(address)?;
            Some(format!("vCPU {cpu} takes interrupt vector {vector:#04x}, handled at {address:#x}\n"))
        }
        Cause::Watchpoint { .. } | Cause::Step { .. } => None,
    }
}

/// Where the vCPUs' IDTs have handlers for interrupts, with the first vector of each.
fn handlers(machine: &Machine) -> BTreeMap<u64, u8> {
    let mut handlers = BTreeMap::new();
    for (number, cpu) in machine.cpus.iter().enumerate().filter(|(_, cpu)| cpu.is_protected()) {
        for vector in FIRST_INTERRUPT..=u8::MAX {
            if let Some(address) = handler(machine, number, cpu, vector) {
                handlers.entry(address).or_insert(vector);
            }
        }
    }
    handlers
}

/// Where a vCPU goes for a vector, if its gate is present (SDM vol. 3, 6.11 IDT Descriptors; 6.14.1 64-Bit Mode IDT). In
/// protected mode the code segment is taken to begin at 0.
fn handler(machine: &Machine, number: usize, cpu: &CpuState, vector: u8) -> Option<u64> {
    let size = if cpu.is_long_mode() { 16 } else { 8 };
    let offset = u64::from(vector) * size;
    if offset + size - 1 > u64::from(cpu.idtr.limit) {
        return None;
    }
    let mut gate = [0; 16];
    let gate = &mut gate[..size as usize];
    if machine.read_linear(number, cpu.idtr.base.wrapping_add(offset), gate) < gate.len() {
        return None;
    }
    gate_target(gate)
}

/// Where a present interrupt or trap gate leads.
fn gate_target(gate: &[u8]) -> Option<u64> {
    let part = |at: usize, bytes: usize| {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&gate[at..at + bytes]);
        u64::from_le_bytes(value)
    };
    let high = if gate.len() == 16 { part(8, 4) << 32 } else { 0 };
    let is_gate = gate[5] & 0x80 != 0 && matches!(gate[5] & 0x1f, 0xe | 0xf);
    is_gate.then(|| high | part(6, 2) << 16 | part(0, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_lead_to_handlers() {
        let long = [0x34, 0x12, 0x10, 0, 0, 0x8e, 0xe0, 0x81, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(gate_target(&long), Some(0xffff_ffff_81e0_1234));
        assert_eq!(gate_target(&long[..8]), Some(0x81e0_1234));
        let mut absent = long;
        absent[5] = 0x0e;
        assert_eq!(gate_target(&absent), None);
        absent[5] = 0x85;
        assert_eq!(gate_target(&absent), None);
    }
}
