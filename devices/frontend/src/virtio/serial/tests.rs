use super::*;
use crate::virtio::testing::{BUFFERS, Bench, CONFIG, Wishes, nobody};
use reprise_core::backend::ChardevId;
use reprise_core::board::Space;
use reprise_core::door::Room;

const CONSOLE: ChardevId = ChardevId(4);
const AGENT: ChardevId = ChardevId(7);
/// Port 2 is the agent's.
const AGENT_IN: u16 = 6;
const AGENT_OUT: u16 = 7;
/// Buffers of a test: for messages to the driver and from it, for bytes to it and from it.
const TO_DRIVER: u64 = BUFFERS;
const FROM_DRIVER: u64 = BUFFERS + 0x4000;
const BYTES_IN: u64 = BUFFERS + 0x8000;
const BYTES_OUT: u64 = BUFFERS + 0xc000;

fn properties(spec: &'static DeviceSpec, given: &[(&str, &str)]) -> Properties {
    let given: Vec<_> = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Properties::new(spec, &given).unwrap()
}

fn plug(board: &mut Board, spec: &'static DeviceSpec, given: &[(&str, &str)]) -> Result<DeviceId, AttachError> {
    (spec.attach)(board, &properties(spec, given))
}

/// A controller with a console at port 0 and an agent at port 2, and no driver yet.
fn bare(given: &[(&str, &str)]) -> Bench {
    let given: Vec<_> = [("max_ports", "3")].into_iter().chain(given.iter().copied()).collect();
    let mut bench = Bench::new(&SPEC, &given, |_| {});
    plug(&mut bench.board, &port::CONSOLE, &[("chardev", "4")]).unwrap();
    plug(&mut bench.board, &port::SERIAL, &[("chardev", "7"), ("name", "org.agent"), ("nr", "2")]).unwrap();
    bench
}

/// The same with a driver that knows its ports, and has buffers for messages.
fn bench(given: &[(&str, &str)]) -> Bench {
    let mut bench = bare(given);
    bench.start(Wishes { features: u64::MAX, msix: true });
    give_message_buffers(&mut bench);
    for (event, port) in [(event::DEVICE_READY, 0xffff_ffff), (event::PORT_READY, 0), (event::PORT_READY, 2)] {
        say(&mut bench, port, event, 1);
    }
    heard(&mut bench);
    bench
}

fn give_message_buffers(bench: &mut Bench) {
    for at in 0..16 {
        bench.send(CONTROL_TO_DRIVER, &[(TO_DRIVER + 64 * at, 64, true)]);
    }
}

