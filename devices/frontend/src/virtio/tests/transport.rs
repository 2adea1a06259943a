//! Discovery, negotiation, status, interrupts, and the window through configuration space.

use super::*;
use crate::pci::CAP_ID_MSIX;
use crate::virtio::testing::{BUFFERS, CONFIG, MSIX, Part, STRUCTURES, common, nobody, status};
use reprise_core::board::{LineId, Space};
use reprise_core::property::{AttachError, Properties};

const BUFFER: [Part; 2] = [(BUFFERS, 2, false), (BUFFERS + 16, 2, true)];
/// INTA# of slot 1.
const LINE: LineId = LineId::gsi(21);

#[test]
fn identity_and_capabilities_are_those_of_a_modern_device() {
    let mut bench = bench(false);
    assert_eq!(bench.read_config(0, 4), 0x106a_1af4);
    assert_eq!(bench.read_config(8, 4), 0x00ff_0001);
    assert_eq!(bench.read_config(0x2c, 4), 0x1100_1af4);
    assert_eq!(bench.read_config(0x3d, 1), 1);
    let found = bench.capabilities();
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), [CAP_ID_MSIX, 9, 9, 9, 9, 9]);
    let structures: Vec<_> = found[1..]
        .iter()
        .map(|&(_, at)| [3, 4, 8, 12].map(|offset| bench.read_config(at + offset, if offset < 8 { 1 } else { 4 })))
        .collect();
    let expected =
        [[1, 4, 0, 0x1000], [3, 4, 0x1000, 0x1000], [4, 4, 0x2000, 0x1000], [2, 4, 0x3000, 0x1000], [5, 0, 0, 0]];
    assert_eq!(structures, expected);
    assert_eq!(bench.read_config(found[4].1 + 16, 4), 4, "notify_off_multiplier");
}

#[test]
fn properties_decide_on_features_and_vectors() {
    let given = [("event_idx", "off"), ("indirect_desc", "off"), ("packed", "on"), ("vectors", "0"), ("addr", "01.0")];
    let mut bench = Bench::new(&echo::SPEC, &given, |_| {});
    bench.enable(true);
    assert_eq!(bench.offered(), 1 << 3 | 1 << 51 | 1 << 32 | 1 << 34);
    assert_eq!(bench.capability(CAP_ID_MSIX), None);
    assert_eq!(bench.read_config(0x14, 4), 0);
    let mut other = super::bench(false);
    other.enable(true);
    assert_eq!(other.offered(), 1 << 3 | 1 << 51 | 1 << 32 | 1 << 28 | 1 << 29);
    let capability = other.capability(CAP_ID_MSIX).unwrap();
    assert_eq!(other.read_config(capability + 2, 2), 0x8002, "three vectors");
}

#[test]
fn places_and_vectors_that_cannot_be_are_refused() {
    let mut board = super::bench(false).board;
    let mut refusal = |name: &str, value: &str| {
        let properties = Properties::new(&echo::SPEC, &[(name.into(), value.into())]).unwrap();
        (echo::SPEC.attach)(&mut board, &properties).unwrap_err()
    };
    assert!(matches!(refusal("addr", "2.1"), AttachError::Invalid { .. }));
    assert!(matches!(refusal("addr", "1"), AttachError::Plug { .. }));
    assert!(matches!(refusal("addr", "1f"), AttachError::Plug { .. }));
    assert!(matches!(refusal("bus", "pci.7"), AttachError::Plug { .. }));
    for (name, value) in
        [("disable-legacy", "off"), ("disable-modern", "on"), ("iommu_platform", "on"), ("vectors", "2049")]
    {
        assert!(Properties::new(&echo::SPEC, &[(name.into(), value.into())]).is_err(), "{name}={value}");
    }
}

