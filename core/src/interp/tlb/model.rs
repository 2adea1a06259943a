//! What the cache answers is what a walk of the tables would answer now: random guests against a reference.
//!
//! A guest of 64 pages, most of which are page tables by chance, does random things in random modes. It runs twice, the
//! second time with a cache that is emptied before each of them; results, memory and dirty logs must agree. And after
//! each, everything that the first one's cache holds is compared with a walk that is written down here once more.

use super::super::exec::Exec;
use super::super::paging::{Access, Privilege, mode};
use super::{CONTEXTS, ContextKey, Tlb, table::Table};
use crate::board::Board;
use crate::cpu::{CpuState, Flags, Model, Segment, cr0, cr4, efer, seg};
use crate::memory::{DirtyLog, PAGE_SIZE, PageWatch};

const RAM_PAGES: u64 = 64;
/// Pages that begin as page tables.
const TABLE_PAGES: u64 = 24;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A page-table entry that mostly leads on.
    fn entry(&mut self) -> u64 {
        let target = if self.one_in(24) { self.below(4 * RAM_PAGES) } else { self.below(RAM_PAGES) };
        let odds = [(1, 15), (2, 12), (4, 12), (1 << 5, 8), (1 << 6, 8), (1 << 7, 1), (1 << 63, 2), (1 << 45, 1)];
        let flags =
            odds.map(|(bit, of_16)| if self.below(if bit == 1 << 45 { 256 } else { 16 }) < of_16 { bit } else { 0 });
        target << 12 | flags.into_iter().fold(0, |all, bit| all | bit)
    }

    /// A linear address, of few.
    fn linear(&mut self) -> u64 {
        let part = |r: &mut Self| [0, 1, 2, 3, 255, 256, 511][r.below(7) as usize];
        let linear = part(self) << 39 | self.below(2) << 30 | self.below(3) << 21 | part(self) << 12 | self.below(4096);
        ((linear << 16) as i64 >> 16) as u64
    }
}

/// Something that a guest, a device or the host does.
#[derive(Clone, Debug)]
enum Deed {
    /// A translation, as part of an access.
    Translate(u64, Access, Privilege),
    Load(u64),
    Store(u64, u64),
    Fill(u64, bool),
    /// Bytes that are written to memory, by whomever.
    Write(u64, Vec<u8>),
    /// An instruction is found at an address, and remembered as native code would.
    Jump(u64),
    WatchCode(u64),
    UnwatchCode(u64),
    Dirty(DirtyLog),
    /// Another root, or other modes.
    Mode(u64, u64),
}

fn deed(r: &mut Random, roots: u64, wide: bool) -> Deed {
    let linear = if wide { r.linear() } else { r.linear() & 0xffff_ffff };
    let privilege = [Privilege::User, Privilege::Supervisor, Privilege::SupervisorAc][r.below(3) as usize];
    let access = [Access::Read, Access::Write, Access::Fetch][r.below(3) as usize];
    match r.below(32) {
        0..6 => Deed::Translate(linear, access, privilege),
        6..10 => Deed::Load(linear),
        10..13 => Deed::Store(linear, r.entry()),
        13..16 => Deed::Fill(linear, r.one_in(2)),
        16..20 => {
            let entries = r.below(3) + 1;
            let bytes: Vec<u8> = (0..entries).flat_map(|_| r.entry().to_le_bytes()).collect();
            let slot = if r.one_in(8) { r.below(4096 - 64) } else { 8 * r.below(8) };
            let at = r.below(TABLE_PAGES) << 12 | slot;
            Deed::Write(at, bytes)
        }
        20..24 => Deed::Jump(linear),
        24 => Deed::WatchCode(r.below(RAM_PAGES)),
        25 => Deed::UnwatchCode(r.below(RAM_PAGES)),
        26 => Deed::Dirty(if r.one_in(2) { DirtyLog::Fingerprint } else { DirtyLog::Checkpoint }),
        _ => Deed::Mode(r.below(roots), r.next()),
    }
}

struct World {
    cpu: CpuState,
    board: Board,
    tlb: Tlb,
    code_writes: Vec<(u64, u32)>,
    forgetful: bool,
}

