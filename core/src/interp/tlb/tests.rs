//! Tables, uses and hints by themselves; [`super::model`] compares the whole with walks.

use super::hints::WriteHints;
use super::table::{self, Data, ENTRIES, JUMPS, SLOTS, Table};
use super::uses::TableUses;
use super::{ContextKey, Cover, Tlb, UsedEntry, numbers};
use crate::interp::paging::mode;
use crate::memory::{PAGE_SIZE, Ram};

const PAGE: u64 = PAGE_SIZE;

fn data(page: u64) -> Data {
    Data { page, host: 0x7000_0000 + page, writable: true, plain: true }
}

fn key(root: u64) -> ContextKey {
    ContextKey { root: [root, 0, 0, 0], mode: mode::PAGING | mode::PAE | mode::LONG, apic: 0 }
}

#[test]
fn an_empty_table_hits_nowhere() {
    let table = Table::new(1);
    for page in 0..2 * ENTRIES as u64 {
        for linear in [page << 12, 0xffff_8000_0000_0000 | page << 12] {
            assert_eq!((table.read(linear), table.write(linear), table.exec(linear)), (None, None, None));
            assert_eq!(table.jump(linear), None);
        }
    }
    let targets = (0..2 * JUMPS as u64).chain([u64::MAX, 1 << 63]);
    targets.for_each(|linear| assert_eq!(table.jump(linear), None, "{linear:#x}"));
}

#[test]
fn the_anchor_lies_behind_the_slots() {
    let mut table = Table::new(1);
    let anchor = table.anchor() as usize;
    let slots = table.slots().as_ptr_range();
    assert_eq!((slots.end as usize, slots.start as usize), (anchor, anchor - 8 * SLOTS));
    assert_eq!(anchor % 64, 0);
}

#[test]
fn translations_share_a_place_only_with_others_of_their_index() {
    let mut table = Table::new(1);
    let linear = 0xffff_8000_0123_4000;
    table.insert(linear, &data(PAGE));
    assert_eq!(table.read(linear + 5), Some(PAGE + 5));
    assert_eq!(table.write(linear + 0xfff), Some(PAGE + 0xfff));
    assert_eq!(table.read(linear + PAGE), None);
    table.insert(linear + (ENTRIES as u64 * PAGE), &data(2 * PAGE));
    assert_eq!(table.read(linear), None);
}

#[test]
fn what_is_no_plain_write_may_still_be_permitted() {
    let mut table = Table::new(1);
    table.insert(0, &Data { plain: false, ..data(PAGE) });
    assert_eq!((table.write(8), table.writable(8)), (None, Some(PAGE + 8)));
    table.set_plain(0);
    assert_eq!(table.write(8), Some(PAGE + 8));
    table.insert(0, &Data { writable: false, plain: false, ..data(PAGE) });
    assert_eq!((table.read(8), table.write(8), table.writable(8)), (Some(PAGE + 8), None, None));
}

#[test]
fn ranges_are_dropped_and_no_more() {
    let pages = [0, 1, 511, 512, 513, 1023, 1024, 4096 + 512, 1 << 18, (1 << 18) + 512, 1 << 35];
    for (base, shift) in [(512u64, 12), (512, 21), (512, 22 - 1), (1022, 13), (0, 30), (0, 39), (1 << 18, 30)] {
        let mut table = Table::new(1);
        for page in pages {
            table.insert(page << 12, &data(PAGE));
            table.insert_fetch(page << 12, PAGE);
        }
        let held: Vec<u64> = pages.into_iter().filter(|page| table.read(page << 12).is_some()).collect();
        let fetched: Vec<u64> = pages.into_iter().filter(|page| table.exec(page << 12).is_some()).collect();
        table.drop_range(base << 12, shift);
        let outside = |page: &u64| page << 12 >> shift != base << 12 >> shift;
        for page in held {
            assert_eq!(table.read(page << 12).is_some(), outside(&page), "page {page:#x} of {base:#x}, {shift}");
        }
        for page in fetched {
            assert_eq!(table.exec(page << 12).is_some(), outside(&page), "fetch {page:#x} of {base:#x}, {shift}");
        }
    }
}

#[test]
fn kernel_addresses_are_dropped_by_their_48_bits() {
    let mut table = Table::new(1);
    let linear = 0xffff_8880_0000_0000;
    table.insert(linear, &data(PAGE));
    let cover = Cover::new(linear, 4, 8);
    assert_eq!(cover, Cover::new(0, 4, 8));
    table.drop_range(linear & ((1 << 48) - 1), 39);
    assert_eq!(table.read(linear), None);
}

#[test]
fn jumps_are_forgotten_with_the_epoch() {
    let mut table = Table::new(1);
    table.set_jump(0x1234, 77);
    table.set_jump(0, 78);
    assert_eq!((table.jump(0x1234), table.jump(0), table.jump(0x1235)), (Some(77), Some(78), None));
    table.set_jump(0x2237, 79);
    assert_eq!(table::jump_index(0x1234), table::jump_index(0x2237));
    assert_eq!((table.jump(0x1234), table.jump(0x2237)), (None, Some(79)));
    table.bump(2);
    assert_eq!((table.jump(0x2237), table.jump(0), table.exec_epoch()), (None, None, 2));
}