#[test]
fn features_are_agreed_on_or_refused() {
    let mut bench = bench(false);
    bench.enable(false);
    let choose = |bench: &mut Bench, features: u64| {
        bench.set_common(common::DEVICE_STATUS, 1, 0);
        bench.set_status(status::ACKNOWLEDGE | status::DRIVER);
        for half in 0..2 {
            bench.set_common(common::DRIVER_FEATURE_SELECT, 4, half);
            bench.set_common(common::DRIVER_FEATURE, 4, features >> (32 * half) & 0xffff_ffff);
        }
        bench.set_status(status::FEATURES_OK);
        bench.status() & status::FEATURES_OK != 0
    };
    assert!(!choose(&mut bench, 1 << 3), "VIRTIO_F_VERSION_1 is missing");
    assert!(!choose(&mut bench, 1 << 32 | 1 << 34), "packed rings are not offered");
    assert!(!choose(&mut bench, 1 << 32 | 1 << 30), "bit 30 is not the device's");
    assert!(choose(&mut bench, 1 << 32 | 1 << 3));
    bench.set_common(common::DRIVER_FEATURE, 4, 0);
    assert_eq!(bench.common(common::DRIVER_FEATURE, 4), 1, "it is too late to change them");
    bench.set_common(common::DEVICE_FEATURE_SELECT, 4, 2);
    assert_eq!(bench.common(common::DEVICE_FEATURE, 4), 0);
}

#[test]
fn queues_are_enabled_only_if_they_can_be() {
    for (packed, size, enabled) in [(false, 8, 1), (false, 9, 0), (true, 9, 1)] {
        let mut bench = bench(packed);
        bench.enable(false);
        bench.set_common(common::QUEUE_ENABLE, 2, 1);
        assert_eq!(bench.common(common::QUEUE_ENABLE, 2), 0, "features come first");
        bench.negotiate(PACKED);
        for (wanted, read) in [(size, size), (17, size), (0, size)] {
            bench.set_common(common::QUEUE_SIZE, 2, wanted);
            assert_eq!(bench.common(common::QUEUE_SIZE, 2), read);
        }
        bench.set_common(common::QUEUE_ENABLE, 2, 1);
        assert_eq!(bench.common(common::QUEUE_ENABLE, 2), enabled, "packed {packed}, size {size}");
    }
    let mut bench = bench(false);
    bench.enable(false);
    bench.set_common(common::QUEUE_SELECT, 2, 2);
    assert_eq!(bench.common(common::QUEUE_SIZE, 2), 0, "there is no queue 2");
}

#[test]
fn nothing_happens_before_the_driver_is_ready() {
    let mut bench = bench(false);
    bench.enable(true);
    let features = bench.negotiate(0);
    (0..2).for_each(|queue| bench.set_up_queue(queue, features));
    bench.send(0, &BUFFER);
    assert_eq!(bench.receive(0), None);
    bench.set_status(status::DRIVER_OK);
    assert!(bench.receive(0).is_some(), "what was there already is looked at");
}

#[test]
fn a_function_that_is_no_bus_master_does_nothing() {
    let mut bench = started(false, EVERYTHING);
    bench.board.dma_write(BUFFERS, &[1, 0]);
    bench.send(0, &BUFFER);
    bench.write_config(4, 2, 2);
    bench.send(1, &BUFFER);
    bench.board.write(Space::Memory, CONFIG + 4, 1, 1);
    bench.run_to(100_000, &mut nobody);
    assert_eq!((bench.receive(0), bench.receive(1)), (None, None));
    assert!((0..3).all(|vector| !bench.take_message(vector)));
    bench.write_config(4, 2, 6);
    assert!(bench.receive(1).is_some());
}

#[test]
fn reset_forgets_queues_timers_and_requests() {
    let mut bench = started(false, EVERYTHING);
    bench.board.dma_write(BUFFERS, &[1, 0]);
    bench.send(0, &BUFFER);
    assert!(bench.board.next_event().is_some());
    bench.set_common(common::DEVICE_STATUS, 1, 0);
    assert_eq!(bench.board.next_event(), None);
    assert_eq!((bench.status(), bench.isr()), (0, 0));
    bench.set_common(common::QUEUE_SELECT, 2, 0);
    assert_eq!((bench.common(common::QUEUE_ENABLE, 2), bench.common(common::QUEUE_DESC, 4)), (0, 0));
    assert_eq!(bench.common(common::QUEUE_MSIX_VECTOR, 2), 0xffff);
    bench.start(EVERYTHING);
    bench.board.dma_write(BUFFERS, &[2, 0]);
    bench.send(0, &BUFFER);
    assert!(bench.receive(0).is_some());
}

