//! What differs between two machines that are alike: registers, devices, timers, RAM, disks.

use reprise_core::board::{Board, BoardState, DeviceId, Region};
use reprise_core::cpu::{CpuState, Segment, TableRegister, VectorRegister, X87};
use reprise_core::disk::{Disk, Run};
use reprise_core::machine::Machine;
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE};
use reprise_core::scheduler::{Owner, Timer};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Bytes that are shown from the first different one on.
const SHOWN: usize = 16;
/// Most pages and sectors that are listed.
const LISTED: usize = 16;

const GENERAL: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartDifference {
    /// Which part of the machine.
    pub part: String,
    /// What of it.
    pub what: String,
    /// Its value in the one machine.
    pub a: String,
    /// And in the other.
    pub b: String,
}

/// Names and values of a part, in order.
type Fields = Vec<(String, String)>;

/// Everything that differs, but of RAM and disks only the first places.
pub fn differences(a: &Machine, b: &Machine) -> Vec<PartDifference> {
    let mut found = Vec::new();
    for (index, (a, b)) in a.cpus.iter().zip(&b.cpus).enumerate() {
        compare(&mut found, &format!("vCPU {index}"), registers(a), registers(b));
    }
    compare_boards(&mut found, &a.board.save(), &b.board.save());
    compare(&mut found, "clock", clock(a), clock(b));
    compare_ram(&mut found, &a.board, &b.board);
    compare_disks(&mut found, &a.board, &b.board);
    found
}

/// Compares fields of the same name.
fn compare(found: &mut Vec<PartDifference>, part: &str, a: Fields, b: Fields) {
    for ((what, a), (_, b)) in a.into_iter().zip(b) {
        if a != b {
            found.push(PartDifference { part: part.into(), what, a, b });
        }
    }
}

fn clock(machine: &Machine) -> Fields {
    let (turn, left) = machine.turn();
    let value = |name: &str, value: u64| (name.to_owned(), value.to_string());
    vec![
        value("tick", machine.now()),
        value("icount", machine.icount()),
        value("vCPUs", machine.cpus.len() as u64),
        value("turn", turn as u64),
        value("ticks left of the turn", left),
    ]
}

/// All registers and what else is in a vCPU.
fn registers(cpu: &CpuState) -> Fields {
    // A new field has to be named here.
    #[rustfmt::skip]
    let CpuState {
        regs, flags, segs, ldtr, tr, gdtr, idtr, cr0, cr2, cr3, cr4, pdptes, efer, dr, dr6, dr7, xcr0, msrs, x87, mxcsr,
        vectors, activity, shadow, nmi_blocked, pending_debug, index: _,
    } = cpu;
    let hex = |name: &str, value: u64| (name.to_owned(), format!("{value:#018x}"));
    let mut fields = vec![hex("rip", regs.rip()), hex("rflags", flags.get())];
    fields.extend(GENERAL.iter().zip(regs.general()).map(|(name, value)| hex(name, value)));
    fields.extend(SEGMENTS.iter().zip(segs).chain([(&"ldtr", ldtr), (&"tr", tr)]).map(segment));
    fields.extend([("gdtr", gdtr), ("idtr", idtr)].map(table));
    let control = [("cr0", cr0), ("cr2", cr2), ("cr3", cr3), ("cr4", cr4), ("efer", efer), ("xcr0", xcr0)];
    fields.extend(control.map(|(name, value)| hex(name, *value)));
    fields.extend(pdptes.iter().enumerate().map(|(index, value)| hex(&format!("pdpte{index}"), *value)));
    fields.extend(dr.iter().enumerate().map(|(index, value)| hex(&format!("dr{index}"), *value)));
    fields.extend([hex("dr6", *dr6), hex("dr7", *dr7), hex("pending debug", *pending_debug)]);
    fields.extend(values("msrs", msrs));
    fields.extend(floating(x87));
    fields.push(hex("mxcsr", u64::from(*mxcsr)));
    fields.extend(vectors.iter().enumerate().map(|(index, value)| vector(index, value)));
    fields.push(("activity".into(), format!("{activity:?}")));
    fields.push(("interrupt shadow".into(), format!("{shadow:?}")));
    fields.push(("nmi blocked".into(), nmi_blocked.to_string()));
    fields
}

