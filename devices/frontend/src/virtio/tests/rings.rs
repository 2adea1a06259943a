//! Rings that keep to the rules: what goes in comes out, with as many notifications and interrupts as were asked for.

use super::*;
use crate::virtio::testing::{BUFFERS, Part, nobody};
use std::collections::BTreeMap;

/// A buffer that is out.
struct Sent {
    first: u64,
    parts: Vec<Part>,
}

/// A driver that sends random buffers, and checks what comes back.
struct Conversation {
    bench: Bench,
    random: Random,
    indirect: bool,
    out: BTreeMap<u16, Sent>,
    /// 64 places of 4 KiB: which are free.
    places: Vec<u64>,
    returned: u32,
}

const PLACE: u64 = 0x1000;
/// A place's indirect table, behind its bytes.
const TABLE: u64 = 0xe00;

impl Conversation {
    fn new(packed: bool, features: u64, seed: u64) -> Self {
        let bench = started(packed, Wishes { features, msix: true });
        let places = (0..16).map(|place| BUFFERS + PLACE * place).collect();
        let (random, out) = (Random(seed), BTreeMap::new());
        Self { bench, random, indirect: features & INDIRECT != 0, out, places, returned: 0 }
    }

    /// Sends a buffer if there is room; the parts to read come first.
    fn send(&mut self) {
        let count = 2 + self.random.below(4);
        let table = self.indirect && self.random.below(2) == 0;
        let slots = if table { 1 } else { count };
        if u64::from(self.bench.rings[0].room()) < slots || self.places.is_empty() {
            return;
        }
        let first = self.places.swap_remove(self.random.below(self.places.len() as u64) as usize);
        let readable = 1 + self.random.below(count - 1);
        let mut at = first;
        let parts: Vec<Part> = (0..count)
            .map(|part| {
                let length = 1 + self.random.below(100);
                at += length;
                (at - length, length as u32, part >= readable)
            })
            .collect();
        let bytes: Vec<u8> = (first..at).map(|_| self.random.next() as u8).collect();
        self.bench.board.dma_write(first, &bytes);
        let table = table.then_some(first + TABLE);
        let token = self.bench.rings[0].add(&mut self.bench.board, &parts, table);
        self.out.insert(token, Sent { first, parts });
    }

    /// Takes back what came, and checks it.
    fn receive(&mut self) {
        while let Some((token, written)) = self.bench.receive(0) {
            let sent = self.out.remove(&token).unwrap();
            let gather = |write: bool| -> Vec<u8> {
                let parts = sent.parts.iter().filter(|part| part.2 == write);
                parts.flat_map(|part| self.bench.memory(part.0, part.1 as usize)).collect()
            };
            let (question, answer) = (gather(false), gather(true));
            let expected: Vec<u8> = question.iter().take(answer.len()).map(|byte| !byte).collect();
            assert_eq!(written as usize, expected.len());
            assert_eq!(answer[..expected.len()], expected);
            self.places.push(sent.first);
            self.returned += 1;
        }
    }

    /// Sends some, lets time pass, and takes what an interrupt announces.
    fn turn(&mut self) {
        for _ in 0..self.random.below(6) {
            self.send();
        }
        self.bench.kick(0);
        let later = self.bench.board.now + self.random.below(40_000);
        self.bench.run_to(later, &mut nobody);
        if self.bench.take_message(1) {
            self.receive();
        }
    }
}

#[test]
fn what_goes_in_comes_out_of_every_shape_of_ring() {
    for (packed, features) in shapes() {
        for seed in 0..4 {
            let mut conversation = Conversation::new(packed, features, seed);
            while conversation.returned < 300 {
                conversation.turn();
            }
            while !conversation.out.is_empty() {
                conversation.turn();
            }
            assert_eq!(conversation.bench.status() & 0x40, 0);
        }
    }
}

#[test]
fn a_saved_ring_goes_on_where_it_was() {
    for (packed, features) in shapes() {
        let mut conversation = Conversation::new(packed, features, 7);
        for _ in 0..100 {
            conversation.turn();
            let saved = conversation.bench.board.save();
            conversation.bench.board.reset_devices();
            conversation.bench.board.load(&saved).unwrap();
        }
        assert!(conversation.returned > 100);
    }
}

/// The free-running indices of a split ring pass 65536, and a packed ring goes around many times.
#[test]
fn indices_wrap_around() {
    for packed in [false, true] {
        let mut bench = started(packed, EVERYTHING);
        bench.board.dma_write(BUFFERS, &[4, 6]);
        for number in 0..70_000 {
            let token = bench.send(0, &[(BUFFERS, 2, false), (BUFFERS + 16, 2, true)]);
            assert!(bench.take_message(1), "interrupt {number}");
            assert_eq!(bench.receive(0), Some((token, 2)));
        }
        assert_eq!(bench.memory(BUFFERS + 16, 2), [!4, !6]);
    }
}

#[test]
fn interrupts_come_when_they_are_wanted() {
    for (packed, features) in shapes() {
        let mut bench = started(packed, Wishes { features, msix: true });
        let buffer = [(BUFFERS, 2, false), (BUFFERS + 16, 2, true)];
        bench.rings[0].want_interrupts(&mut bench.board, false);
        bench.send(0, &buffer);
        bench.send(0, &buffer);
        assert!(!bench.take_message(1), "features {features:#x}");
        while bench.receive(0).is_some() {}
        bench.rings[0].want_interrupts(&mut bench.board, true);
        bench.send(0, &buffer);
        assert!(bench.take_message(1), "features {features:#x}");
        assert!(!bench.take_message(2) && !bench.take_message(0));
    }
}

/// With event indices the driver need not notify again before the device has taken what it was notified of.
#[test]
fn notifications_are_wanted_for_what_comes_next() {
    for packed in [false, true] {
        let mut bench = started(packed, EVERYTHING);
        let buffer = [(BUFFERS, 2, false), (BUFFERS + 16, 2, true)];
        let add = |bench: &mut Bench| {
            bench.rings[0].add(&mut bench.board, &buffer, None);
            bench.rings[0].wants_kick(&bench.board)
        };
        assert!(add(&mut bench));
        bench.notify(0);
        assert_eq!([add(&mut bench), add(&mut bench), add(&mut bench)], [true, false, false]);
        bench.notify(0);
        assert_eq!(std::iter::from_fn(|| bench.receive(0)).count(), 4);
        assert!(add(&mut bench));
    }
}

#[test]
fn buffers_come_back_in_the_order_in_which_the_device_is_done() {
    for packed in [false, true] {
        let mut bench = started(packed, EVERYTHING);
        bench.board.dma_write(BUFFERS, &[9, 0, 3, 0, 8, 0]);
        let tokens: Vec<_> =
            (0..3).map(|at| bench.send(0, &[(BUFFERS + 2 * at, 1, false), (BUFFERS + 16 + at, 1, true)])).collect();
        bench.run_to(10_000, &mut nobody);
        let order: Vec<_> = std::iter::from_fn(|| bench.receive(0)).map(|(token, _)| token).collect();
        assert_eq!(order, [tokens[2], tokens[1], tokens[0]]);
    }
}