#[test]
fn without_msix_the_pin_follows_the_isr_status() {
    let mut bench = started(false, Wishes { features: 0, msix: false });
    bench.send(0, &BUFFER);
    assert!(bench.board.line_level(LINE));
    assert_eq!(bench.read_config(6, 2) & 8, 8);
    assert_eq!((bench.isr(), bench.isr()), (1, 0));
    assert!(!bench.board.line_level(LINE));
    bench.board.write(Space::Memory, CONFIG + 4, 1, 1);
    assert!(bench.board.line_level(LINE));
    assert_eq!(bench.isr(), 2);
}

#[test]
fn masked_vectors_are_pending_until_they_are_not() {
    let mut bench = started(false, EVERYTHING);
    let control = bench.capability(CAP_ID_MSIX).unwrap() + 2;
    let pending = |bench: &mut Bench| bench.board.read(Space::Memory, MSIX + 0x800, 8);
    bench.board.write(Space::Memory, MSIX + 16 + 12, 4, 1);
    bench.send(0, &BUFFER);
    bench.send(1, &BUFFER);
    assert_eq!((bench.take_message(1), bench.take_message(2), pending(&mut bench)), (false, true, 2));
    assert!(!bench.board.line_level(LINE), "MSI-X takes the pin's place");
    bench.board.write(Space::Memory, MSIX + 0x800, 8, 0xff);
    assert_eq!(pending(&mut bench), 2, "the pending bits are read-only");
    bench.board.write(Space::Memory, MSIX + 16 + 12, 4, 0);
    assert_eq!((bench.take_message(1), pending(&mut bench)), (true, 0));
    while bench.receive(1).is_some() {}
    bench.write_config(control, 2, 0xc000);
    bench.send(1, &BUFFER);
    assert_eq!((bench.take_message(2), pending(&mut bench)), (false, 4));
    bench.write_config(control, 2, 0x8000);
    assert_eq!((bench.take_message(2), pending(&mut bench)), (true, 0));
}

/// As on QEMU; PCI 3.0, 6.8.3.4 Per-vector Masking and Function Masking: what is no reason for an interrupt any more is not
/// pending.
#[test]
fn a_reset_leaves_nothing_pending() {
    let mut bench = started(false, EVERYTHING);
    bench.board.write(Space::Memory, MSIX + 16 + 12, 4, 1);
    bench.send(0, &BUFFER);
    assert_eq!(bench.board.read(Space::Memory, MSIX + 0x800, 4), 2);
    bench.set_common(common::DEVICE_STATUS, 1, 0);
    assert_eq!(bench.board.read(Space::Memory, MSIX + 0x800, 4), 0);
    bench.board.write(Space::Memory, MSIX + 16 + 12, 4, 0);
    assert!(!bench.take_message(1));
}

#[test]
fn a_large_table_has_a_large_region() {
    let mut bench = Bench::new(&echo::SPEC, &[("vectors", "2048")], |_| {});
    bench.write_config(0x14, 4, 0xffff_ffff);
    assert_eq!(bench.read_config(0x14, 4), 0xffff_0000);
    bench.enable(true);
    let capability = bench.capability(CAP_ID_MSIX).unwrap();
    let registers = [2, 4, 8].map(|offset| bench.read_config(capability + offset, if offset == 2 { 2 } else { 4 }));
    assert_eq!(registers, [0x87ff, 1, 0x8001]);
    bench.negotiate(0);
    bench.set_common(common::CONFIG_MSIX_VECTOR, 2, 2047);
    let last = MSIX + 16 * 2047 + 12;
    bench.board.write(Space::Memory, last, 4, 1);
    bench.set_status(status::DRIVER_OK);
    bench.board.write(Space::Memory, CONFIG + 4, 1, 0);
    assert_eq!(bench.board.read(Space::Memory, MSIX + 0x8000 + 0xfc, 4), 1 << 31);
    bench.board.write(Space::Memory, last, 4, 0);
    assert!(bench.take_message(2047));
}

