//! What is waited for, in which guest, and from where on.

use super::mirror::Case;
use super::subject::Subject;
use anyhow::Result;
use reprise_core::clock::Tick;
use reprise_silicon::generate::Random;

/// Where kernels lie in physical memory, seen from their own addresses.
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Instructions before Debian's end of which most are the work that was typed.
const WORK: Tick = 700_000_000;

/// What the guest of ours does, from its start on.
#[must_use]
pub fn embedded(cpus: u32) -> Vec<Case> {
    let case = |probes: &[&str], least, most| Case {
        from: 0,
        probes: probes.iter().map(|&probe| probe.to_owned()).collect(),
        physical: false,
        least,
        most,
    };
    let mut cases = vec![
        case(&["break pages_alloc"], 5, 1000),
        case(&["hbreak quicksort", "break disk_request"], 20, 20),
        // The string instruction that repeats: each iteration is about to be executed.
        case(&["break *((char *)memset + 8)"], 40, 40),
        case(&["watch 'pit.c'::ticks"], 15, 15),
        case(&["rwatch 'memory.c'::page_count", "awatch memory_map.count"], 10, 15),
        // The processor writes one value, and the disk the other.
        case(&["watch 'virtio_blk.c'::status"], 8, 1000),
        case(&["rwatch 'virtio_blk.c'::header"], 3, 1000),
        Case { physical: true, ..case(&["watch 'virtio_blk.c'::status"], 8, 1000) },
        case(&["break disk_request", "watch 'virtio_blk.c'::status"], 10, 1000),
    ];
    if cpus > 1 {
        cases.push(case(&["break ap_main"], cpus as usize - 1, 1000));
        cases.push(case(&["watch 'smp.c'::counter"], 30, 30));
        cases.push(case(&["break ap_main", "awatch 'smp.c'::finished"], 8, 30));
    }
    cases
}

/// What Debian does with the work that was typed.
pub fn debian(subject: &Subject) -> Result<Vec<Case>> {
    let from = subject.end - WORK;
    let case = |probes, count| Case { from, probes, physical: false, least: count, most: count };
    let (forks, jiffies) = (subject.address("total_forks")?, subject.address("jiffies")?);
    let mut calls = Vec::new();
    for function in ["begin_new_exec", "do_exit", "path_mount"] {
        calls.push(format!("break *{:#x}", subject.address(function)?));
    }
    let watch = |address| vec![format!("watch *(long *){address:#x}")];
    Ok(vec![
        case(calls, 12),
        case(watch(forks), 8),
        Case { physical: true, ..case(watch(forks - KERNEL_BASE), 8) },
        case(vec![format!("awatch *(long *){jiffies:#x}")], 8),
    ])
}

/// Where steps begin, and on which thread.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// From where on.
    pub from: Tick,
    /// Whose steps.
    pub thread: u32,
}

/// Random places, on threads that run there.
pub fn places(subject: &Subject, seed: u64, count: usize) -> impl Iterator<Item = Place> + use<> {
    let mut random = Random::new(seed);
    let (end, cpus, embedded) = (subject.end, u64::from(subject.cpus), subject.symbols.is_some());
    (0..count).map(move |_| {
        // Of the guest of ours only the first vCPU runs at all times, and Debian starts the others early.
        let first = if embedded { end / 10 } else { end / 2 };
        let thread = if embedded { 1 } else { 1 + random.below(cpus) as u32 };
        Place { from: first + random.below(end * 9 / 10 - first), thread }
    })
}
