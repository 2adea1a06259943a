//! Rings that break the rules: the device needs a reset, or goes on; it never panics and never goes on forever.

use super::*;
use crate::virtio::testing::{BUFFERS, common, nobody, status};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT_FLAG: u16 = 4;
const TABLE: u64 = BUFFERS + 0x4000;

/// Where the areas of a queue lie.
fn areas(bench: &mut Bench, queue: u64) -> [u64; 3] {
    bench.set_common(common::QUEUE_SELECT, 2, queue);
    [common::QUEUE_DESC, common::QUEUE_DRIVER, common::QUEUE_DEVICE].map(|register| bench.common(register, 4))
}

/// The bytes of a descriptor; `tail` is what follows the flags of a split ring's, or precedes those of a packed ring's.
fn descriptor(packed: bool, address: u64, length: u32, flags: u16, tail: u16) -> Vec<u8> {
    let ends = if packed { [tail, flags] } else { [flags, tail] };
    let ends: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    [&address.to_le_bytes()[..], &length.to_le_bytes(), &ends].concat()
}

/// Makes descriptors of queue 0 available as they are, with `inner` as an indirect table at [`TABLE`]; the status after.
fn offer(packed: bool, features: u64, row: &[(u64, u32, u16, u16)], inner: &[(u64, u32, u16, u16)]) -> u8 {
    let mut bench = started(packed, Wishes { features, msix: true });
    let [ring, driver, _] = areas(&mut bench, 0);
    for (table, descriptors, lap) in [(ring, row, 1 << 7), (TABLE, inner, 0)] {
        for (at, &(address, length, flags, tail)) in descriptors.iter().enumerate() {
            let flags = if packed { flags | lap } else { flags };
            let bytes = descriptor(packed, address, length, flags, tail);
            bench.board.dma_write(table + 16 * at as u64, &bytes);
        }
    }
    if !packed {
        bench.board.dma_write(driver, &[0, 0, 1, 0]);
    }
    bench.notify(0);
    let after = bench.status();
    assert_eq!(bench.take_message(0), after & status::NEEDS_RESET != 0, "a configuration interrupt announces it");
    after
}

#[test]
fn descriptors_against_the_rules_break_the_device() {
    let part = (BUFFERS, 2, 0, 0);
    let table = |bytes: u32, flags: u16| (TABLE, bytes, INDIRECT_FLAG | flags, 0);
    for packed in [false, true] {
        let broken = |features: u64, row: &[_], inner: &[_]| {
            offer(packed, features | PACKED, row, inner) & status::NEEDS_RESET != 0
        };
        assert!(!broken(INDIRECT, &[part], &[]), "this one is fine");
        assert!(!broken(INDIRECT, &[(BUFFERS, 0, 0, 0)], &[]), "no bytes are no crime");
        assert!(!broken(INDIRECT, &[(0xf_ffff_0000, 1 << 20, WRITE, 0)], &[]), "nor is memory that is not there");
        assert!(!broken(INDIRECT, &[table(16, 0)], &[part]));
        assert!(broken(0, &[table(16, 0)], &[part]), "indirect tables were not agreed on");
        assert!(broken(INDIRECT, &[table(16, NEXT)], &[part]), "a table that is not the last");
        for bytes in [0, 15, 17, 16 * 1025, u32::MAX] {
            assert!(broken(INDIRECT, &[table(bytes, 0)], &[part]), "a table of {bytes:#x} bytes");
        }
        assert!(broken(0, &[(BUFFERS, 2, WRITE | NEXT, 1), part], &[]), "to write, then to read");
        let long = vec![(BUFFERS, u32::MAX, NEXT, 1), (BUFFERS, u32::MAX, NEXT, 2), part];
        assert!(broken(0, &long, &[]), "more than 4 GiB");
        let row = vec![(BUFFERS, 2, NEXT, 0); 16];
        assert!(broken(0, &row, &[]), "a chain without an end");
    }
}

#[test]
fn links_against_the_rules_break_the_device() {
    let broken = |row: &[_], inner: &[_]| offer(false, INDIRECT, row, inner) & status::NEEDS_RESET != 0;
    assert!(broken(&[(BUFFERS, 2, NEXT, 16)], &[]), "a link out of the table");
    let table = [(TABLE, 32, INDIRECT_FLAG, 0)];
    assert!(broken(&table, &[(BUFFERS, 2, NEXT, 2)]), "a link out of the indirect table");
    assert!(broken(&table, &[(BUFFERS, 2, NEXT, 1), (BUFFERS, 2, NEXT, 0)]), "a loop in it");
    assert!(broken(&table, &[(TABLE, 16, INDIRECT_FLAG, 0)]), "a table in it");
    assert!(!broken(&table, &[(BUFFERS, 2, NEXT, 1), (BUFFERS, 2, WRITE, 0)]));
    assert!(!broken(&[(BUFFERS, 2, NEXT, 1), (TABLE, 16, INDIRECT_FLAG, 0)], &[(BUFFERS, 2, 0, 0)]));
}

/// 2.8.7 Indirect Flag: Scatter-Gather Support: the device ignores all flags but the one for writing.
#[test]
fn reserved_flags_in_an_indirect_table_of_a_packed_ring_are_ignored() {
    let inner = [(BUFFERS, 1, NEXT, 9), (BUFFERS + 1, 1, INDIRECT_FLAG, 9), (BUFFERS + 2, 2, WRITE | INDIRECT_FLAG, 9)];
    let after = offer(true, INDIRECT | PACKED, &[(TABLE, 48, INDIRECT_FLAG, 0)], &inner);
    assert_eq!(after & status::NEEDS_RESET, 0);
}

