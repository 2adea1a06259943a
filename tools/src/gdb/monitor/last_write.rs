//! `last-write`: who wrote to an address last.

use super::{Answer, Command, Monitor, expression, usage};
use crate::disassembly;
use crate::info::seconds;
use reprise_core::memory::PAGE_SIZE;
use reprise_core::probe::{Accessor, Cause, Hit};
use reprise_replay::timeline::Stop;
use std::ops::Range;

/// Most bytes that are asked for at a time.
const LIMIT: u64 = 1 << 20;

pub(super) const LAST_WRITE: Command = Command {
    name: "last-write",
    arguments: "[-p] ADDR[,LEN]",
    summary: "say who wrote to memory last, and when",
    details: "\
ADDR is linear, as the selected vCPU has it mapped at the position, or with -p physical; LEN is 1 unless it is given.
Writes of vCPUs by whatever address count, and those of devices. The position stays where it is.",
    run: last_write,
};

fn last_write(monitor: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    monitor.timeline()?;
    let (is_physical, wanted) = match arguments {
        ["-p", wanted @ ..] => (true, wanted),
        wanted => (false, wanted),
    };
    // gdb's users put a space after a comma.
    let wanted = wanted.join("");
    let range = range(monitor, &wanted)?;
    let parts = if is_physical { vec![range.clone()] } else { physical(monitor, range.clone())? };
    let begin = monitor.machine().now();
    let mut last: Option<Hit> = None;
    for part in parts {
        let (timeline, watcher) = monitor.moving()?;
        let hit = timeline.last_write(part, watcher).map_err(|stop| refused(&stop))?;
        last = last.into_iter().chain(hit).max_by_key(|hit| hit.after);
    }
    let kind = if is_physical { "physical " } else { "" };
    let what = format!("{kind}{:#x} to {:#x}", range.start, range.end - 1);
    match last {
        None => Ok(format!("nobody wrote to {what} from the start of history to tick {begin}")),
        Some(hit) => describe(monitor, &what, &hit),
    }
}

/// The bytes that `text` names: ADDR or ADDR,LEN.
fn range(monitor: &Monitor<'_>, text: &str) -> Result<Range<u64>, String> {
    let (address, length) = text.split_once(',').unwrap_or((text, "1"));
    if text.is_empty() {
        return Err(usage(&LAST_WRITE));
    }
    let address = expression::value(address, monitor.vcpu())?;
    let length = expression::value(length, monitor.vcpu())?;
    let end = address.checked_add(length).filter(|_| (1..=LIMIT).contains(&length));
    end.map(|end| address..end).ok_or_else(|| format!("LEN is a number from 1 to {LIMIT}, and ADDR + LEN an address"))
}

/// Where the selected vCPU has linear addresses mapped.
fn physical(monitor: &Monitor<'_>, linear: Range<u64>) -> Result<Vec<Range<u64>>, String> {
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut at = linear.start;
    while at < linear.end {
        let left = (PAGE_SIZE - at % PAGE_SIZE).min(linear.end - at);
        let start = monitor.machine().translate(monitor.cpu, at).ok_or_else(|| {
            format!("vCPU {} has nothing mapped at {at:#x}: 'last-write -p' takes a physical address", monitor.cpu)
        })?;
        match parts.last_mut() {
            Some(last) if last.end == start => last.end += left,
            Some(_) | None => parts.push(start..start.saturating_add(left)),
        }
        at += left;
    }
    Ok(parts)
}

fn refused(stop: &Stop) -> String {
    match stop {
        Stop::Interrupted => "interrupted".into(),
        Stop::Broken(why) => why.clone(),
        Stop::Hits(_) | Stop::Reached | Stop::Start | Stop::End(_) => "the history cannot be searched here".into(),
    }
}

/// What there is to say of the write. The machine goes there to look, and comes back.
fn describe(monitor: &mut Monitor<'_>, what: &str, hit: &Hit) -> Answer {
    let (by, accessed) = match &hit.cause {
        Cause::Watchpoint { by, accessed, .. } => (*by, *accessed),
        Cause::Breakpoint { .. } | Cause::Step { .. } => return Err("the history cannot be searched here".into()),
    };
    let mut text = format!("{what} was last written by {}", writer(monitor, by));
    text += &format!(": {} bytes at physical {:#x}\n", accessed.1, accessed.0);
    if let Accessor::Cpu(cpu) = by {
        text += &instruction(monitor, hit, cpu)?;
    }
    let (before, after) = (hit.before, hit.after);
    Ok(text + &format!("before it: tick {before} ({}); after it: tick {after}\n", seconds(before)))
}

fn writer(monitor: &Monitor<'_>, by: Accessor) -> String {
    match by {
        Accessor::Cpu(cpu) => format!("vCPU {cpu}"),
        Accessor::Device(id) => {
            let name = monitor.machine().board.device_names().nth(id.0 as usize);
            format!("the device {}", name.unwrap_or("?"))
        }
    }
}

/// The instruction that a vCPU executes at the position before `hit`.
fn instruction(monitor: &mut Monitor<'_>, hit: &Hit, cpu: u32) -> Answer {
    let begin = monitor.machine().now();
    let (timeline, watcher) = monitor.moving()?;
    let there = timeline.seek(hit.before, watcher);
    let machine = timeline.machine();
    let text = machine.cpus.get(cpu as usize).map(|cpu| {
        let instruction = disassembly::next_instruction(&machine.board, cpu);
        format!("{:#x}:  {instruction}\n", cpu.regs.rip())
    });
    let back = monitor.return_to(begin)?;
    match (there, back, text) {
        (Stop::Reached, Stop::Reached | Stop::End(_), Some(text)) => Ok(text),
        (there, ..) => Err(refused(&there)),
    }
}
