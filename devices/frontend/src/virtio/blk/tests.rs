//! The disk, as a driver sees it.

use super::*;
use crate::virtio::testing::{BUFFERS, Bench, CONFIG, Part, Wishes, nobody, status};
use reprise_core::board::Space;
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::HostInput;
use reprise_core::request::Question;

/// Bytes of the disk.
const SIZE: u64 = 8 << 20;
/// Where headers, data and status bytes go.
const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 0x100;
const DATA: u64 = BUFFERS + 0x1000;
/// What a status byte is before the device writes it.
const NOTHING: u8 = 0xee;

const OK: u8 = Status::Ok as u8;
const IO_ERR: u8 = Status::IoErr as u8;
const UNSUPP: u8 = Status::Unsupp as u8;

fn bench_of(geometry: DiskGeometry, given: &[(&str, &str)]) -> Bench {
    let given: Vec<_> = [("drive", "0")].into_iter().chain(given.iter().copied()).collect();
    let mut bench = Bench::new(&SPEC, &given, |board| {
        board.add_disk(geometry);
    });
    bench.start(Wishes { features: u64::MAX, msix: true });
    bench
}

fn bench(given: &[(&str, &str)]) -> Bench {
    bench_of(DiskGeometry { size: SIZE, read_only: false }, given)
}

/// The byte that the image has at `offset`.
fn image_byte(offset: u64) -> u8 {
    (offset / 512 + offset) as u8
}

fn image(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(image_byte).collect()
}

fn answer(question: &Question) -> HostInput {
    match *question {
        Question::Cluster { disk, cluster } => {
            let start = cluster * CLUSTER_SIZE;
            HostInput::Cluster { disk, cluster, data: image(start..start + CLUSTER_SIZE) }
        }
        Question::Random { .. } => panic!("nobody asks for random numbers"),
    }
}

