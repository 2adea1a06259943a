//! Who stands at the machine's door in a live run: the host's terminal, files and signals.
//!
//! Everything here is about *when* the machine sees what the host has: how long it sleeps, how often it looks. What it
//! sees is in the inputs that leave here, and only there.

use crate::blockdev::Image;
use crate::chardev::{Chardev, ChardevError, Command, HELP, Received};
use crate::netdev::Netdev;
use crate::rng::Rng;
use crate::signals::Signals;
use crate::terminal::RawTerminal;
use reprise_core::backend::{ChardevId, DiskId, NetdevId};
use reprise_core::clock::Tick;
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::output::Output;
use reprise_core::request::Question;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Ticks between two polls: few enough that typing feels immediate, many enough that polling costs nothing.
const POLL_INTERVAL: Tick = 200_000;

/// The host is looked at no more often than this: a look is a few system calls.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Bytes from the host that wait for a guest that does not read; more stay on the host.
const INPUT_LIMIT: usize = 64 << 10;

/// Frames from the host that wait for a guest that does not take them; more stay on the host.
const FRAMES_LIMIT: usize = 256;

/// Bytes from the guest that wait for a host that does not read; then the machine waits.
const OUTPUT_LIMIT: usize = 64 << 10;

/// Oversleep that later sleeps make up for; more is forgotten, as after a stop.
const OVERSLEPT_LIMIT: Duration = Duration::from_millis(20);

/// How guest time relates to the host's while every vCPU is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Idle time passes as on a clock.
    Real,
    /// Idle time is skipped.
    Fast,
}

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
    Rng(io::Error),
    /// The machine is paused, and no key can come that would let it run on.
    PausedForEver,
}

/// A character device and what it has that the guest has not taken.
struct Line {
    chardev: Box<dyn Chardev>,
    /// News of the other end that the guest has not heard.
    connected: Option<bool>,
    waiting: VecDeque<u8>,
}

/// A network and the frames that the guest has not taken.
struct Net {
    netdev: Box<dyn Netdev>,
    waiting: VecDeque<Vec<u8>>,
}

/// What serves the machine, each kind in the order of its numbers.
#[derive(Default)]
pub struct Backends {
    /// By [`ChardevId`].
    pub chardevs: Vec<Box<dyn Chardev>>,
    /// By [`DiskId`](reprise_core::backend::DiskId).
    pub disks: Vec<Box<dyn Image>>,
    /// By [`NetdevId`].
    pub netdevs: Vec<Box<dyn Netdev>>,
    /// By [`RngId`](reprise_core::backend::RngId).
    pub rngs: Vec<Box<dyn Rng>>,
}

/// The door of a live run.
pub struct LiveDoor {
    pace: Pace,
    /// By [`ChardevId`].
    lines: Vec<Line>,
    /// By [`NetdevId`].
    nets: Vec<Net>,
    disks: Vec<Box<dyn Image>>,
    rngs: Vec<Box<dyn Rng>>,
    signals: Option<Signals>,
    /// Put back when the door is dropped.
    terminal: Option<RawTerminal>,
    paused: bool,
    ending: Option<Ending>,
    looked: Instant,
    /// The tick at which the machine took all it had room for.
    polled_at: Option<Tick>,
    overslept: Duration,
}

