//! Hashes of all guest-visible state at a tick: the fingerprint, which is long, and the digest, which is short enough to
//! be in a recording every few million ticks and can name the part that differs.
//!
//! State is split into numbered *parts*: each page of RAM, then each vCPU, local APIC and device, the timers, and so on,
//! then each disk. Both hashes are sums over the parts' hashes, which do not depend on their order, so of RAM and disks
//! only what was written since the last hash is hashed again. A page of zeros adds nothing: RAM that was never touched
//! costs nothing.

use super::Machine;
use super::snapshot::Parts;
use crate::board::BoardState;
use crate::memory::{DirtyLog, PAGE_SHIFT, PAGE_SIZE, Ram};
use crate::state;
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A hash of all guest-visible state at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// CPUs, devices, timers and lines.
    pub parts: u128,
    /// Contents of RAM, and what was written to disks.
    pub memory: u128,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:032x}", self.parts, self.memory)
    }
}

/// The largest prime of 16 bits: hashes of parts in digests, and their sum, are modulo it.
const SHORT: u64 = 65_521;
/// The largest prime of 24 bits, which the weighted sum is modulo.
const LONG: u64 = 16_777_213;

/// A short hash of all guest-visible state at a tick: 5 bytes in a recording, which has one every ten million ticks.
///
/// With h(i) a hash of 16 bits of part i: two digests of machines that differ in one part i differ by d and by (i + 1) d,
/// which names i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The sum of all h(i), modulo 65521.
    pub sum: u16,
    /// The sum of all (i + 1) h(i), modulo 16777213: 24 bits.
    pub weighted: u32,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}-{:06x}", self.sum, self.weighted)
    }
}

/// Sums over the hashes of parts.
#[derive(Clone, Copy, Default)]
struct Sums {
    whole: u128,
    plain: u64,
    weighted: u64,
}

impl Sums {
    /// Puts the hash `new` of part `index` in place of `old`; a hash of 0 is a part that adds nothing.
    fn replace(&mut self, index: u64, old: u128, new: u128) {
        let short = |hash: u128| (hash >> 112) as u64 % SHORT;
        let (old_short, new_short) = (short(old), short(new));
        self.whole = self.whole.wrapping_sub(old).wrapping_add(new);
        self.plain = (self.plain + SHORT + new_short - old_short) % SHORT;
        self.weighted = (self.weighted + (index + 1) % LONG * (LONG + new_short - old_short)) % LONG;
    }

    fn digest(&self, other: &Self) -> Digest {
        Digest {
            sum: ((self.plain + other.plain) % SHORT) as u16,
            weighted: ((self.weighted + other.weighted) % LONG) as u32,
        }
    }
}

/// Pages whose hashes are kept together.
const CHUNK: usize = 512;

/// The hashes of all pages of RAM, and their sums.
pub(super) struct RamHash {
    /// 0 for a page of zeros; nothing for pages that were never written.
    chunks: Vec<Option<Box<[u128; CHUNK]>>>,
    sums: Sums,
}

impl RamHash {
    /// Of RAM with that many bytes, all zero.
    pub(super) fn new(ram: u64) -> Self {
        let pages = (ram >> PAGE_SHIFT) as usize;
        Self { chunks: vec![None; pages.div_ceil(CHUNK)], sums: Sums::default() }
    }

    fn update(&mut self, ram: &mut Ram) -> Sums {
        for page in ram.take_dirty(DirtyLog::Fingerprint) {
            let offset = u64::from(page) << PAGE_SHIFT;
            let bytes = ram.slice(offset, PAGE_SIZE as usize).expect("dirty pages are pages of RAM");
            let hash = if bytes.iter().all(|&byte| byte == 0) { 0 } else { xxh3_128_with_seed(bytes, u64::from(page)) };
            let chunk = self.chunks[page as usize / CHUNK].get_or_insert_with(|| Box::new([0; CHUNK]));
            let old = std::mem::replace(&mut chunk[page as usize % CHUNK], hash);
            self.sums.replace(u64::from(page), old, hash);
        }
        self.sums
    }
}

/// A part of the machine's state that is no page of RAM.
#[derive(Clone, Copy)]
enum Part {
    Cpu(usize),
    Apic(usize),
    Device(usize),
    Timers,
    AddressMap,
    Lines,
    Requests,
    Clock,
}

