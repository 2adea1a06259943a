use super::*;
use crate::virtio::testing::{BUFFERS, Bench, CONFIG, Part, Wishes, status};
use reprise_core::board::Space;
use reprise_core::door::Room;

const NET: NetdevId = NetdevId(0);
const ALL: u64 = !0;
const PACKED: u64 = 1 << 34;
/// Features of the device, and not of its transport.
const OWN_FEATURES: u64 = (1 << 24) - 1;
const OWN: MacAddress = FIRST_MAC;
const OTHER: MacAddress = [2, 0, 0, 0, 0, 9];
const FAMILY: MacAddress = [0x33, 0x33, 0, 0, 0, 1];
/// Where tests put what they send.
const OUTGOING: u64 = BUFFERS + 0x4_0000;

/// An adapter at work, of which the driver agreed to `wanted`.
fn started(given: &[(&str, &str)], wanted: u64) -> Bench {
    let given = [&[("netdev", "0"), ("packed", "on")], given].concat();
    let mut bench = Bench::new(&SPEC, &given, |_| {});
    bench.start(Wishes { features: wanted, msix: true });
    bench
}

/// Runs `check` with both formats of rings.
fn both(check: impl Fn(u64)) {
    check(ALL);
    check(ALL & !PACKED);
}

/// Makes `count` buffers of `size` bytes available for receiving; the first token.
fn offer(bench: &mut Bench, count: u64, size: u64) {
    for at in 0..count {
        bench.send(RECEIVE, &[(BUFFERS + at * size, size as u32, true)]);
    }
}

/// What was received, with its header.
fn received(bench: &mut Bench, size: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((_, written)) = bench.receive(RECEIVE) {
        all.push(written);
    }
    all.iter().zip(0..).map(|(&written, at)| bench.memory(BUFFERS + at * size, written as usize)).collect()
}

fn arrive(bench: &mut Bench, frame: &[u8]) {
    assert!(has_room(bench));
    bench.board.frame_input(NET, frame);
}

fn has_room(bench: &Bench) -> bool {
    Room::netdev(&bench.board, NET)
}

/// A frame to `to` that can be told from others.
fn frame(to: MacAddress, length: usize) -> Vec<u8> {
    let rest = (to.len()..length).map(|at| (at * 7 % 251) as u8);
    to.into_iter().chain(rest).collect()
}

/// Sends bytes from one readable part for each of `cuts`; the frames that left.
fn transmit(bench: &mut Bench, bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    bench.board.dma_write(OUTGOING, bytes);
    let mut at = 0;
    let mut part = |end: usize| -> Part {
        let start = std::mem::replace(&mut at, end);
        (OUTGOING + start as u64, (end - start) as u32, false)
    };
    let parts: Vec<Part> = cuts.iter().copied().chain([bytes.len()]).map(&mut part).collect();
    let token = bench.send(TRANSMIT, &parts);
    assert_eq!(bench.receive(TRANSMIT), Some((token, 0)), "the buffer comes back at once");
    frames_out(bench)
}

