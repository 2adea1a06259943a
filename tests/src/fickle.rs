//! A live door of tests: what comes, and when, is drawn from a seed, and the machine cannot know it beforehand.
//!
//! Like a host, it wakes an idle machine early, with input or for nothing, lets polls pass without news, and brings several
//! things at one tick.

use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::cpu::Register;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::edit::Edit;
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use reprise_silicon::generate::Random;

/// The door.
pub struct Fickle {
    random: Random,
    /// Ticks between polls, about.
    pace: Tick,
    interval: Tick,
    /// In how many of a thousand polls an input comes.
    busy: u64,
    /// Bytes of the first character device so far.
    pub console: Vec<u8>,
}

impl Fickle {
    /// The door of `seed`, polled about every `pace` ticks.
    #[must_use]
    pub fn new(seed: u64, pace: Tick) -> Self {
        let mut random = Random::new(seed);
        let busy = random.pick(&[5, 50, 300]);
        Self { random, pace, interval: pace, busy, console: Vec::new() }
    }

    /// A debugger's change, if the machine can make it.
    fn edit(&mut self, room: &dyn Room) -> Option<Edit> {
        let (value, number) = (self.random.next(), self.random.below(16) as u8);
        let edit = if value & 1 == 0 {
            let register = register(&mut self.random, number);
            let high = if value & 2 == 0 { 0 } else { u128::from(self.random.next()) << 64 };
            Edit::Register { cpu: number as u32 % 3, register, value: high | u128::from(value >> (value % 60)) }
        } else {
            let bytes = (0..self.random.below(40)).map(|_| self.random.next() as u8).collect();
            Edit::Memory { address: value >> 44, bytes }
        };
        room.edit(&edit).is_ok().then_some(edit)
    }

    fn input(&mut self, room: &dyn Room) -> Option<HostInput> {
        let value = self.random.next();
        match self.random.below(1000) {
            0 => Some(HostInput::Quit),
            1..=3 => Some(HostInput::Reset),
            4..=6 => Some(HostInput::PowerButton),
            7..=300 => Some(HostInput::Key(KeyEvent { code: (value % 128) as u16, down: value & 256 != 0 })),
            301..=500 => {
                let [dx, dy] = [value as i16, (value >> 16) as i16];
                Some(HostInput::Pointer(PointerEvent { dx, dy, wheel: 0, buttons: (value >> 40) as u8 & 7 }))
            }
            501..=520 => self.edit(room).map(HostInput::Edit),
            521..=550 => Some(HostInput::Connected { chardev: ChardevId(value as u16 % 2), connected: value & 4 != 0 }),
            _ => {
                let chardev = ChardevId(value as u16 % 2);
                let count = room.chardev(chardev).min(1 + self.random.below(20) as usize);
                let bytes = (0..count).map(|_| self.random.next() as u8).collect::<Vec<_>>();
                (!bytes.is_empty()).then_some(HostInput::Chardev { chardev, bytes })
            }
        }
    }
}

/// A register with a number below 16, whether there is one or not.
fn register(random: &mut Random, number: u8) -> Register {
    random.pick(&[
        Register::General(number),
        Register::General(number),
        Register::Rip,
        Register::Flags,
        Register::Mxcsr,
        Register::Xmm(number),
        Register::YmmHigh(number),
        Register::St(number),
        Register::FpControl,
        Register::FpStatus,
        Register::FpTag,
    ])
}

impl Door for Fickle {
    fn poll(&mut self, _now: Tick, room: &dyn Room) -> Option<HostInput> {
        self.interval = 1 + self.random.below(2 * self.pace);
        if self.random.below(1000) < self.busy { self.input(room) } else { None }
    }

    fn answer(&mut self, _now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => HostInput::ClusterFailed { disk, cluster },
            Question::Random { rng, length } => {
                HostInput::Random { rng, bytes: (0..length).map(|_| self.random.next() as u8).collect() }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        None
    }

    fn poll_interval(&self) -> Tick {
        self.interval
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let early = now.saturating_add(self.random.below(4 * self.pace));
        match (self.random.below(10), deadline) {
            (0, _) => Some(now),
            (1..=4, Some(deadline)) => Some(early.min(deadline)),
            (5..=9, Some(deadline)) => Some(deadline),
            (1..=8, None) => Some(early),
            _ => None,
        }
    }

    fn output(&mut self, _now: Tick, output: Output) {
        if let Output::Bytes { chardev: ChardevId(0), bytes } = output {
            self.console.extend(bytes);
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}