fn fail(question: &Question) -> HostInput {
    match *question {
        Question::Cluster { disk, cluster } => HostInput::ClusterFailed { disk, cluster },
        Question::Random { .. } => panic!("nobody asks for random numbers"),
    }
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

impl Bench {
    /// Makes a request with these parts in between available.
    fn request(&mut self, kind: u32, sector: u64, parts: &[Part]) {
        self.board.dma_write(HEADER, &header(kind, sector));
        self.board.dma_write(STATUS, &[NOTHING]);
        self.send(0, &[&[(HEADER, 16, false)], parts, &[(STATUS, 1, true)]].concat());
    }

    fn status_byte(&self) -> u8 {
        self.memory(STATUS, 1)[0]
    }

    /// Makes a request, and waits for it.
    fn ask(&mut self, kind: u32, sector: u64, parts: &[Part]) -> u8 {
        self.request(kind, sector, parts);
        let now = self.board.now;
        self.run_to(now + 10_000_000, &mut answer);
        let writable: u32 = parts.iter().filter(|part| part.2).map(|part| part.1).sum();
        assert_eq!(self.receive(0).map(|(_, written)| written), Some(writable + 1));
        assert!(self.take_message(1));
        self.status_byte()
    }

    /// The tick, counted from now, at which a request is done.
    fn time(&mut self, kind: u32, parts: &[Part]) -> Tick {
        let start = self.board.now;
        self.request(kind, 0, parts);
        while self.receive(0).is_none() {
            let next = self.board.next_event().expect("the request is under way");
            self.run_to(next, &mut answer);
        }
        self.board.now - start
    }
}

#[test]
fn the_configuration_is_that_of_qemu() {
    let mut bench = bench(&[("num-queues", "3"), ("physical_block_size", "4096"), ("queue-size", "128")]);
    let mut at = |offset, size| bench.board.read(Space::Memory, CONFIG + offset, size);
    assert_eq!((at(0, 4), at(4, 4), at(8, 4), at(12, 4)), (SIZE / 512, 0, 0, 126));
    assert_eq!((at(16, 2), at(18, 1), at(19, 1)), (16, 16, 63));
    assert_eq!((at(20, 4), at(24, 1), at(32, 1), at(34, 2)), (512, 3, 1, 3));
    assert_eq!((at(36, 4), at(40, 4), at(44, 4)), (0x3f_ffff, 1, 1));
    assert_eq!((at(48, 4), at(52, 4), at(56, 1), at(60, 4)), (0x3f_ffff, 1, 1, 0));
    assert_eq!(bench.read_config(0, 4), 0x1042_1af4);
    assert_eq!(bench.read_config(8, 4) >> 8, 0x01_0000);
}

#[test]
fn features_are_those_that_properties_and_image_have() {
    let offered = |read_only, given: &[(&str, &str)]| {
        bench_of(DiskGeometry { size: SIZE, read_only }, given).offered() & 0xff_ffff
    };
    let all = 0x7e54;
    assert_eq!(offered(false, &[]), all & !feature::MQ);
    assert_eq!(offered(true, &[("num-queues", "2")]), all | feature::RO);
    let none = [("discard", "off"), ("write-zeroes", "off"), ("config-wce", "off")];
    assert_eq!(offered(false, &none), 0x0654);
}

#[test]
fn a_read_brings_what_the_image_has() {
    for packed in ["off", "on"] {
        let mut bench = bench(&[("packed", packed)]);
        assert_eq!(bench.ask(kind::IN, 127, &[(DATA, 1024, true)]), OK);
        assert_eq!(bench.memory(DATA, 1025), [image(65024..66048), vec![0]].concat());
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut bench = bench(&[]);
    bench.board.dma_write(DATA, &[7; 1024]);
    assert_eq!(bench.ask(kind::OUT, 1, &[(DATA, 1024, false)]), OK);
    assert_eq!(bench.ask(kind::IN, 0, &[(DATA, 2048, true)]), OK);
    assert!(bench.memory(DATA, 2048) == [image(0..512), vec![7; 1024], image(1536..2048)].concat());
    assert_eq!(bench.ask(kind::FLUSH, 0, &[]), OK);
}

#[test]
fn requests_may_be_cut_anyhow() {
    let mut bench = bench(&[]);
    bench.board.dma_write(HEADER, &header(kind::IN, 3));
    // The header in three parts; data in odd ones, the last with the status behind it.
    let parts = [
        (HEADER, 1, false),
        (HEADER + 1, 8, false),
        (HEADER + 9, 7, false),
        (DATA, 1, true),
        (DATA + 1, 510, true),
        (DATA + 511, 2, true),
    ];
    bench.send(0, &parts);
    bench.run_to(1_000_000, &mut answer);
    assert_eq!(bench.receive(0).map(|(_, written)| written), Some(513));
    assert_eq!(bench.memory(DATA, 513), [image(1536..2048), vec![OK]].concat());
    bench.board.dma_write(DATA, &[&header(kind::OUT, 5)[..], &[9; 512]].concat());
    bench.send(0, &[(DATA, 100, false), (DATA + 100, 428, false), (STATUS, 1, true)]);
    bench.run_to(2_000_000, &mut answer);
    assert_eq!(bench.board.disk(DiskId(0)).read(5 * 512, 512, |_| None), Some(vec![9; 512]));
}

#[test]
fn requests_take_the_time_of_the_table() {
    let mut bench = bench(&[]);
    assert_eq!(bench.time(kind::IN, &[(DATA, 4096, true)]), 20_000 + 2048);
    assert_eq!(bench.time(kind::OUT, &[(DATA, 4096, false)]), 20_000 + 2048);
    assert_eq!(bench.time(kind::FLUSH, &[]), 50_000);
    assert_eq!(bench.time(kind::GET_ID, &[(DATA, 20, true)]), 2_000);
    assert_eq!(bench.time(99, &[]), 2_000);
    bench.board.dma_write(DATA, &[0; 16]);
    assert_eq!(bench.time(kind::DISCARD, &[(DATA, 16, false)]), 20_000);
}

#[test]
fn transfers_of_a_queue_follow_each_other_and_their_latencies_overlap() {
    let mut bench = bench(&[("num-queues", "2")]);
    bench.board.dma_write(HEADER, &header(kind::IN, 0));
    let parts = |at: u64| [(HEADER, 16, false), (DATA + at, 4096, true), (STATUS, 1, true)];
    let tokens = [bench.send(0, &parts(0)), bench.send(0, &parts(4096)), bench.send(1, &parts(8192))];
    bench.run_to(20_000 + 2048, &mut answer);
    assert_eq!((bench.receive(0), bench.receive(0)), (Some((tokens[0], 4097)), None));
    assert_eq!(bench.receive(1), Some((tokens[2], 4097)));
    bench.run_to(20_000 + 4096, &mut answer);
    assert_eq!(bench.receive(0), Some((tokens[1], 4097)));
}

#[test]
fn long_transfers_go_in_parts() {
    let mut bench = bench(&[]);
    // The same memory again and again: 2.5 MiB.
    let part = 64 << 10;
    let many = |write| vec![(DATA, part, write); 40];
    bench.board.dma_write(DATA, &[5; 64 << 10]);
    let transfer = u64::from(40 * part) / 2;
    assert_eq!(bench.time(kind::OUT, &many(false)), 20_000 + transfer);
    assert_eq!(bench.status_byte(), OK);
    let disk = bench.board.disk(DiskId(0));
    assert!(disk.read(0, u64::from(40 * part), |_| None) == Some(vec![5; 40 * part as usize]));
    bench.board.disk_mut(DiskId(0)).zero(u64::from(39 * part), u64::from(part));
    assert_eq!(bench.time(kind::IN, &many(true)), 20_000 + transfer);
    assert!(bench.memory(DATA, part as usize) == vec![0; part as usize]);
}

#[test]
fn what_makes_no_sense_fails() {
    let mut bench = bench(&[]);
    let end = SIZE / 512;
    for (kind, sector, parts) in [
        (kind::IN, end, &[(DATA, 512, true)][..]),
        (kind::IN, end - 1, &[(DATA, 1024, true)]),
        (kind::IN, u64::MAX, &[(DATA, 512, true)]),
        (kind::IN, u64::MAX / 512, &[(DATA, 512, true)]),
        (kind::IN, 0, &[(DATA, 511, true)]),
        (kind::OUT, end, &[(DATA, 512, false)]),
        (kind::OUT, 0, &[(DATA, 513, false)]),
    ] {
        assert_eq!(bench.ask(kind, sector, parts), IO_ERR, "{kind} {sector} {parts:?}");
    }
    for kind in [2, 3, 5, 9, 10, 12, 14, 16, u32::MAX] {
        assert_eq!(bench.ask(kind, 0, &[]), UNSUPP, "{kind}");
    }
    assert_eq!(bench.ask(kind::IN, 0, &[]), OK, "nothing is read");
    assert_eq!(bench.board.disk(DiskId(0)).written().count(), 0);
}

#[test]
fn a_header_may_be_too_short_and_a_status_may_have_no_place() {
    let mut bench = bench(&[]);
    bench.board.dma_write(STATUS, &[NOTHING]);
    bench.send(0, &[(HEADER, 15, false), (STATUS, 1, true)]);
    bench.run_to(100_000, &mut nobody);
    assert_eq!((bench.receive(0).is_some(), bench.status_byte()), (true, IO_ERR));
    bench.send(0, &[(HEADER, 16, false), (DATA, 512, false)]);
    assert_ne!(bench.status() & status::NEEDS_RESET, 0);
    bench.start(Wishes { features: u64::MAX, msix: true });
    assert_eq!(bench.ask(kind::IN, 0, &[(DATA, 512, true)]), OK);
}

#[test]
fn a_host_that_cannot_read_is_an_error_of_the_disk() {
    let mut bench = bench(&[]);
    bench.request(kind::IN, 0, &[(DATA, 512, true)]);
    bench.run_to(1_000_000, &mut fail);
    assert_eq!((bench.receive(0).is_some(), bench.status_byte()), (true, IO_ERR));
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut bench = bench_of(DiskGeometry { size: SIZE, read_only: true }, &[]);
    bench.board.dma_write(DATA, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.ask(kind::OUT, 0, &[(DATA, 512, false)]), IO_ERR);
    assert_eq!(bench.ask(kind::DISCARD, 0, &[(DATA, 16, false)]), IO_ERR);
    assert_eq!(bench.ask(kind::WRITE_ZEROES, 0, &[(DATA, 16, false)]), IO_ERR);
    assert_eq!(bench.ask(kind::IN, 0, &[(DATA, 512, true)]), OK);
    assert_eq!(bench.board.disk(DiskId(0)).written().count(), 0);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    let mut bench = bench(&[]);
    let mut ask = |kind, sector: u64, sectors: u32, flags: u32, length| {
        let range = [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat();
        bench.board.dma_write(DATA, &range);
        bench.ask(kind, 0, &[(DATA, length, false)])
    };
    assert_eq!(ask(kind::DISCARD, 8, 16, 0, 16), OK);
    assert_eq!(ask(kind::WRITE_ZEROES, 32, 8, 0, 16), OK);
    assert_eq!(ask(kind::WRITE_ZEROES, 40, 8, 1, 16), OK);
    assert_eq!(ask(kind::DISCARD, 0, 8, 1, 16), UNSUPP);
    assert_eq!(ask(kind::WRITE_ZEROES, 0, 8, 2, 16), UNSUPP);
    assert_eq!(ask(kind::DISCARD, 0, 8, 0, 15), UNSUPP);
    assert_eq!(ask(kind::DISCARD, 0, 8, 0, 32), UNSUPP);
    assert_eq!(ask(kind::DISCARD, SIZE / 512 - 1, 2, 0, 16), IO_ERR);
    assert_eq!(ask(kind::DISCARD, u64::MAX, 1, 0, 16), IO_ERR);
    let runs: Vec<_> = bench.board.disk(DiskId(0)).written().map(|run| (run.offset / 512, run.length / 512)).collect();
    assert_eq!(runs, [(8, 16), (32, 16)]);
    let mut without = self::bench(&[("discard", "off"), ("write-zeroes", "off")]);
    assert_eq!(without.ask(kind::DISCARD, 0, &[(DATA, 16, false)]), UNSUPP);
    assert_eq!(without.ask(kind::WRITE_ZEROES, 0, &[(DATA, 16, false)]), UNSUPP);
}

#[test]
fn the_identity_is_the_serial_number() {
    let mut bench = bench(&[("serial", "a-number-of-more-than-20-bytes")]);
    assert_eq!(bench.ask(kind::GET_ID, 0, &[(DATA, 20, true)]), OK);
    assert_eq!(bench.memory(DATA, 20), *b"a-number-of-more-tha");
    assert_eq!(bench.ask(kind::GET_ID, 0, &[(DATA + 64, 3, true)]), OK);
    assert_eq!(bench.memory(DATA + 64, 4), *b"a-n\0");
}

#[test]
fn blocks_may_be_larger_than_sectors() {
    let size = SIZE + 512;
    let geometry = DiskGeometry { size, read_only: false };
    let mut bench = bench_of(geometry, &[("logical_block_size", "4096"), ("physical_block_size", "4096")]);
    assert_eq!(bench.board.read(Space::Memory, CONFIG, 4), SIZE / 512);
    assert_eq!(bench.board.read(Space::Memory, CONFIG + 20, 4), 4096);
    assert_eq!(bench.ask(kind::IN, 8, &[(DATA, 4096, true)]), OK);
    assert_eq!(bench.ask(kind::IN, 1, &[(DATA, 4096, true)]), IO_ERR);
    assert_eq!(bench.ask(kind::IN, 8, &[(DATA, 512, true)]), IO_ERR);
    assert_eq!(bench.ask(kind::IN, SIZE / 512, &[(DATA, 4096, true)]), IO_ERR);
}

#[test]
fn the_write_cache_is_a_bit() {
    let mut bench = bench(&[]);
    bench.board.write(Space::Memory, CONFIG + WRITEBACK, 1, 0);
    assert_eq!(bench.board.read(Space::Memory, CONFIG + WRITEBACK, 1), 0);
    bench.board.write(Space::Memory, CONFIG, 4, 0);
    assert_eq!(bench.board.read(Space::Memory, CONFIG, 4), SIZE / 512);
    bench.start(Wishes { features: 0, msix: true });
    assert_eq!(bench.board.read(Space::Memory, CONFIG + WRITEBACK, 1), 1);
    bench.board.write(Space::Memory, CONFIG + WRITEBACK, 1, 0);
    assert_eq!(bench.board.read(Space::Memory, CONFIG + WRITEBACK, 1), 1, "the driver did not ask for it");
}

#[test]
fn a_reset_forgets_what_is_under_way() {
    let mut bench = bench(&[]);
    bench.request(kind::IN, 0, &[(DATA, 512, true)]);
    bench.request(kind::OUT, 0, &[(DATA, 512, false)]);
    bench.start(Wishes { features: 0, msix: false });
    bench.run_to(1_000_000, &mut nobody);
    assert_eq!((bench.receive(0), bench.status_byte()), (None, NOTHING));
    assert_eq!(bench.board.disk(DiskId(0)).written().count(), 0);
}

#[test]
fn a_function_that_may_not_read_memory_writes_nothing() {
    let mut bench = bench(&[]);
    bench.request(kind::OUT, 0, &[(DATA, 512, false)]);
    bench.write_config(4, 2, 2);
    bench.run_to(1_000_000, &mut nobody);
    assert_eq!(bench.board.disk(DiskId(0)).written().count(), 0);
}

#[test]
fn properties_that_cannot_be_are_refused() {
    let refusal = |given: &[(&str, &str)]| {
        let mut board = Board::new(1 << 20, 1).unwrap();
        board.add_disk(DiskGeometry { size: SIZE, read_only: false });
        let given: Vec<_> = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        attach(&mut board, &Properties::new(&SPEC, &given).unwrap()).unwrap_err().to_string()
    };
    for (given, expected) in [
        (&[][..], "drive names no image: add drive=ID"),
        (&[("drive", "1")], "there is no disk 1"),
        (&[("drive", "0"), ("num-queues", "0")], "at least 1"),
        (&[("drive", "0"), ("queue-size", "2")], "queue-size=2 is no power of two from 4 up"),
        (&[("drive", "0"), ("queue-size", "100")], "queue-size=100 is no power of two"),
        (&[("drive", "0"), ("logical_block_size", "256")], "logical_block_size=256 is no power of two from 512 up"),
    ] {
        let refusal = refusal(given);
        assert!(refusal.contains(expected), "{refusal}");
    }
}