impl World {
    fn new(seed: u64, forgetful: bool) -> Self {
        let model = Model::find(Model::DEFAULT).expect("the model exists");
        let mut board = Board::new(RAM_PAGES * PAGE_SIZE, 1).expect("RAM can be mapped");
        let mut r = Random(seed);
        for at in 0..TABLE_PAGES * 512 {
            board.ram.write(8 * at, &r.entry().to_le_bytes());
        }
        let mut world =
            Self { cpu: CpuState::new(0, model), board, tlb: Tlb::new(), code_writes: Vec::new(), forgetful };
        world.set_mode(0, 0);
        world
    }

    fn set_mode(&mut self, root: u64, bits: u64) {
        let bit = |at: u64, flag: u64| if bits >> at & 1 != 0 { flag } else { 0 };
        let cpu = &mut self.cpu;
        let long = bits & 3 != 0;
        cpu.cr3 = root << 12;
        cpu.pdptes = [0, 1, 2, 3].map(|at| ((root + at) % RAM_PAGES) << 12 | 1);
        cpu.cr0 = cr0::PE | bit(2, cr0::WP) | bit(3, cr0::AM) | if bits >> 4 & 15 == 0 && !long { 0 } else { cr0::PG };
        cpu.cr4 =
            bit(8, cr4::SMAP) | bit(9, cr4::SMEP) | bit(10, cr4::PSE) | if long { cr4::PAE } else { bit(11, cr4::PAE) };
        cpu.efer = if long { efer::LME | efer::LMA } else { 0 } | bit(12, efer::NXE);
        let user = bits >> 13 & 1 != 0;
        let dpl = if user { 0x6000 << 32 } else { 0 };
        let code = if long { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff } | dpl;
        cpu.segs = [Segment::from_descriptor(0x10, 0x00cf_9300_0000_ffff | dpl); 6];
        cpu.segs[seg::CS] = Segment::from_descriptor(0x8, code);
        cpu.flags = Flags::from(2 | if bits >> 14 & 3 == 0 { Flags::AC } else { 0 });
    }

    fn memory(&self) -> &[u8] {
        self.board.ram.slice(0, (RAM_PAGES * PAGE_SIZE) as usize).expect("this is all")
    }

    /// Does something, and tells what came of it.
    fn act(&mut self, deed: &Deed) -> String {
        if let Deed::Mode(root, bits) = *deed {
            self.set_mode(root, bits);
        }
        let model = Model::find(Model::DEFAULT).expect("the model exists");
        if self.forgetful {
            self.tlb.flush(&mut self.board.ram);
        }
        let mut x = Exec::new(&mut self.cpu, &mut self.board, &mut self.tlb, &mut self.code_writes, model, 1000);
        x.tlb.refresh_writes(&mut x.board.ram);
        let result = match deed {
            Deed::Translate(linear, access, privilege) => format!("{:x?}", x.translate(*linear, *access, *privilege)),
            Deed::Load(linear) => format!("{:x?}", x.load::<u64>(*linear, 0).map_err(|_| x.exception)),
            Deed::Store(linear, value) => format!("{:x?}", x.store(*linear, *value, 0).map_err(|_| x.exception)),
            Deed::Fill(linear, write) => format!("{}", x.fill(*linear, *write)),
            Deed::Write(at, bytes) => {
                x.board.ram.write(*at, bytes);
                x.settle_writes();
                String::new()
            }
            Deed::Jump(linear) => jump(&mut x, *linear),
            Deed::WatchCode(page) => {
                x.board.ram.watch(page << 12, PageWatch::Code);
                x.tlb.refresh_writes(&mut x.board.ram);
                String::new()
            }
            Deed::UnwatchCode(page) => {
                x.board.ram.unwatch(page << 12, PageWatch::Code);
                String::new()
            }
            Deed::Dirty(log) => {
                let pages = x.board.ram.take_dirty(*log);
                x.tlb.refresh_writes(&mut x.board.ram);
                format!("{pages:?}")
            }
            Deed::Mode(..) => String::new(),
        };
        self.code_writes.clear();
        result
    }
}

/// Finds an instruction and remembers where, in the words of the jump cache: the offset in RAM.
fn jump(x: &mut Exec<'_>, linear: u64) -> String {
    let linear = linear & !0xfff;
    let found = x.translate(linear, Access::Fetch, x.fetch_privilege());
    if let Ok(physical) = found {
        x.table().set_jump(linear, physical);
        assert_eq!(x.table().jump(linear), Some(physical));
    }
    format!("{found:x?}")
}

/// What a walk finds.
#[derive(Clone, Copy, Debug)]
struct Found {
    page: u64,
    read: bool,
    write: bool,
    exec: bool,
    /// Every accessed bit is set.
    accessed: bool,
    /// The dirty bit is set.
    dirty: bool,
}