fn segment((name, segment): (&&str, &Segment)) -> (String, String) {
    let Segment { selector, base, limit, attributes } = segment;
    (String::from(*name), format!("{selector:#06x} base {base:#x} limit {limit:#x} attributes {attributes:#06x}"))
}

fn table((name, table): (&str, &TableRegister)) -> (String, String) {
    (name.into(), format!("base {:#018x} limit {:#06x}", table.base, table.limit))
}

fn vector(index: usize, register: &VectorRegister) -> (String, String) {
    (format!("ymm{index}"), format!("{:#034x}:{:032x}", register.high, register.low))
}

fn floating(unit: &X87) -> Fields {
    let X87 { regs, control, status, empty, fop, fip, fcs, fdp, fds } = unit;
    let register = |(index, value): (usize, &reprise_core::softfloat::F80)| {
        (format!("x87 r{index}"), format!("{:#06x}:{:016x}", value.sign_exp, value.sig))
    };
    let mut fields: Fields = regs.iter().enumerate().map(register).collect();
    fields.push(("x87 control, status, empty".into(), format!("{control:#06x} {status:#06x} {empty:#04x}")));
    let pointers = format!("{fop:#05x} {fcs:#06x}:{fip:#x} {fds:#06x}:{fdp:#x}");
    fields.push(("x87 opcode and pointers".into(), pointers));
    fields
}

/// The values in plain state, each by its path.
fn values<T: Serialize>(name: &str, state: &T) -> Fields {
    let value = serde_json::to_value(state).expect("plain state has no value that fails");
    let mut fields = Vec::new();
    flatten(name, &value, &mut fields);
    fields
}