impl LiveDoor {
    /// A door with these back ends.
    pub fn new(pace: Pace, backends: Backends) -> Self {
        let line = |chardev| Line { chardev, connected: None, waiting: VecDeque::new() };
        let net = |netdev| Net { netdev, waiting: VecDeque::new() };
        Self {
            pace,
            lines: backends.chardevs.into_iter().map(line).collect(),
            nets: backends.netdevs.into_iter().map(net).collect(),
            disks: backends.disks,
            rngs: backends.rngs,
            signals: None,
            terminal: None,
            paused: false,
            ending: None,
            looked: Instant::now(),
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
        self.flush();
        while self.ending.is_none() && self.backlog() > 0 {
            self.wait(None);
            self.look();
        }
        self.ending.take()
    }

    fn backlog(&self) -> usize {
        self.lines.iter().map(|line| line.chardev.backlog()).sum()
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
        received || signalled || self.ending.is_some()
    }

    fn receive(&mut self) -> bool {
        let mut news = false;
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            if line.chardev.source().is_none() || line.waiting.len() >= INPUT_LIMIT {
                continue;
            }
            let received = line.chardev.read();
            news |= received != Received::default();
            line.connected = received.connected.or(line.connected);
            line.waiting.extend(received.bytes);
            received.commands.into_iter().for_each(|command| self.obey_command(index, command));
        }
        for net in &mut self.nets {
            while net.waiting.len() < FRAMES_LIMIT
                && let Some(frame) = net.netdev.receive()
            {
                net.waiting.push_back(frame);
                news = true;
            }
        }
        news
    }

    fn obey_command(&mut self, index: usize, command: Command) {
        match command {
            Command::Quit => self.end(Ending::Key),
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
        for index in 0..self.lines.len() {
            if let Err(error) = self.lines[index].chardev.flush() {
                self.end(Ending::Chardev(error));
            }
        }
    }

    /// Whether any character device can ever bring something.
    fn input_can_come(&self) -> bool {
        let from_network =
            self.nets.iter().any(|net| !net.netdev.sources().is_empty() || net.netdev.timeout().is_some());
        from_network || self.lines.iter().any(|line| line.chardev.source().is_some())
    }

    /// Waits until there is something to look at, for at most `timeout`.
    fn wait(&self, timeout: Option<Duration>) {
        let mut fds = Vec::new();
        if let Some(signals) = &self.signals {
            fds.push(PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN));
        }
        for line in &self.lines {
            if let Some(source) = line.chardev.source().filter(|_| line.waiting.len() < INPUT_LIMIT) {
                fds.push(PollFd::from_borrowed_fd(source, PollFlags::IN));
            }
            if let Some(outlet) = line.chardev.outlet().filter(|_| line.chardev.backlog() > 0) {
                fds.push(PollFd::from_borrowed_fd(outlet, PollFlags::OUT));
            }
        }
        for net in self.nets.iter().filter(|net| net.waiting.len() < FRAMES_LIMIT) {
            fds.extend(net.netdev.sources());
        }
        let of_network = self.nets.iter().filter_map(|net| net.netdev.timeout()).min();
        let timeout = timeout.into_iter().chain(of_network).min();
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
        // An error is a signal, which the caller looks for anyhow.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn read_cluster(&mut self, disk: DiskId, cluster: u64) -> HostInput {
        let image = &mut self.disks[usize::from(disk.0)];
        let offset = cluster * CLUSTER_SIZE;
        let mut data = vec![0; CLUSTER_SIZE.min(image.size() - offset) as usize];
        match image.read(offset, &mut data) {
            Ok(()) => HostInput::Cluster { disk, cluster, data },
            Err(error) => {
                log::error!("disk {}: cannot read at {offset:#x}: {error}", disk.0);
                HostInput::ClusterFailed { disk, cluster }
            }
        }
    }

    fn stay_paused(&mut self) {
        while self.paused && self.ending.is_none() {
            if !self.input_can_come() {
                return self.end(Ending::PausedForEver);
            }
            self.wait(None);
            self.look();
        }
    }

    /// Lets the host take output until there is room for more.
    fn relieve(&mut self, index: usize) {
        self.flush();
        while self.ending.is_none() && self.lines[index].chardev.backlog() > OUTPUT_LIMIT / 2 {
            self.wait(None);
            self.look();
        }
    }

