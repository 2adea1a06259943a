//! Who stands at the machine's door in a live run: the host's terminal, files, networks and signals.
//!
//! Everything here is about *when* the machine sees what the host has: how long it sleeps, how often it looks. What it
//! sees is in the inputs that leave here, and only there.

mod answers;
mod calls;
mod lines;
mod nets;
mod sleeping;

pub use calls::{SharedDoor, Woken};
pub use sleeping::Pace;

use crate::blockdev::Image;
use crate::chardev::{Chardev, ChardevError, Command, HELP};
use crate::netdev::Netdev;
use crate::rng::{Rng, RngError};
use crate::signals::Signals;
use crate::terminal::RawTerminal;
use answers::Disk;
use lines::Line;
use nets::Net;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Ticks between two polls: few enough that typing feels immediate, many enough that polling costs nothing.
const POLL_INTERVAL: Tick = 200_000;

/// The host is looked at no more often than this: a look is a few system calls.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Bytes from the guest that wait for a host that does not read; then the machine waits.
const OUTPUT_LIMIT: usize = 64 << 10;

/// Why the door asked the machine to quit.
#[derive(Debug)]
pub enum Ending {
    /// The operator's key.
    Key,
    /// A signal.
    Signal(i32),
    /// A character device failed.
    Chardev(ChardevError),
    /// A source of random bytes failed.
    Rng(RngError),
    /// The machine is paused, and no key can come that would let it run on.
    PausedForEver,
    /// The operator's debugger.
    Debugger,
}

/// What serves the machine, each kind in the order of its numbers.
#[derive(Default)]
pub struct Backends {
    /// By [`ChardevId`](reprise_core::backend::ChardevId).
    pub chardevs: Vec<Box<dyn Chardev>>,
    /// By [`DiskId`](reprise_core::backend::DiskId).
    pub disks: Vec<Box<dyn Image>>,
    /// By [`NetdevId`](reprise_core::backend::NetdevId).
    pub netdevs: Vec<Box<dyn Netdev>>,
    /// By [`RngId`](reprise_core::backend::RngId).
    pub rngs: Vec<Box<dyn Rng>>,
}

/// The door of a live run.
pub struct LiveDoor {
    pace: Pace,
    /// By [`ChardevId`](reprise_core::backend::ChardevId).
    lines: Vec<Line>,
    /// By [`NetdevId`](reprise_core::backend::NetdevId).
    nets: Vec<Net>,
    disks: Vec<Disk>,
    rngs: Vec<Box<dyn Rng>>,
    signals: Option<Signals>,
    /// Put back when the door is dropped.
    terminal: Option<RawTerminal>,
    paused: bool,
    /// Whether a debugger has the machine stopped: then no key starts it.
    held: bool,
    /// What wakes the machine though others serve it.
    bells: Vec<OwnedFd>,
    ending: Option<Ending>,
    looked: Instant,
    /// The tick of the last look in a poll: with another one there, who sends without end would keep the machine there.
    looked_at: Option<Tick>,
    /// The tick at which the machine took all it had room for.
    polled_at: Option<Tick>,
    overslept: Duration,
}

impl LiveDoor {
    /// A door with these back ends.
    pub fn new(pace: Pace, backends: Backends) -> Self {
        Self {
            pace,
            lines: backends.chardevs.into_iter().map(Line::new).collect(),
            nets: backends.netdevs.into_iter().map(Net::new).collect(),
            disks: backends.disks.into_iter().map(Disk::new).collect(),
            rngs: backends.rngs,
            signals: None,
            terminal: None,
            paused: false,
            held: false,
            bells: Vec::new(),
            ending: None,
            looked: Instant::now(),
            looked_at: None,
            polled_at: None,
            overslept: Duration::ZERO,
        }
    }

    /// Ends or stops the run when a signal says so.
    pub fn obey(&mut self, signals: Signals) {
        self.signals = Some(signals);
    }

    /// Owns the raw terminal from now on.
    pub fn own(&mut self, terminal: RawTerminal) {
        self.terminal = Some(terminal);
    }