fn flatten(path: &str, value: &Value, fields: &mut Fields) {
    match value {
        Value::Object(inner) => inner.iter().for_each(|(name, value)| {
            flatten(&format!("{path}.{name}"), value, fields);
        }),
        Value::Array(inner) => (0..).zip(inner).for_each(|(index, value): (usize, _)| {
            flatten(&format!("{path}[{index}]"), value, fields);
        }),
        Value::Number(number) => {
            let text = number.as_u64().map_or_else(|| number.to_string(), |number| format!("{number:#x}"));
            fields.push((path.into(), text));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => fields.push((path.into(), value.to_string())),
    }
}

fn compare_boards(found: &mut Vec<PartDifference>, a: &BoardState, b: &BoardState) {
    // A new field has to be compared here; the tick is the clock's.
    let BoardState { now: _, timers, apics, devices, regions, lines, requests, power } = a;
    for (index, (a, b)) in apics.iter().zip(&b.apics).enumerate() {
        compare(found, &format!("local APIC of vCPU {index}"), values("state", a), values("state", b));
    }
    compare_devices(found, devices, &b.devices);
    let name = |owner| match owner {
        Owner::LocalApic(cpu) => format!("local APIC of vCPU {cpu}"),
        Owner::Device(id) => devices.get(id as usize).map_or_else(String::new, |(name, _)| format!("device {name}")),
    };
    compare_timers(found, timers, &b.timers, &name);
    for (index, (a, b)) in lines.iter().zip(&b.lines).enumerate() {
        let what = format!("drivers of line {index}");
        compare(found, "lines", vec![(what.clone(), format!("{a:#x}"))], vec![(what, format!("{b:#x}"))]);
    }
    compare_regions(found, regions, &b.regions, devices);
    let whole = |what: &str, text: String| vec![(what.to_owned(), text)];
    let waiting = |state: &BoardState| whole("waiting", format!("{:?}", state.requests.iter().collect::<Vec<_>>()));
    if *requests != b.requests {
        compare(found, "requests", waiting(a), waiting(b));
    }
    compare(found, "power", whole("asked for", format!("{power:?}")), whole("asked for", format!("{:?}", b.power)));
}

type Saved = (String, Vec<u8>);

/// Compares devices of one name: two machines may have others.
fn compare_devices(found: &mut Vec<PartDifference>, a: &[Saved], b: &[Saved]) {
    let state =
        |devices: &[Saved], name: &str| devices.iter().find(|(own, _)| own == name).map(|(_, state)| state.clone());
    let mut names: Vec<_> = a.iter().map(|(name, _)| name).collect();
    names.extend(b.iter().map(|(name, _)| name).filter(|name| state(a, name).is_none()));
    for name in names {
        let (a, b) = (state(a, name), state(b, name));
        if a == b {
            continue;
        }
        let pairs = a.iter().flatten().zip(b.iter().flatten()).enumerate();
        let shorter = a.as_ref().map_or(0, Vec::len).min(b.as_ref().map_or(0, Vec::len));
        let at = pairs.into_iter().find(|(_, (a, b))| a != b).map_or(shorter, |(at, _)| at);
        let shown = |state: Option<Vec<u8>>| state.map_or("no such device".into(), |state| bytes(&state, at));
        let what = format!("byte {at} of its state");
        found.push(PartDifference { part: format!("device {name}"), what, a: shown(a), b: shown(b) });
    }
}

type Mapped = (DeviceId, Region);

/// Regions that only one of the two has: devices move them.
fn compare_regions(found: &mut Vec<PartDifference>, a: &[Mapped], b: &[Mapped], devices: &[Saved]) {
    let only = |one: &[Mapped], other: &[Mapped]| {
        let only: Vec<_> = one.iter().filter(|region| !other.contains(region)).collect();
        let name = |device: &DeviceId| devices.get(device.0 as usize).map_or("", |(name, _)| name);
        let text = |(device, region): &&Mapped| format!("{} {:?} {:#x?}", name(device), region.space, region.range);
        if only.is_empty() {
            "(all are in the other, too)".into()
        } else {
            only.iter().map(text).collect::<Vec<_>>().join(", ")
        }
    };
    if a != b {
        let (a, b) = (only(a, b), only(b, a));
        found.push(PartDifference { part: "address map".into(), what: "regions".into(), a, b });
    }
}

type Armed = (u64, Timer);

fn compare_timers(found: &mut Vec<PartDifference>, a: &[Armed], b: &[Armed], name: &dyn Fn(Owner) -> String) {
    let deadline = |timers: &[Armed], timer: Timer| {
        let armed = timers.iter().find(|(_, other)| *other == timer);
        armed.map_or_else(|| "not armed".into(), |(tick, _)| format!("due at tick {tick}"))
    };
    let mut timers: Vec<_> = a.iter().chain(b).map(|(_, timer)| *timer).collect();
    timers.sort();
    timers.dedup();
    for timer in timers {
        let (a, b) = (deadline(a, timer), deadline(b, timer));
        let what = format!("{}, timer {}", name(timer.owner), timer.slot);
        compare(found, "timers", vec![(what.clone(), a)], vec![(what, b)]);
    }
}

/// Some bytes from `at` on.
fn bytes(all: &[u8], at: usize) -> String {
    let rest = all.get(at..).unwrap_or_default();
    let shown: Vec<_> = rest.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let more = if rest.len() > SHOWN { " ..." } else { "" };
    if shown.is_empty() { "(ends)".into() } else { format!("{}{more}", shown.join(" ")) }
}

fn compare_ram(found: &mut Vec<PartDifference>, a: &Board, b: &Board) {
    let page = |board: &Board, number: u32| {
        let bytes = board.ram.slice(u64::from(number) << PAGE_SHIFT, PAGE_SIZE as usize);
        bytes.map_or_else(Vec::new, <[u8]>::to_vec)
    };
    let mut pages: Vec<_> = a.ram.nonzero_pages().chain(b.ram.nonzero_pages()).collect();
    pages.sort_unstable();
    pages.dedup();
    pages.retain(|&number| page(a, number) != page(b, number));
    for &number in pages.iter().take(LISTED) {
        let (one, other) = (page(a, number), page(b, number));
        let at = one.iter().zip(&other).position(|(a, b)| a != b).unwrap_or(one.len().min(other.len()));
        let address = a.physical_address((u64::from(number) << PAGE_SHIFT) + at as u64);
        found.push(PartDifference {
            part: "RAM".into(),
            what: format!("from {address:#x} on"),
            a: bytes(&one, at),
            b: bytes(&other, at),
        });
    }
    tell_more(found, "RAM", "pages", pages.len());
}

fn compare_disks(found: &mut Vec<PartDifference>, a: &Board, b: &Board) {
    for ((id, a), (_, b)) in a.disks().zip(b.disks()) {
        let part = format!("what was written to disk {}", id.0);
        let runs = [a, b].map(|disk| disk.written().collect::<Vec<_>>());
        let compare = |stretch| compare_stretch(&part, [a, b], &runs, stretch);
        let different: Vec<_> = stretches(&runs).filter_map(compare).collect();
        let count = different.len();
        found.extend(different.into_iter().take(LISTED));
        tell_more(found, &part, "stretches", count);
    }
}

/// Stretches of a disk, each of which was written to wholly or not at all in either machine: start and length.
fn stretches(runs: &[Vec<Run>; 2]) -> impl Iterator<Item = (u64, u64)> {
    let ends = runs.iter().flatten().flat_map(|run| [run.offset, run.offset + run.length]);
    let bounds: BTreeSet<_> = ends.collect();
    let next: Vec<_> = bounds.iter().skip(1).copied().collect();
    bounds.into_iter().zip(next).map(|(start, end)| (start, end - start))
}

fn compare_stretch(
    part: &str,
    [a, b]: [&Disk; 2],
    runs: &[Vec<Run>; 2],
    (start, length): (u64, u64),
) -> Option<PartDifference> {
    let [in_a, in_b] = runs.each_ref().map(|runs| {
        let after = runs.partition_point(|run| run.offset <= start);
        runs[..after].last().filter(|run| start - run.offset < run.length)
    });
    let zeros = |run: Option<&Run>| run.is_some_and(|run| run.zero);
    if (in_a.is_none() && in_b.is_none()) || (zeros(in_a) && zeros(in_b)) {
        return None;
    }
    // Runs that are not all zeros are short.
    let (shown_a, shown_b, at) = match (in_a, in_b) {
        (Some(_), Some(_)) => {
            let (a, b) = (a.read(start, length, |_| None)?, b.read(start, length, |_| None)?);
            let at = a.iter().zip(&b).position(|(a, b)| a != b)?;
            (bytes(&a, at), bytes(&b, at), at as u64)
        }
        (in_a, _) => {
            let (written, not) = (format!("{length} bytes were written"), "not written".to_owned());
            if in_a.is_some() { (written, not, 0) } else { (not, written, 0) }
        }
    };
    Some(PartDifference { part: part.into(), what: format!("from byte {} on", start + at), a: shown_a, b: shown_b })
}

/// Says how many there are, if not all are listed.
fn tell_more(found: &mut Vec<PartDifference>, part: &str, what: &str, count: usize) {
    if count > LISTED {
        let (what, a) = (format!("{what} that differ"), count.to_string());
        found.push(PartDifference { part: part.into(), what, b: a.clone(), a });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::DiskId;
    use reprise_core::cpu::Model;
    use reprise_core::disk::DiskGeometry;
    use reprise_core::interp::Interpreter;
    use reprise_core::scheduler::Timer;

    fn machine(change: impl Fn(&mut Machine)) -> Machine {
        let model = Model::find(Model::DEFAULT).unwrap();
        let mut board = Board::new(1 << 20, 2).unwrap();
        board.add_disk(DiskGeometry { size: 1 << 20, read_only: false });
        let mut machine = Machine::new(board, model, Box::new(Interpreter::new(model)));
        change(&mut machine);
        machine
    }

    /// What differs between a machine and one that `change` was made to.
    #[track_caller]
    fn check(change: impl Fn(&mut Machine), expected: &[&str]) {
        let found = differences(&machine(|_| {}), &machine(change));
        let line = |it: &PartDifference| format!("{}, {}: {} / {}", it.part, it.what, it.a, it.b);
        assert_eq!(found.iter().map(line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn registers_have_their_names() {
        check(|_| {}, &[]);
        let change = |machine: &mut Machine| {
            let cpu = &mut machine.cpus[1];
            cpu.regs.set(3, 0x1234);
            cpu.cr2 = 5;
            cpu.msrs.lstar = u64::MAX;
            cpu.vectors[2].low = 7;
        };
        let expected = [
            "vCPU 1, rbx: 0x0000000000000000 / 0x0000000000001234",
            "vCPU 1, cr2: 0x0000000000000000 / 0x0000000000000005",
            "vCPU 1, msrs.lstar: 0x0 / 0xffffffffffffffff",
            "vCPU 1, ymm2: 0x00000000000000000000000000000000:00000000000000000000000000000000 / \
             0x00000000000000000000000000000000:00000000000000000000000000000007",
        ];
        check(change, &expected);
    }

    #[test]
    fn timers_and_local_apics_are_compared() {
        let change = |machine: &mut Machine| {
            machine.board.scheduler.arm(Timer { owner: Owner::LocalApic(1), slot: 0 }, 99);
            machine.board.apics[0].state.nmi = true;
        };
        let expected = [
            "local APIC of vCPU 0, state.nmi: false / true",
            "timers, local APIC of vCPU 1, timer 0: not armed / due at tick 99",
        ];
        check(change, &expected);
    }

    #[test]
    fn of_ram_the_first_bytes_of_each_page_are_shown() {
        let change = |machine: &mut Machine| {
            machine.board.dma_write(0x5ffe, &[1, 2, 3]);
        };
        check(
            change,
            &[
                "RAM, from 0x5ffe on: 00 00 / 01 02",
                &format!("RAM, from 0x6000 on: {0} ... / 03{1} ...", "00 ".repeat(16).trim(), " 00".repeat(15)),
            ],
        );
        let many = differences(
            &machine(|_| {}),
            &machine(|machine| {
                (0..20).for_each(|page| machine.board.dma_write(page << 12, &[1]));
            }),
        );
        assert_eq!((many.len(), many[16].what.as_str(), many[16].a.as_str()), (17, "pages that differ", "20"));
    }

    #[test]
    fn what_was_written_to_disks_is_compared() {
        let write = |machine: &mut Machine, sector: u64, data: &[u8]| {
            assert!(machine.board.disk_mut(DiskId(0)).write(sector * 512, data));
        };
        let a = machine(|machine| write(machine, 2, &[[1; 512], [2; 512]].concat()));
        let b = machine(|machine| {
            let mut data = [2; 512];
            data[5] = 9;
            write(machine, 3, &data);
            write(machine, 100, &[0; 512]);
        });
        let line = |it: &PartDifference| format!("{}: {} / {}", it.what, it.a, it.b);
        let tail = " 02".repeat(15);
        let expected = [
            "from byte 1024 on: 512 bytes were written / not written".to_owned(),
            format!("from byte 1541 on: 02{tail} ... / 09{tail} ..."),
            "from byte 51200 on: not written / 512 bytes were written".to_owned(),
        ];
        assert_eq!(differences(&a, &b).iter().map(line).collect::<Vec<_>>(), expected);
    }
}