fn read_entry(board: &Board, at: u64, size: u64) -> u64 {
    let bytes = board.ram_offset(at).and_then(|offset| board.ram.slice(offset, size as usize));
    bytes.map_or(u64::MAX >> (64 - 8 * size), |bytes| {
        bytes.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
    })
}

/// Walks without leaving a trace.
fn walk(board: &Board, key: &ContextKey, linear: u64) -> Option<Found> {
    let has = |bit: u32| key.mode & bit != 0;
    let mut found = Found { page: linear & !0xfff, read: true, write: true, exec: true, accessed: true, dirty: true };
    if !has(mode::PAGING) {
        return Some(found);
    }
    let (mut table, levels, size) = match (has(mode::LONG), has(mode::PAE)) {
        (true, _) => (key.root[0], 4, 8),
        (false, true) => (key.root[(linear >> 30 & 3) as usize] & !0xfff, 2, 8),
        (false, false) => (key.root[0], 2, 4),
    };
    let (mut user, mut writable, mut no_execute) = (true, true, false);
    let bits = if size == 8 { 9 } else { 10 };
    for level in (1..=levels).rev() {
        let shift = 12 + bits * (level - 1);
        let entry = read_entry(board, table + (linear >> shift & ((1 << bits) - 1)) * size, size);
        if entry & 1 == 0 {
            return None;
        }
        let large = level > 1 && entry & 0x80 != 0 && (size == 8 || has(mode::PSE));
        if is_reserved(key, entry, level, large, size) {
            return None;
        }
        user &= entry & 4 != 0;
        writable &= entry & 2 != 0;
        no_execute |= size == 8 && entry >> 63 != 0 && has(mode::NXE);
        found.accessed &= entry & 0x20 != 0;
        found.dirty = entry & 0x40 != 0;
        table = if size == 8 { entry & 0xff_ffff_f000 } else { entry & 0xffff_f000 };
        if large || level == 1 {
            let within = (1u64 << shift) - 1;
            let high = if size == 4 && large { (entry >> 13 & 0xff) << 32 } else { 0 };
            found.page = (table & !within | linear & within | high) & !0xfff;
            break;
        }
    }
    let smap = has(mode::SMAP) && user;
    found.read = if has(mode::USER) { user } else { !smap };
    found.write = found.read && (writable || !has(mode::USER) && !has(mode::WP));
    found.exec = !no_execute && if has(mode::USER) { user } else { !(has(mode::SMEP) && user) };
    Some(found)
}

fn is_reserved(key: &ContextKey, entry: u64, level: u32, large: bool, size: u64) -> bool {
    if size == 4 {
        return large && entry & 1 << 21 != 0;
    }
    let mut mask = 0x000f_ff00_0000_0000;
    if key.mode & mode::NXE == 0 {
        mask |= 1 << 63;
    }
    if key.mode & mode::LONG == 0 {
        mask |= 0x7ff0_0000_0000_0000;
    }
    mask |= match (level, large) {
        (4, _) => 0x80,
        (3, true) => 0x3fff_e000,
        (2, true) => 0x1f_e000,
        _ => 0,
    };
    entry & mask != 0
}

/// Compares everything that a cache holds with walks.
fn check(world: &World, trail: &str) {
    let ram = &world.board.ram;
    assert!(!ram.has_recalls());
    for (table, context) in world.tlb.tables.iter().zip(&world.tlb.contexts) {
        let at = |linear| {
            let found = walk(&world.board, &context.key, linear);
            let found = found.unwrap_or_else(|| panic!("{linear:#x} is not mapped: {trail}"));
            assert!(found.accessed, "{linear:#x}: {trail}");
            (found, world.board.ram_offset(found.page))
        };
        check_data(table, ram, &at, trail);
        for (linear, page) in table.fetches() {
            let (found, offset) = at(linear);
            assert!(found.exec && offset == Some(page), "{linear:#x}: {found:x?}: {trail}");
        }
        for (linear, physical) in table.known_jumps() {
            let (found, _) = at(linear);
            assert!(found.exec && found.page == physical, "jump {linear:#x}: {found:x?}: {trail}");
        }
    }
}