fn entry(offset: u64, linear: u64, level: usize, fetch: bool) -> UsedEntry {
    UsedEntry { offset, cover: Cover::new(linear, level, 8), fetch }
}

#[test]
fn a_written_entry_names_what_it_translates() {
    let mut uses = TableUses::new();
    let linear = 0x40_3000;
    let noted = uses.note(&entry(2 * PAGE + 8 * 3, linear, 1, true), 5, 16);
    assert!(noted.page && noted.table);
    let noted = uses.note(&entry(2 * PAGE + 8 * 4, linear + PAGE, 1, false), 6, 16);
    assert!(!noted.page && noted.table);
    assert!(uses.written(2 * PAGE + 8 * 5).is_none());
    let concerned = uses.written(2 * PAGE + 8 * 4).unwrap();
    assert_eq!((concerned.tables, concerned.fetched), (0x60, 0));
    assert_eq!(concerned.ranges().unwrap().collect::<Vec<_>>(), [(linear + PAGE, 12)]);
    assert_eq!(uses.written(2 * PAGE + 8 * 3).unwrap().fetched, 0x20);
    assert!(uses.written(2 * PAGE + 8 * 3).is_none(), "once is enough");
    assert_eq!(uses.forget_unused(2 * PAGE), Some(0x60));
    assert_eq!((uses.forget_unused(2 * PAGE), uses.pairs()), (None, 0));
}

#[test]
fn a_page_at_many_places_concerns_everything() {
    let mut uses = TableUses::new();
    for at in 0..3 {
        uses.note(&entry(0, at << 30, 1, false), 0, 16);
        let ranges = uses.written(0).unwrap().ranges().map(Iterator::count);
        assert_eq!(ranges, (at < 2).then_some(at as usize + 1));
    }
}

#[test]
fn contexts_are_forgotten_one_by_one() {
    let mut uses = TableUses::new();
    uses.note(&entry(0, 0, 1, true), 0, 16);
    uses.note(&entry(0, 0, 1, true), 63, 16);
    assert!(!uses.forget_table(0, 0));
    let concerned = uses.written(0).unwrap();
    assert_eq!(numbers(concerned.fetched).collect::<Vec<_>>(), [63]);
    assert!(uses.forget_table(0, 63));
    assert_eq!(uses.pairs(), 0);
}

#[test]
fn hints_find_every_place_of_a_page() {
    let mut tables = vec![Table::new(1), Table::new(2)];
    let mut hints = WriteHints::new();
    for (table, page) in [(0, 7u64), (1, 7), (1, 9), (0, 11)] {
        hints.note(3 * PAGE, table, page as usize, &tables, 16);
        tables[table].insert(page << 12, &data(3 * PAGE));
    }
    assert_eq!(hints.take(3).indices(), None);
    assert_eq!(hints.take(3).indices(), Some(&[][..]));
    for index in [7, 8, 9] {
        hints.note(3 * PAGE, 1, index, &tables, 16);
        hints.note(3 * PAGE, 1, index, &tables, 16);
    }
    let places = hints.take(3);
    assert_eq!(places.indices(), Some(&[7, 9][..]), "nothing is at 8");
    assert_eq!([0, 1, 2].map(|table| places.tables.may_have(table)), [false, true, false]);
}

#[test]
fn recalled_pages_lose_their_write_tags_in_all_tables() {
    let mut ram = Ram::new(16 * PAGE).unwrap();
    let mut tlb = Tlb::new();
    let ids = tlb.contexts(&[key(0), key(PAGE), key(2 * PAGE)], &mut ram);
    ram.write(3 * PAGE, &[1]);
    let translation = super::Translation { page: 3 * PAGE, read: true, write: true };
    for (id, linear) in ids.into_iter().zip([0x5000, 0x5000, 0x6000]) {
        tlb.insert(linear, id, super::Access::Read, &translation, &mut ram);
        assert_eq!(tlb.write(linear, id), Some(3 * PAGE));
    }
    ram.watch(3 * PAGE, crate::memory::PageWatch::Code);
    tlb.refresh_writes(&mut ram);
    for (id, linear) in ids.into_iter().zip([0x5000, 0x5000, 0x6000]) {
        assert_eq!((tlb.read(linear, id), tlb.write(linear, id)), (Some(3 * PAGE), None));
    }
}

#[test]
fn the_context_that_was_used_least_recently_gives_way() {
    let mut ram = Ram::new(16 * PAGE).unwrap();
    let mut tlb = Tlb::new();
    let first = tlb.contexts(&[key(0), key(0), key(0)], &mut ram)[0];
    let epoch = tlb.exec_epoch(first);
    for root in 1..64 {
        tlb.contexts(&[key(root << 12), key(root << 12), key(root << 12)], &mut ram);
    }
    assert_eq!(tlb.contexts(&[key(0), key(0), key(0)], &mut ram)[0], first);
    assert_eq!(tlb.exec_epoch(first), epoch);
    let keys = [key(0), key(64 << 12), key(65 << 12)];
    let ids = tlb.contexts(&keys, &mut ram);
    assert_eq!((ids[0], tlb.exec_epoch(first)), (first, epoch), "one of those asked for stays");
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    for root in 66..130 {
        tlb.contexts(&[key(root << 12), key(root << 12), key(root << 12)], &mut ram);
    }
    assert_ne!(tlb.exec_epoch(first), epoch);
}