/// The driver sends a message.
fn say(bench: &mut Bench, port: u32, event: u16, value: u16) {
    let bytes = [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
    bench.board.dma_write(FROM_DRIVER, &bytes);
    bench.send(CONTROL_FROM_DRIVER, &[(FROM_DRIVER, 8, false)]);
    assert!(bench.receive(CONTROL_FROM_DRIVER).is_some(), "the message was taken");
}

/// The messages that came to the driver: port, event, value and what is behind. Each has the next buffer.
fn heard_from(bench: &mut Bench, first: u64) -> Vec<(u32, u16, u16, Vec<u8>)> {
    let mut heard = Vec::new();
    while let Some((_, written)) = bench.receive(CONTROL_TO_DRIVER) {
        let bytes = bench.memory(TO_DRIVER + 64 * (first + heard.len() as u64), written as usize);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        heard.push((u32::from(half(0)) | u32::from(half(2)) << 16, half(4), half(6), bytes[8..].to_vec()));
    }
    heard
}

fn heard(bench: &mut Bench) -> Vec<(u32, u16, u16, Vec<u8>)> {
    heard_from(bench, 0)
}

/// What left the machine.
fn sent(bench: &mut Bench) -> Vec<(ChardevId, Vec<u8>)> {
    let bytes = |output| match output {
        Output::Bytes { chardev, bytes } => (chardev, bytes),
        Output::Frame { .. } => panic!("a frame"),
    };
    std::mem::take(&mut bench.board.outputs).into_iter().map(bytes).collect()
}

#[test]
fn a_driver_is_told_of_its_ports() {
    for packed in ["off", "on"] {
        let mut bench = bare(&[("packed", packed)]);
        let features = bench.start(Wishes { features: u64::MAX, msix: true });
        assert_eq!(features & 0xff, MULTIPORT | EMERGENCY_WRITE);
        assert_eq!(bench.board.read(Space::Memory, CONFIG + 4, 4), 3);
        give_message_buffers(&mut bench);
        say(&mut bench, 0, event::DEVICE_READY, 1);
        assert!(bench.take_message(1 + CONTROL_TO_DRIVER));
        let none = Vec::new;
        let added = [(0, event::DEVICE_ADD, 1, none()), (2, event::DEVICE_ADD, 1, none())];
        assert_eq!(heard(&mut bench), added);
        for port in [2, 0, 1, 77, 0xffff_ffff] {
            say(&mut bench, port, event::PORT_READY, 1);
        }
        let told = [
            (2, event::PORT_NAME, 1, b"org.agent".to_vec()),
            (2, event::PORT_OPEN, 1, none()),
            (0, event::CONSOLE_PORT, 1, none()),
            (0, event::PORT_OPEN, 1, none()),
        ];
        assert_eq!(heard_from(&mut bench, 2), told);
    }
}

#[test]
fn bytes_from_the_guest_leave_at_once() {
    let mut bench = bench(&[]);
    bench.board.dma_write(BYTES_OUT, b"hello, console");
    let token = bench.send(1, &[(BYTES_OUT, 7, false), (BYTES_OUT + 7, 7, false)]);
    assert_eq!(sent(&mut bench), [(CONSOLE, b"hello, console".to_vec())]);
    assert_eq!(bench.receive(1), Some((token, 0)));
    bench.send(AGENT_OUT, &[(BYTES_OUT, 5, false)]);
    assert_eq!(sent(&mut bench), [(AGENT, b"hello".to_vec())]);
    bench.send(5, &[(BYTES_OUT, 5, false)]);
    assert!(bench.receive(5).is_some(), "a port where nothing is takes everything");
    assert_eq!(sent(&mut bench), []);
}

#[test]
fn bytes_from_the_host_wait_for_an_open_port_with_buffers() {
    let mut bench = bench(&[]);
    let room = |bench: &Bench| bench.board.chardev(AGENT);
    let first = bench.send(AGENT_IN, &[(BYTES_IN, 4, true)]);
    let second = bench.send(AGENT_IN, &[(BYTES_IN + 16, 100, true), (BYTES_IN + 256, 28, true)]);
    assert_eq!(room(&bench), 0, "nobody in the guest has it open");
    say(&mut bench, 2, event::PORT_OPEN, 1);
    assert_eq!(room(&bench), 4);
    bench.board.chardev_input(AGENT, b"abcd");
    assert_eq!((bench.receive(AGENT_IN), room(&bench)), (Some((first, 4)), 128));
    assert!(bench.take_message(1 + AGENT_IN));
    bench.board.chardev_input(AGENT, b"e");
    assert_eq!((bench.receive(AGENT_IN), room(&bench)), (Some((second, 1)), 0), "a buffer comes back though not full");
    assert_eq!((bench.memory(BYTES_IN, 5), bench.memory(BYTES_IN + 16, 2)), (b"abcd\0".to_vec(), b"e\0".to_vec()));
    bench.send(AGENT_IN, &[(BYTES_IN, 4, true)]);
    say(&mut bench, 2, event::PORT_OPEN, 0);
    assert_eq!(room(&bench), 0);
    bench.board.chardev_input(CONSOLE, b"no buffer");
    assert_eq!(bench.receive(0), None);
}

#[test]
fn a_driver_that_knows_one_port_has_the_first() {
    let mut bench = bare(&[]);
    bench.start(Wishes { features: 0, msix: false });
    bench.send(0, &[(BYTES_IN, 16, true)]);
    assert_eq!(bench.board.chardev(CONSOLE), 16);
    bench.board.chardev_input(CONSOLE, b"typed");
    assert_eq!((bench.receive(0).map(|(_, written)| written), bench.memory(BYTES_IN, 5)), (Some(5), b"typed".to_vec()));
    bench.send(1, &[(BYTES_IN, 5, false)]);
    bench.send(AGENT_OUT, &[(BYTES_IN, 5, false)]);
    assert_eq!(sent(&mut bench), [(CONSOLE, b"typed".to_vec())]);
}

#[test]
fn the_driver_hears_who_comes_and_goes() {
    let mut bench = bench(&[]);
    let open = |value| vec![(2, event::PORT_OPEN, value, Vec::new())];
    bench.board.chardev_connected(AGENT, true);
    assert_eq!(heard_from(&mut bench, 6), [], "somebody was there already");
    bench.board.chardev_connected(AGENT, false);
    assert_eq!(heard_from(&mut bench, 6), open(0));
    bench.send(AGENT_OUT, &[(BYTES_OUT, 5, false)]);
    assert!(bench.receive(AGENT_OUT).is_some());
    assert_eq!(sent(&mut bench), [], "nobody hears it");
    bench.board.chardev_connected(AGENT, true);
    assert_eq!(heard_from(&mut bench, 7), open(1));
    bench.board.chardev_connected(CONSOLE, false);
    assert_eq!(heard_from(&mut bench, 8), [], "a console stays open");
}

#[test]
fn a_port_that_the_host_left_is_not_open_to_the_next_driver() {
    let mut bench = bench(&[]);
    bench.board.chardev_connected(AGENT, false);
    bench.board.reset_devices();
    bench.start(Wishes { features: u64::MAX, msix: true });
    give_message_buffers(&mut bench);
    say(&mut bench, 2, event::PORT_READY, 1);
    let events: Vec<_> = heard(&mut bench).into_iter().map(|(port, event, ..)| (port, event)).collect();
    assert_eq!(events, [(2, event::PORT_NAME)]);
}

#[test]
fn who_comes_and_goes_unheard_is_one_message() {
    let mut bench = bare(&[]);
    bench.start(Wishes { features: u64::MAX, msix: true });
    say(&mut bench, 2, event::PORT_READY, 1);
    for round in 0..1001 {
        bench.board.chardev_connected(AGENT, round % 2 != 0);
    }
    give_message_buffers(&mut bench);
    bench.kick(CONTROL_TO_DRIVER);
    let told: Vec<_> = heard(&mut bench).into_iter().map(|(_, event, value, _)| (event, value)).collect();
    assert_eq!(told, [(event::PORT_NAME, 1), (event::PORT_OPEN, 0)]);
}

#[test]
fn a_driver_that_does_not_listen_has_to_wait_with_its_questions() {
    let mut bench = bare(&[]);
    bench.start(Wishes { features: u64::MAX, msix: true });
    bench.board.dma_write(FROM_DRIVER, &[0, 0, 0, 0, 0, 0, 1, 0]);
    let mut taken = 0;
    for _ in 0..10 {
        while bench.rings[usize::from(CONTROL_FROM_DRIVER)].room() > 0 {
            bench.send(CONTROL_FROM_DRIVER, &[(FROM_DRIVER, 8, false)]);
        }
        bench.notify(CONTROL_FROM_DRIVER);
        bench.run_to(bench.board.now + 1_000_000, &mut nobody);
        taken += std::iter::from_fn(|| bench.receive(CONTROL_FROM_DRIVER)).count();
    }
    assert!((1..=MESSAGES_LIMIT).contains(&taken), "{taken}");
    let (waited, mut heard) = (taken, 0);
    for _ in 0..40 {
        if bench.rings[usize::from(CONTROL_TO_DRIVER)].room() >= 16 {
            give_message_buffers(&mut bench);
        }
        bench.run_to(bench.board.now + 1_000_000, &mut nobody);
        heard += std::iter::from_fn(|| bench.receive(CONTROL_TO_DRIVER)).count();
        taken += std::iter::from_fn(|| bench.receive(CONTROL_FROM_DRIVER)).count();
    }
    assert!(taken > waited && heard == 2 * taken, "{heard} answers to {taken} questions, {waited} of them at first");
}

#[test]
fn messages_that_make_no_sense_do_nothing() {
    let mut bench = bench(&[]);
    for event in 0..20 {
        for port in [0, 1, 2, 3, 31, 0x8000_0000, 0xffff_ffff] {
            if !matches!(event, event::DEVICE_READY | event::PORT_READY) {
                say(&mut bench, port, event, 0xffff);
            }
        }
    }
    say(&mut bench, 2, event::PORT_READY, 0);
    for part in [(FROM_DRIVER, 7, false), (FROM_DRIVER, 64, true)] {
        bench.send(CONTROL_FROM_DRIVER, &[part]);
        assert!(bench.receive(CONTROL_FROM_DRIVER).is_some());
    }
    assert_eq!((heard(&mut bench), sent(&mut bench)), (Vec::new(), Vec::new()));
    say(&mut bench, 2, event::PORT_OPEN, 1);
    bench.send(AGENT_IN, &[(BYTES_IN, 4, false)]);
    let useful = bench.send(AGENT_IN, &[(BYTES_IN, 4, true)]);
    bench.board.chardev_input(AGENT, b"abcdefgh");
    bench.receive(AGENT_IN);
    assert_eq!(bench.receive(AGENT_IN), Some((useful, 4)), "what there is no room for is lost");
}

#[test]
fn a_huge_buffer_is_cut() {
    let mut bench = bench(&[]);
    bench.send(1, &[(0, 0xffff_fff0, false)]);
    let sent = sent(&mut bench);
    assert_eq!(sent.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() as u64, BUFFER_LIMIT);
}

/// A ring of buffers that are all the same memory would else be a hundred times as much of the host's.
#[test]
fn many_long_buffers_leave_one_after_the_other() {
    let mut bench = bench(&[]);
    for _ in 0..3 {
        bench.rings[1].add(&mut bench.board, &[(0, BUFFER_LIMIT as u32, false)], None);
    }
    bench.kick(1);
    for left in [2, 1, 0] {
        assert_eq!(sent(&mut bench).iter().map(|(_, bytes)| bytes.len()).sum::<usize>() as u64, BUFFER_LIMIT);
        assert!(bench.receive(1).is_some() && bench.receive(1).is_none());
        assert_eq!(bench.board.next_event().is_some(), left > 0);
        bench.run_to(bench.board.next_event().unwrap_or(0), &mut nobody);
    }
    assert_eq!(sent(&mut bench), []);
}

#[test]
fn last_words_need_no_driver() {
    for (given, expected) in [("on", vec![(CONSOLE, b"!".to_vec())]), ("off", Vec::new())] {
        let mut bench = bare(&[("emergency-write", given)]);
        bench.enable(false);
        bench.board.write(Space::Memory, CONFIG + 8, 4, u64::from(b'!'));
        assert_eq!(sent(&mut bench), expected);
    }
}

#[test]
fn ports_are_numbered_as_on_qemu() {
    let mut bench = Bench::new(&SPEC, &[], |_| {});
    let board = &mut bench.board;
    let refusal = |result: Result<DeviceId, AttachError>| result.unwrap_err().to_string();
    plug(board, &port::SERIAL, &[("name", "first")]).unwrap();
    plug(board, &port::CONSOLE, &[]).unwrap();
    plug(board, &port::CONSOLE, &[("nr", "2")]).unwrap();
    let owner = plug(board, &port::SERIAL, &[("bus", "virtio-serial-bus.0")]).unwrap();
    let found: Vec<_> = controller(board, owner).ports.iter().flatten().map(|port| port.kind).collect();
    assert_eq!(found, [Kind::Console, Kind::Serial, Kind::Console, Kind::Serial]);
    assert!(refusal(plug(board, &port::SERIAL, &[("nr", "0")])).contains("reserved for a virtconsole"));
    assert!(refusal(plug(board, &port::CONSOLE, &[("nr", "2")])).contains("is taken by virtconsole"));
    assert!(refusal(plug(board, &port::SERIAL, &[("nr", "31")])).contains("no slot 0x1f"));
    assert!(refusal(plug(board, &port::SERIAL, &[("bus", "vs.0")])).contains("there are: virtio-serial-bus.0"));
    assert!(refusal(plug(board, &SPEC, &[("max_ports", "32")])).contains("expected 1 to 31"));
    (SPEC.attach)(board, &properties(&SPEC, &[("max_ports", "1")]).of(Some("vs"))).unwrap();
    plug(board, &port::CONSOLE, &[("bus", "vs.0")]).unwrap();
    assert!(refusal(plug(board, &port::CONSOLE, &[("bus", "vs.0")])).contains("all 1 slots of vs.0 are taken"));
    let mut empty = Board::new(1 << 20, 1).unwrap();
    let error = refusal(plug(&mut empty, &port::SERIAL, &[]));
    assert_eq!(error, "device 'virtserialport': there is no virtio-serial-bus bus: add a device that has one");
}
