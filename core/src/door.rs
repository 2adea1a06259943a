//! The one door through which facts from the host enter the machine.
//!
//! Live, recorded, replayed and scripted runs differ only in who stands at the door.

use crate::clock::Tick;
use crate::device::{KeyEvent, PointerEvent};
use crate::output::{ChardevId, Output};
use serde::{Deserialize, Serialize};

/// A fact from the host. Closed: a new kind is a compile error wherever it must be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostInput {
    /// Bytes that came in on a character device.
    ///
    /// Determinism: the entropy is what a person or peer sent and when; both are this value and its tick. The front end
    /// takes the bytes at that tick, and never learns how they were split on the host.
    Chardev {
        /// Which character device.
        chardev: ChardevId,
        /// The bytes, no more than the front end had room for.
        bytes: Vec<u8>,
    },
    /// A key of the keyboard.
    ///
    /// Determinism: as for [`Chardev`](Self::Chardev); key repeat is made by the front end, in ticks.
    Key(KeyEvent),
    /// The pointer.
    ///
    /// Determinism: as for [`Key`](Self::Key): counts and buttons are all there is.
    Pointer(PointerEvent),
    /// The operator pressed the power button.
    ///
    /// Determinism: the only entropy is the tick.
    PowerButton,
    /// The operator reset the machine.
    ///
    /// Determinism: the only entropy is the tick.
    Reset,
    /// The operator ended the run.
    ///
    /// Determinism: the only entropy is the tick; the guest sees nothing.
    Quit,
}

/// Who stands at the door.
pub trait Door {
    /// The next input that is due at `now`, if any; asked until there is none. `room` tells how many bytes a character
    /// device's front end can take.
    fn poll(&mut self, now: Tick, room: &dyn Fn(ChardevId) -> usize) -> Option<HostInput>;

    /// The tick of the next input that is known beforehand; live input is not.
    fn next_due(&self) -> Option<Tick>;

    /// How many ticks may pass between two polls; shapes only how soon live input is seen.
    fn poll_interval(&self) -> Tick;

    /// Every vCPU is idle until `deadline` (`None`: for ever). The host may sleep. Returns the tick to which the clock
    /// jumps: `deadline`, or earlier because input came; `None` if there is no deadline and no input can ever come.
    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick>;

    /// Takes what left the machine.
    fn output(&mut self, now: Tick, output: Output);
}

/// The door of a run whose inputs are all known beforehand, and whose output is kept: tests and replays by hand.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Inputs yet to come, latest first.
    inputs: Vec<(Tick, HostInput)>,
    /// Bytes of each character device so far.
    pub bytes: Vec<Vec<u8>>,
}

impl Script {
    /// A script of `inputs`, in any order; inputs of one tick arrive in the order given.
    pub fn new(mut inputs: Vec<(Tick, HostInput)>) -> Self {
        inputs.sort_by_key(|(tick, _)| *tick);
        inputs.reverse();
        Self { inputs, bytes: Vec::new() }
    }

    /// What left on a character device so far.
    pub fn output_of(&self, chardev: ChardevId) -> &[u8] {
        self.bytes.get(usize::from(chardev.0)).map_or(&[], Vec::as_slice)
    }
}

impl Door for Script {
    fn poll(&mut self, now: Tick, _room: &dyn Fn(ChardevId) -> usize) -> Option<HostInput> {
        self.inputs.pop_if(|(tick, _)| *tick <= now).map(|(_, input)| input)
    }

    fn next_due(&self) -> Option<Tick> {
        self.inputs.last().map(|(tick, _)| *tick)
    }

    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }

    fn idle(&mut self, _now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        match (deadline, self.next_due()) {
            (Some(deadline), Some(due)) => Some(deadline.min(due)),
            (deadline, due) => deadline.or(due),
        }
    }

    fn output(&mut self, _now: Tick, output: Output) {
        let Output::Byte { chardev, byte } = output;
        let index = usize::from(chardev.0);
        if self.bytes.len() <= index {
            self.bytes.resize_with(index + 1, Vec::new);
        }
        self.bytes[index].push(byte);
    }
}