#[test]
fn vectors_that_are_not_there_cannot_be_chosen() {
    let mut bench = started(false, EVERYTHING);
    for (wanted, chosen) in [(2, 2), (3, 0xffff), (0xffff, 0xffff)] {
        bench.set_common(common::CONFIG_MSIX_VECTOR, 2, wanted);
        bench.set_common(common::QUEUE_SELECT, 2, 0);
        bench.set_common(common::QUEUE_MSIX_VECTOR, 2, wanted);
        let read = (bench.common(common::CONFIG_MSIX_VECTOR, 2), bench.common(common::QUEUE_MSIX_VECTOR, 2));
        assert_eq!(read, (chosen, chosen));
    }
    bench.send(0, &BUFFER);
    assert!((0..3).all(|vector| !bench.take_message(vector)));
    assert_eq!(bench.board.read(Space::Memory, MSIX + 16, 8), 0xf_0004, "a table entry of 64 bits");
}

#[test]
fn a_change_of_the_configuration_is_announced() {
    let mut bench = started(false, EVERYTHING);
    let before = bench.common(common::CONFIG_GENERATION, 1);
    bench.board.write(Space::Memory, CONFIG + 1, 4, 0x0403_0201);
    assert_ne!(bench.common(common::CONFIG_GENERATION, 1), before);
    assert!(bench.take_message(0));
    assert_eq!(bench.board.read(Space::Memory, CONFIG, 8), 0x0000_0004_0302_0100, "zeros behind the end");
}

#[test]
fn a_device_that_failed_needs_a_reset() {
    let mut bench = started(false, EVERYTHING);
    bench.board.write(Space::Memory, CONFIG + 5, 1, 1);
    assert_eq!(bench.status() & status::NEEDS_RESET, status::NEEDS_RESET);
    assert!(bench.take_message(0));
    bench.send(0, &BUFFER);
    assert_eq!(bench.receive(0), None);
    bench.start(EVERYTHING);
    bench.send(0, &BUFFER);
    assert!(bench.receive(0).is_some());
}

#[test]
fn the_window_leads_to_the_structures() {
    let mut bench = bench(false);
    bench.write_config(4, 2, 6);
    let window = bench.capabilities().last().unwrap().1;
    let aim = |bench: &mut Bench, offset: u64, length: u64| {
        for (register, value) in [(4, 4), (8, offset), (12, length)] {
            bench.write_config(window + register, if register == 4 { 1 } else { 4 }, value);
        }
    };
    aim(&mut bench, common::NUM_QUEUES, 2);
    assert_eq!(bench.read_config(window + 16, 4), 2);
    aim(&mut bench, 0x2000, 4);
    bench.write_config(window + 16, 4, 0x0403_0201);
    assert_eq!(bench.read_config(window + 16, 4), 0x0403_0201);
    aim(&mut bench, 0x2001, 1);
    assert_eq!(bench.read_config(window + 16, 1), 2);
    for (offset, length) in [(0x4000, 4), (2, 4), (0, 3), (0, 8), (0, 0), (0xffff_fffc, 4)] {
        aim(&mut bench, offset, length);
        bench.write_config(window + 16, 4, 0x55aa_55aa);
        assert_eq!(bench.read_config(window + 16, 4), 0x55aa_55aa, "offset {offset:#x}, length {length}");
    }
    bench.write_config(0x20, 4, STRUCTURES);
    assert_eq!(bench.board.read(Space::Memory, CONFIG, 4), 0x0403_0201);
}