fn check_data(table: &Table, ram: &crate::memory::Ram, at: &dyn Fn(u64) -> (Found, Option<u64>), trail: &str) {
    for (linear, data) in table.translations() {
        let (found, offset) = at(linear);
        assert!(found.read && offset == Some(data.page), "{linear:#x}: {found:x?}: {trail}");
        assert_eq!(data.host, ram.host_address(data.page));
        assert!(!data.writable || found.write && found.dirty, "{linear:#x}: {found:x?}: {trail}");
        assert!(!data.plain || data.writable && ram.is_lent(data.page), "{linear:#x}: {found:x?}: {trail}");
    }
}

fn compare(seed: u64, steps: u64, roots: u64, perturb: bool) {
    let mut r = Random(!seed);
    let (mut cached, mut plain) = (World::new(seed, false), World::new(seed, true));
    if perturb {
        cached.tlb.perturb(seed);
    }
    let mut wide = true;
    for step in 0..steps {
        let deed = deed(&mut r, roots, wide);
        if let Deed::Mode(_, bits) = deed {
            wide = bits & 3 != 0;
        }
        let trail = format!("seed {seed}, step {step}, {deed:x?}");
        let results = [&mut cached, &mut plain].map(|world| world.act(&deed));
        // A page may be watched for a translation that only one of them remembers.
        if !matches!(deed, Deed::Fill(..)) || results[0] == "true" {
            assert_eq!(results[0], results[1], "{trail}");
        }
        assert!(cached.memory() == plain.memory(), "memory differs: {trail}");
        check(&cached, &trail);
    }
    assert!(cached.tlb.tables.iter().all(|table| table.unmarked() == 0));
    assert!(perturb || roots < 22 || cached.tlb.tables.len() == CONTEXTS, "contexts have given way");
}

#[test]
fn an_accessed_bit_of_4_byte_entries_may_be_an_address_bit_of_8_byte_ones() {
    let mut world = World::new(0, false);
    world.board = Board::new(3 << 30, 1).expect("RAM can be mapped");
    // Four levels for page 0, whose last leads to 4 GiB; and a directory that leads to that last table.
    for (at, entry) in
        [(0x1000, 0x2027), (0x2000, 0x3027), (0x3000, 0x4027), (0x4000, 0x1_0000_0067), (0x5000, 0x4027u64)]
    {
        world.board.ram.write(at, &entry.to_le_bytes());
    }
    let translate = Deed::Translate(0x10, Access::Read, Privilege::Supervisor);
    let (long, short) = (Deed::Mode(1, 1), Deed::Mode(5, 1 << 4));
    world.act(&long);
    assert_eq!(world.act(&translate), "Ok(100000010)");
    world.act(&short);
    assert_eq!(world.act(&Deed::Translate(0x1010, Access::Read, Privilege::Supervisor)), "Ok(10)");
    world.act(&long);
    assert_eq!(world.act(&translate), "Ok(2100000010)");
}

#[test]
fn a_guest_that_is_all_page_tables_is_forgotten_in_time() {
    let mut world = World::new(0, false);
    world.board = Board::new(1 << 30, 1).expect("RAM can be mapped");
    world.board.ram.write(0x1000, &0x2067u64.to_le_bytes());
    world.board.ram.write(0x2000, &0x7067u64.to_le_bytes());
    let (short, translate) = (Deed::Mode(1, 1 << 4), Deed::Translate(0x10, Access::Read, Privilege::Supervisor));
    world.act(&short);
    world.act(&translate);
    for page in 0x10..0x10 + super::PAIR_LIMIT as u64 {
        let entry = super::UsedEntry { offset: page << 12, cover: super::Cover::new(0, 1, 8), fetch: false };
        world.tlb.note_entry(&entry, 0, &mut world.board.ram);
    }
    assert!(world.tlb.is_full() && world.board.ram.is_watched(0x10 << 12, PageWatch::PageTable));
    assert_eq!(world.act(&Deed::Translate(0x1010, Access::Read, Privilege::Supervisor)), "Err(0)");
    assert!(!world.tlb.is_full() && !world.board.ram.is_watched(0x10 << 12, PageWatch::PageTable));
    assert_eq!(world.act(&translate), "Ok(7010)");
}

#[test]
fn few_address_spaces_are_as_walks_find_them() {
    (0..6).for_each(|seed| compare(seed, 1500, 2, false));
}

#[test]
fn more_contexts_than_tables_are_as_walks_find_them() {
    (100..103).for_each(|seed| compare(seed, 2000, TABLE_PAGES, false));
}

#[test]
fn a_cache_that_forgets_at_random_is_as_walks_find_it() {
    (200..204).for_each(|seed| compare(seed, 1500, 4, true));
}