    fn next_input(&mut self, room: &dyn Room) -> Option<HostInput> {
        for (index, line) in self.lines.iter_mut().enumerate() {
            if let Some(connected) = line.connected.take() {
                return Some(HostInput::Connected { chardev: ChardevId(index as u16), connected });
            }
        }
        for (index, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| !line.waiting.is_empty()) {
            let chardev = ChardevId(index as u16);
            let count = room.chardev(chardev).min(line.waiting.len());
            if count > 0 {
                return Some(HostInput::Chardev { chardev, bytes: line.waiting.drain(..count).collect() });
            }
        }
        for (index, net) in self.nets.iter_mut().enumerate().filter(|(_, net)| !net.waiting.is_empty()) {
            let netdev = NetdevId(index as u16);
            if room.netdev(netdev) {
                return net.waiting.pop_front().map(|frame| HostInput::Frame { netdev, frame });
            }
        }
        None
    }

    /// Whether the machine would take something if it polled now.
    fn has_news(&self, now: Tick) -> bool {
        self.ending.is_some() || self.paused || (self.polled_at != Some(now) && self.has_waiting())
    }

    fn has_waiting(&self) -> bool {
        let in_line = |line: &Line| line.connected.is_some() || !line.waiting.is_empty();
        self.lines.iter().any(in_line) || self.nets.iter().any(|net| !net.waiting.is_empty())
    }

    /// How idle time passes now.
    fn current_pace(&self) -> Pace {
        if self.nets.iter().any(|net| net.netdev.expects_answer()) { Pace::Real } else { self.pace }
    }

    /// Sleeps until `deadline` as the pace has it, or until there is news; `None` if neither will ever come.
    fn sleep(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        let wanted = deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
        let debt = std::mem::take(&mut self.overslept);
        let start = Instant::now();
        loop {
            if self.look() {
                return Some(self.woken(now, deadline, debt + start.elapsed()));
            }
            let slept = debt + start.elapsed();
            if let Some(over) = wanted.and_then(|wanted| slept.checked_sub(wanted)) {
                self.overslept = over.min(OVERSLEPT_LIMIT);
                return deadline;
            }
            if deadline.is_some() && self.current_pace() == Pace::Fast {
                // The answer that was waited for has come to nothing.
                return deadline;
            }
            if wanted.is_none() && !self.input_can_come() {
                return None;
            }
            if deadline.is_some() && self.current_pace() == Pace::Fast {
                // The answer that was expected did not come.
                return deadline;
            }
            self.wait(wanted.map(|wanted| wanted - slept));
        }
    }

    /// The tick at which news found the machine asleep since `now`.
    fn woken(&mut self, now: Tick, deadline: Option<Tick>, slept: Duration) -> Tick {
        match self.current_pace() {
            Pace::Fast => now,
            Pace::Real => {
                let slept = u64::try_from(slept.as_nanos()).unwrap_or(u64::MAX);
                now.saturating_add(slept).min(deadline.unwrap_or(Tick::MAX))
            }
        }
    }
}

impl Door for LiveDoor {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        if self.looked.elapsed() >= LOOK_INTERVAL {
            self.look();
        }
        self.stay_paused();
        if self.ending.is_some() {
            return Some(HostInput::Quit);
        }
        let input = self.next_input(room);
        if input.is_none() {
            self.polled_at = Some(now);
        }
        input
    }

    fn answer(&mut self, _now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => self.read_cluster(disk, cluster),
            Question::Random { rng, length } => {
                let mut bytes = vec![0; length as usize];
                if let Err(error) = self.rngs[usize::from(rng.0)].fill(&mut bytes) {
                    self.end(Ending::Rng(error));
                }
                HostInput::Random { rng, bytes }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        None
    }

    fn poll_interval(&self) -> Tick {
        POLL_INTERVAL
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        if self.has_news(now) {
            return Some(now);
        }
        match (self.current_pace(), deadline) {
            (Pace::Fast, Some(deadline)) => Some(deadline),
            (Pace::Fast | Pace::Real, deadline) => self.sleep(now, deadline),
        }
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
}

impl Drop for LiveDoor {
    fn drop(&mut self) {
        // After a panic: what the guest said last is often the clue.
        self.flush();
    }
}

#[cfg(test)]
mod tests;