impl Parts {
    /// Calls `visit` with each part's state as bytes, in the order of their numbers.
    fn visit(&self, visit: &mut dyn FnMut(Part, &[u8])) {
        // Whatever is added to the state has to be named here.
        let Self { board, cpus, turn, turn_left, icount } = self;
        let BoardState { now, timers, apics, devices, regions, lines, requests, power } = board;
        cpus.iter().enumerate().for_each(|(index, cpu)| visit(Part::Cpu(index), &state::encode(cpu)));
        apics.iter().enumerate().for_each(|(index, apic)| visit(Part::Apic(index), &state::encode(apic)));
        devices.iter().enumerate().for_each(|(index, (_, bytes))| visit(Part::Device(index), bytes));
        visit(Part::Timers, &state::encode(timers));
        visit(Part::AddressMap, &state::encode(regions));
        visit(Part::Lines, &state::encode(lines));
        visit(Part::Requests, &state::encode(requests));
        visit(Part::Clock, &state::encode(&(now, power, turn, turn_left, icount)));
    }
}

impl Machine {
    /// The fingerprint of the current state; costs time by the pages and blocks of disks written since the last hash.
    pub fn fingerprint(&mut self) -> Fingerprint {
        let (ram, parts, disks) = self.sums();
        Fingerprint { parts: parts.whole, memory: ram.whole.wrapping_add(disks.whole) }
    }

    /// The digest of the current state; costs as much.
    pub fn digest(&mut self) -> Digest {
        let (ram, parts, disks) = self.sums();
        let mut rest = parts;
        rest.plain += disks.plain;
        rest.weighted += disks.weighted;
        ram.digest(&rest)
    }

    /// The sums over RAM, over the parts that are neither RAM nor disks, and over the disks.
    fn sums(&mut self) -> (Sums, Sums, Sums) {
        let ram = self.ram_hash.update(&mut self.board.ram);
        let mut next = self.pages();
        let mut add = |sums: &mut Sums, bytes: &[u8]| {
            sums.replace(next, 0, xxh3_128_with_seed(bytes, next));
            next += 1;
        };
        let (mut parts, mut disks) = (Sums::default(), Sums::default());
        self.save_parts().visit(&mut |_, bytes| add(&mut parts, bytes));
        self.board.disks_mut().for_each(|disk| add(&mut disks, &disk.hash().to_le_bytes()));
        (ram, parts, disks)
    }

    fn pages(&self) -> u64 {
        self.board.ram.len() >> PAGE_SHIFT
    }

    /// What the part of that number is called; `None` if there is none.
    pub fn part_name(&self, index: u64) -> Option<String> {
        let Some(place) = index.checked_sub(self.pages()) else { return Some(self.page_name(index)) };
        let mut names = Vec::new();
        self.save_parts().visit(&mut |part, _| names.push(part));
        match names.get(place as usize) {
            Some(&part) => Some(self.name_of(part)),
            None => {
                let disk = place - names.len() as u64;
                (disk < self.board.disks().count() as u64).then(|| format!("what was written to disk {disk}"))
            }
        }
    }

    fn page_name(&self, page: u64) -> String {
        format!("the page of RAM at {:#x}", self.board.physical_address(page << PAGE_SHIFT))
    }

    fn name_of(&self, part: Part) -> String {
        match part {
            Part::Cpu(index) => format!("vCPU {index}"),
            Part::Apic(index) => format!("the local APIC of vCPU {index}"),
            Part::Device(index) => format!("device {}", self.board.device_names().nth(index).unwrap_or_default()),
            Part::Timers => "the timers".into(),
            Part::AddressMap => "the address map".into(),
            Part::Lines => "the interrupt lines".into(),
            Part::Requests => "the requests that wait for answers".into(),
            Part::Clock => "the clock and the turns of the vCPUs".into(),
        }
    }

    /// What differs between a machine like this one and this one, by their digests `recorded` and `own`: one part, or a
    /// choice of two. `None` if they are equal, or if more than one part differs, which only chance can hide.
    pub fn blame(&self, recorded: Digest, own: Digest) -> Option<String> {
        let plain = (u64::from(own.sum) + SHORT - u64::from(recorded.sum) % SHORT) % SHORT;
        let weighted = (u64::from(own.weighted) + LONG - u64::from(recorded.weighted) % LONG) % LONG;
        // The part's hash grew by `plain`, or shrank by what is missing from it to the modulus.
        let changes = [plain, LONG + plain - SHORT];
        let numbers = changes.iter().filter(|_| plain != 0).map(|&change| weighted * inverse(change) % LONG);
        let names: Vec<_> = numbers.filter_map(|number| self.part_name(number.checked_sub(1)?)).collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }
}

/// What `value` times is 1, modulo the long prime; 0 for 0.
fn inverse(value: u64) -> u64 {
    // Fermat: the power of the prime less one is 1.
    let square_and_multiply = |(result, base), bit: u32| {
        let result = if (LONG - 2) >> bit & 1 == 1 { result * base % LONG } else { result };
        (result, base * base % LONG)
    };
    (0..24).fold((1, value % LONG), square_and_multiply).0
}