#[test]
fn an_available_index_that_jumps_breaks_the_device() {
    let mut bench = started(false, EVERYTHING);
    let [_, driver, _] = areas(&mut bench, 0);
    bench.board.dma_write(driver + 2, &17u16.to_le_bytes());
    bench.notify(0);
    assert_ne!(bench.status() & status::NEEDS_RESET, 0);
    let mut bench = started(false, EVERYTHING);
    bench.board.dma_write(driver + 4, &16u16.to_le_bytes());
    bench.board.dma_write(driver + 2, &1u16.to_le_bytes());
    bench.notify(0);
    assert_ne!(bench.status() & status::NEEDS_RESET, 0, "a head that is not there");
}

/// The same buffer again and again while the device has it.
#[test]
fn more_buffers_than_the_queue_has_room_for_break_the_device() {
    let mut bench = started(false, EVERYTHING);
    let [ring, driver, _] = areas(&mut bench, 0);
    bench.board.dma_write(BUFFERS, &[255]);
    bench.board.dma_write(ring, &descriptor(false, BUFFERS, 1, 0, 0));
    for available in 1..=17u16 {
        assert_eq!(bench.status() & status::NEEDS_RESET, 0, "{available}");
        bench.board.dma_write(driver + 2, &available.to_le_bytes());
        bench.notify(0);
    }
    assert_ne!(bench.status() & status::NEEDS_RESET, 0);
}

/// Each buffer is written over the available index, where it makes the next one available, and over what the buffer of
/// the next lap will write there: 16 buffers from a queue of 8.
#[test]
fn a_ring_that_fills_itself_is_taken_in_portions() {
    let mut bench = started(false, Wishes { features: INDIRECT, msix: true });
    let [ring, driver, device] = areas(&mut bench, 1);
    for buffer in 0..8u16 {
        let source = BUFFERS + 4 * u64::from(buffer);
        let [now, next_lap] = [buffer + 2, if buffer == 7 { 16 } else { buffer + 10 }];
        bench.board.dma_write(source, &[(!now).to_le_bytes(), next_lap.to_le_bytes()].concat());
        let table = TABLE + 64 * u64::from(buffer);
        let parts = [(source, 4, NEXT, 1), (driver + 2, 2, NEXT | WRITE, 2), (source, 2, WRITE, 0)];
        for (at, (address, length, flags, next)) in (0..).zip(parts) {
            bench.board.dma_write(table + 16 * at, &descriptor(false, address, length, flags, next));
        }
        bench.board.dma_write(ring + 16 * u64::from(buffer), &descriptor(false, table, 48, INDIRECT_FLAG, 0));
        bench.board.dma_write(driver + 4 + 2 * u64::from(buffer), &buffer.to_le_bytes());
    }
    bench.board.dma_write(driver + 2, &1u16.to_le_bytes());
    bench.notify(1);
    assert_eq!(bench.memory(device + 2, 2), [8, 0], "one call takes as many as the ring has room for");
    bench.run_to(1_000_000, &mut nobody);
    assert_eq!(bench.memory(device + 2, 2), [16, 0]);
    assert_eq!((bench.status() & status::NEEDS_RESET, bench.board.next_event()), (0, None));
}

/// Random rings, in which most of what is there almost makes sense.
#[test]
fn random_rings_neither_panic_nor_hang() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let packed = seed % 2 == 0;
        let mut bench = started(packed, Wishes { features: random.next() | PACKED, msix: true });
        for _ in 0..40 {
            scribble(&mut bench, &mut random, packed);
            bench.notify(random.below(3) as u16);
            let later = bench.board.now + random.below(20_000);
            bench.run_to(later, &mut nobody);
            if bench.status() & status::NEEDS_RESET != 0 && random.below(2) == 0 {
                bench.start(Wishes { features: random.next() | PACKED, msix: random.below(2) == 0 });
            }
        }
        bench.start(EVERYTHING);
        bench.board.dma_write(BUFFERS, &[2, 0]);
        bench.send(0, &[(BUFFERS, 2, false), (BUFFERS + 16, 2, true)]);
        assert!(bench.receive(0).is_some(), "seed {seed}: it works after a reset");
    }
}

/// Writes descriptors and indices that are close to what a driver would write.
fn scribble(bench: &mut Bench, random: &mut Random, packed: bool) {
    let [ring, driver, device] = areas(bench, 0);
    for _ in 0..random.below(8) {
        let places = [ring, driver, device, TABLE, BUFFERS, 0xfee0_0000, u64::MAX - 5];
        let address = places[random.below(7) as usize].wrapping_add(random.below(64));
        let length = [16, 32, 1, 2, 0, u32::MAX, random.next() as u32 & 0xfff][random.below(7) as usize];
        let flags = random.next() as u16 & if random.below(2) == 0 { 0x8083 } else { 0x8087 };
        let bytes = descriptor(packed, address, length, flags, random.below(18) as u16);
        let at = if random.below(4) == 0 { TABLE } else { ring };
        bench.board.dma_write(at + 16 * random.below(16), &bytes);
    }
    let index = random.below(40) as u16;
    bench.board.dma_write(driver + 2 * random.below(20), &index.to_le_bytes());
    if random.below(3) == 0 {
        bench.board.dma_write(driver + 2, &index.to_le_bytes());
    }
}