    /// Starts with the machine paused.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Hands all output to the host, waiting for it unless a signal or the operator says otherwise, and tells why the
    /// machine was asked to quit, if it was.
    pub fn finish(mut self) -> Option<Ending> {
        // What the guest sent last may still be on its way through a network of ours.
        for net in &mut self.nets {
            net.receive();
        }
        self.flush();
        let (mut moved, mut backlog) = (Instant::now(), self.backlog());
        while self.ending.is_none() && backlog > 0 {
            let left = self.farewell().map(|farewell| farewell.saturating_sub(moved.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            self.wait(left, None);
            self.look();
            let before = std::mem::replace(&mut backlog, self.backlog());
            moved = if backlog < before { Instant::now() } else { moved };
        }
        self.ending.take()
    }

    fn backlog(&self) -> usize {
        self.lines.iter().map(|line| line.chardev.backlog()).sum()
    }

    /// How long a backlog of which nobody takes anything is worth waiting for; `None` is for ever.
    fn farewell(&self) -> Option<Duration> {
        let mut waiting = self.lines.iter().filter(|line| line.chardev.backlog() > 0);
        waiting.try_fold(Duration::ZERO, |longest, line| Some(longest.max(line.chardev.farewell()?)))
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// Looks at everything that the host may have for us, without waiting; true if there is any news.
    fn look(&mut self) -> bool {
        let received = self.receive();
        let signalled = self.take_signals();
        self.flush();
        self.looked = Instant::now();
        received || signalled || self.ending.is_some() || self.is_rung()
    }

    fn receive(&mut self) -> bool {
        let mut news = false;
        for index in 0..self.lines.len() {
            let (has_come, commands) = self.lines[index].receive();
            news |= has_come;
            commands.into_iter().for_each(|command| self.obey_command(index, command));
        }
        for net in &mut self.nets {
            news |= net.receive();
        }
        news
    }

    fn obey_command(&mut self, index: usize, command: Command) {
        match command {
            Command::Quit => self.end(Ending::Key),
            Command::Pause if self.held => self.lines[index].chardev.tell("[stopped by the debugger, which goes on]\n"),
            Command::Pause => {
                self.paused = !self.paused;
                let text = if self.paused { "[paused: Ctrl-A p goes on]\n" } else { "[running]\n" };
                self.lines[index].chardev.tell(text);
            }
            Command::Help => {
                self.lines[index].chardev.tell("\n");
                self.lines[index].chardev.tell(HELP);
            }
        }
    }

    fn take_signals(&mut self) -> bool {
        let Some(signals) = &mut self.signals else { return false };
        signals.clear_wake();
        if let Some(signal) = signals.ending() {
            self.ending.get_or_insert(Ending::Signal(signal));
            return true;
        }
        let stop = signals.take_stop();
        if stop {
            self.terminal.iter().for_each(RawTerminal::put_back);
            // It fails only for signals that do not exist.
            let _ = signals.stop_now();
        }
        if signals.take_go_on() || stop {
            // A terminal that has gone shows itself as the end of input.
            let _ = self.terminal.as_ref().map(RawTerminal::enter_again);
        }
        false
    }

    fn flush(&mut self) {
        if let Err(error) = lines::flush(&mut self.lines) {
            self.end(Ending::Chardev(error));
        }
    }

    /// Whether anything can ever come.
    fn input_can_come(&self) -> bool {
        self.nets.iter().any(Net::can_receive) || self.lines.iter().any(Line::can_receive)
    }

    fn has_waiting(&self) -> bool {
        self.lines.iter().any(Line::has_waiting) || self.nets.iter().any(Net::has_waiting)
    }

    fn stay_paused(&mut self) {
        while self.paused && self.ending.is_none() && !self.is_rung() {
            if self.bells.is_empty() && !self.input_can_come() {
                return self.end(Ending::PausedForEver);
            }
            self.wait(None, None);
            self.look();
        }
    }

    /// Lets the host take output until there is room for more.
    fn relieve(&mut self, index: usize) {
        self.flush();
        while self.ending.is_none() && self.lines[index].chardev.backlog() > OUTPUT_LIMIT / 2 {
            self.wait(None, None);
            self.look();
        }
    }
}

impl Door for LiveDoor {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if self.looked_at != Some(now) && self.looked.elapsed() >= LOOK_INTERVAL {
            self.looked_at = Some(now);
            self.look();
        }
        self.stay_paused();
        if self.ending.is_some() {
            return Some(HostInput::Quit);
        }
        let input = lines::next_input(&mut self.lines, room).or_else(|| nets::next_input(&mut self.nets, room));
        if input.is_none() {
            self.polled_at = Some(now);
        }
        input
    }

    fn answer(&mut self, _now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => self.read_cluster(disk, cluster),
            Question::Random { rng, length } => self.random(rng, length),
        }
    }

    /// Live input is not known beforehand, but a run that is to end does so at once: no guest goes on after a host that
    /// failed.
    fn next_due(&self) -> Option<Tick> {
        self.ending.is_some().then_some(0)
    }

    fn poll_interval(&self) -> Tick {
        POLL_INTERVAL
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        if self.has_news(now) { Some(now) } else { self.pass_idle_time(now, deadline) }
    }

    fn output(&mut self, _now: Tick, output: Output) {
        let (chardev, bytes) = match output {
            Output::Bytes { chardev, bytes } => (chardev, bytes),
            Output::Frame { netdev, frame } => {
                self.nets.get_mut(usize::from(netdev.0)).into_iter().for_each(|net| net.netdev.send(&frame));
                return;
            }
        };
        let index = usize::from(chardev.0);
        let Some(line) = self.lines.get_mut(index) else { return };
        line.chardev.write(&bytes);
        if line.chardev.backlog() >= OUTPUT_LIMIT {
            self.relieve(index);
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}

impl Drop for LiveDoor {
    fn drop(&mut self) {
        // After a panic: what the guest said last is often the clue.
        self.flush();
    }
}

#[cfg(test)]
mod tests;