fn frames_out(bench: &mut Bench) -> Vec<Vec<u8>> {
    let outputs = std::mem::take(&mut bench.board.outputs).into_iter();
    outputs
        .map(|output| match output {
            Output::Frame { netdev: NET, frame } => frame,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The answer to a command.
fn command(bench: &mut Bench, bytes: &[u8]) -> u8 {
    bench.board.dma_write(OUTGOING, bytes);
    bench.board.dma_write(OUTGOING + 0x1000, &[0x55]);
    bench.send(CONTROL, &[(OUTGOING, bytes.len() as u32, false), (OUTGOING + 0x1000, 1, true)]);
    assert_eq!(bench.receive(CONTROL).map(|(_, written)| written), Some(1));
    bench.memory(OUTGOING + 0x1000, 1)[0]
}

fn mac_of(bench: &mut Bench) -> Vec<u8> {
    (0..6).map(|at| bench.board.read(Space::Memory, CONFIG + at, 1) as u8).collect()
}

#[test]
fn a_frame_is_sent_at_once_without_its_header() {
    both(|wanted| {
        let mut bench = started(&[], wanted);
        for (length, cuts) in [(60, &[HEADER][..]), (1514, &[]), (14, &[5, 20]), (FRAME_LIMIT, &[HEADER, 1000])] {
            let sent = frame(OTHER, length);
            assert_eq!(transmit(&mut bench, &[&[0; HEADER][..], &sent].concat(), cuts), [sent]);
            assert!(bench.take_message(TRANSMIT + 1));
        }
    });
}

#[test]
fn a_checksum_is_completed_for_the_wire() {
    let mut bench = started(&[], ALL);
    let mut sent = frame(OTHER, 60);
    sent[40..42].copy_from_slice(&[0x12, 0x34]);
    let mut header = [0; HEADER];
    (header[0], header[6], header[8]) = (1, 34, 6);
    let left = transmit(&mut bench, &[&header[..], &sent].concat(), &[HEADER]).remove(0);
    assert_eq!((&left[..40], &left[42..]), (&sent[..40], &sent[42..]));
    let words = left[34..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let pseudo = 0x1234;
    let sum: u32 = words.sum::<u32>() + pseudo;
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "a receiver adds everything up to ones");
}

#[test]
fn what_is_no_frame_is_not_sent() {
    both(|wanted| {
        let mut bench = started(&[], wanted);
        for length in [0, 1, HEADER, HEADER + ETHERNET_HEADER - 1, HEADER + FRAME_LIMIT + 1] {
            let parts = [(OUTGOING, length as u32, false), (OUTGOING, 1, true)];
            bench.send(TRANSMIT, if length == 0 { &parts[1..] } else { &parts });
            assert!(bench.receive(TRANSMIT).is_some(), "{length} bytes");
        }
        let segments = [&[0, 1][..], &[0; HEADER - 2], &frame(OTHER, 60)].concat();
        assert_eq!(transmit(&mut bench, &segments, &[]), [] as [Vec<u8>; 0]);
        assert_eq!(bench.status() & status::NEEDS_RESET, 0);
    });
}

#[test]
fn a_frame_is_spread_over_buffers() {
    both(|wanted| {
        let mut bench = started(&[], wanted);
        offer(&mut bench, 50, 0x600);
        let sent = frame(OWN, FRAME_LIMIT);
        arrive(&mut bench, &sent);
        assert!(bench.take_message(RECEIVE + 1));
        let parts = received(&mut bench, 0x600);
        assert_eq!(parts.len(), (HEADER + FRAME_LIMIT).div_ceil(0x600));
        let whole = parts.concat();
        assert_eq!((&whole[..10], u16::from_le_bytes([whole[10], whole[11]])), (&[0; 10][..], parts.len() as u16));
        assert!(whole[HEADER..] == sent);
    });
}

#[test]
fn without_merging_a_frame_has_one_buffer() {
    both(|wanted| {
        let mut bench = started(&[], wanted & !feature::MRG_RXBUF);
        offer(&mut bench, 2, 100);
        arrive(&mut bench, &frame(OWN, 89));
        arrive(&mut bench, &frame(OWN, 88));
        arrive(&mut bench, &frame(OTHER, 14));
        let header = header::received(1);
        let expected = [[&header[..], &frame(OWN, 88)].concat(), [&header[..], &frame(OTHER, 14)].concat()];
        assert_eq!(received(&mut bench, 100), expected, "the longest does not fit");
        assert!(has_room(&bench));
    });
}

#[test]
fn one_frame_waits_for_buffers() {
    both(|wanted| {
        let mut bench = started(&[], wanted);
        offer(&mut bench, 1, 100);
        arrive(&mut bench, &frame(OWN, 150));
        assert!(!has_room(&bench));
        assert_eq!(received(&mut bench, 100), [] as [Vec<u8>; 0]);
        let saved = bench.board.save();
        bench.board.load(&saved).unwrap();
        bench.send(RECEIVE, &[(BUFFERS + 100, 100, true)]);
        let parts = received(&mut bench, 100);
        assert_eq!(parts.concat()[HEADER..], frame(OWN, 150));
        assert!(has_room(&bench));
    });
}

#[test]
fn frames_before_the_driver_and_after_it_are_lost() {
    let mut bench = Bench::new(&SPEC, &[("netdev", "0")], |_| {});
    arrive(&mut bench, &frame(OWN, 60));
    bench.start(Wishes { features: ALL, msix: false });
    arrive(&mut bench, &frame(OWN, 61));
    assert!(!has_room(&bench));
    // A reset forgets the frame that waits.
    bench.start(Wishes { features: ALL, msix: false });
    assert!(has_room(&bench));
    offer(&mut bench, 1, 100);
    arrive(&mut bench, &frame(OWN, 62));
    assert_eq!(received(&mut bench, 100), [[&header::received(1)[..], &frame(OWN, 62)].concat()]);
    assert!(bench.isr() & 1 != 0);
    arrive(&mut bench, &[0; ETHERNET_HEADER - 1]);
    arrive(&mut bench, &vec![0; FRAME_LIMIT + 1]);
    assert!(has_room(&bench), "what is no frame is lost");
}

#[test]
fn the_driver_chooses_what_it_receives() {
    both(|wanted| {
        let mut bench = started(&[], wanted);
        offer(&mut bench, 16, 100);
        let count = |bench: &mut Bench, to| {
            arrive(bench, &frame(to, 60));
            received(bench, 100).len()
        };
        assert_eq!(count(&mut bench, OTHER), 1, "promiscuous at first");
        assert_eq!(command(&mut bench, &[0, 0, 0]), 0);
        assert_eq!((count(&mut bench, OTHER), count(&mut bench, FAMILY), count(&mut bench, OWN)), (0, 0, 1));
        let tables = [&[1, 0][..], &1u32.to_le_bytes(), &OTHER, &1u32.to_le_bytes(), &FAMILY].concat();
        assert_eq!(command(&mut bench, &tables), 0);
        assert_eq!((count(&mut bench, OTHER), count(&mut bench, FAMILY)), (1, 1));
        assert_eq!(command(&mut bench, &[&[1, 0][..], &[0; 8]].concat()), 0);
        assert_eq!((count(&mut bench, OTHER), count(&mut bench, FAMILY)), (0, 0));
        for (mode, to) in [(1, FAMILY), (2, OTHER)] {
            assert_eq!((command(&mut bench, &[0, mode, 1]), count(&mut bench, to)), (0, 1), "mode {mode}");
        }
        assert_eq!((command(&mut bench, &[0, 5, 1]), count(&mut bench, [0xff; 6])), (0, 0));
        assert_eq!(command(&mut bench, &[&[1, 1][..], &OTHER].concat()), 0);
        assert_eq!(mac_of(&mut bench), OTHER);
        let tagged = [&OTHER[..], &[0; 6], &[0x81, 0, 0, 7], &[0; 46]].concat();
        let tagged = |bench: &mut Bench| {
            arrive(bench, &tagged);
            received(bench, 100).len()
        };
        assert_eq!(tagged(&mut bench), 0);
        assert_eq!((command(&mut bench, &[2, 0, 7, 0]), tagged(&mut bench)), (0, 1));
        assert_eq!((command(&mut bench, &[2, 1, 7, 0]), tagged(&mut bench)), (0, 0));
    });
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let mut bench = started(&[], ALL);
    let long_table = [&[1, 0][..], &u32::MAX.to_le_bytes(), &OTHER, &0u32.to_le_bytes()].concat();
    let bad: [&[u8]; 14] = [
        &[0],
        &[0, 0],
        &[0, 0, 1, 1],
        &[0, 6, 1],
        &[1, 0],
        &long_table,
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 1, 2, 2, 2],
        &[1, 2],
        &[2, 0, 0, 0x10],
        &[2, 0, 1],
        &[2, 2, 1, 0],
        &[3, 0],
        &[4, 0, 1, 0],
    ];
    for bytes in bad {
        assert_eq!(command(&mut bench, bytes), 1, "{bytes:x?}");
    }
    let wanted = ALL & !(feature::CTRL_RX | feature::CTRL_VLAN | feature::CTRL_MAC_ADDR | feature::CTRL_RX_EXTRA);
    let mut bench = started(&[], wanted);
    for bytes in [&[0, 0, 0][..], &[0, 2, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 1, 2, 2, 2, 2, 2, 2], &[2, 0, 1, 0]]
    {
        assert_eq!(command(&mut bench, bytes), 1, "{bytes:x?} was not agreed on");
    }
    // Without room for an answer, there is none; without anything, too.
    bench.send(CONTROL, &[(OUTGOING, 3, false)]);
    bench.send(CONTROL, &[(OUTGOING, 3, true)]);
    assert_eq!([bench.receive(CONTROL), bench.receive(CONTROL)].map(|b| b.map(|(_, n)| n)), [Some(0), Some(1)]);
}

#[test]
fn properties_make_the_features_and_the_configuration() {
    let word = |bench: &mut Bench, at: u64| bench.board.read(Space::Memory, CONFIG + at, 2) as u16;
    let mut bench = started(&[("mac", "02:00:00:00:00:09"), ("host_mtu", "9000"), ("rx_queue_size", "1024")], ALL);
    assert_eq!(mac_of(&mut bench), OTHER);
    assert_eq!((word(&mut bench, 6), word(&mut bench, 8), word(&mut bench, 10)), (LINK_UP, 0, 9000));
    let all = [&SWITCHES[..], &CONTROL_SWITCHES].concat().iter().fold(0, |bits, (_, bit)| bits | bit);
    assert_eq!(bench.offered() & OWN_FEATURES, all | feature::MTU | feature::MAC | feature::CTRL_VQ);
    let off = ["csum", "mrg_rxbuf", "status", "ctrl_vq"].map(|name| (name, "off"));
    let mut bench = started(&off, ALL);
    assert_eq!(bench.offered() & OWN_FEATURES, feature::MAC);
    assert_eq!((bench.rings.len(), word(&mut bench, 6)), (2, 0));
}

#[test]
fn addresses_count_on_and_bad_properties_are_refused() {
    let attach = |board: &mut Board, given: &[(&str, &str)]| {
        let given: Vec<_> = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        (SPEC.attach)(board, &Properties::new(&SPEC, &given).unwrap())
    };
    let mut bench = Bench::new(&SPEC, &[], |_| {});
    let board = &mut bench.board;
    let given = [&[("mac", "52:54:00:12:34:57")][..], &[], &[]];
    let adapters = given.map(|given| attach(board, given).unwrap());
    let last = adapters.map(|id| board.device_mut::<VirtioPci<VirtioNet>>(id).unwrap().device_mut().mac[5]);
    assert_eq!(last, [0x57, 0x58, 0x59]);
    for (given, reason) in [
        (("mac", "01:00:00:00:00:00"), "device 'virtio-net-pci': mac=01:00:00:00:00:00 is no address of one adapter"),
        (("host_mtu", "67"), "device 'virtio-net-pci': host_mtu=67 is less than 68"),
    ] {
        assert_eq!(attach(board, &[given]).unwrap_err().to_string(), reason);
    }
    let given = [("mq".to_owned(), "on".to_owned())];
    assert!(Properties::new(&SPEC, &given).is_err());
}
