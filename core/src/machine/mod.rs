//! The machine: a board and vCPUs, and the run loop that drives them on one virtual clock.

mod fingerprint;
mod inspect;
mod probes;
mod snapshot;
mod stored;
#[cfg(test)]
mod tests;

pub use fingerprint::{Digest, Fingerprint};
pub use inspect::View;
pub use probes::Turn;
pub use snapshot::{MachineState, Snapshot};

use crate::board::Board;
use crate::clock::Tick;
use crate::cpu::{Activity, CpuState, Flags, Model};
use crate::device::DeviceInput;
use crate::door::{Door, HostInput};
use crate::edit::Edit;
use crate::engine::{Engine, Exit, HostCode};
use crate::output::PowerEvent;
use fingerprint::RamHash;
use probes::Probing;

/// Most vCPUs that a machine can have: 8-bit APIC IDs, of which 255 is the broadcast.
pub const MAX_CPUS: u32 = 255;

/// Ticks that a vCPU of several runs before the next one has its turn, unless it goes idle or spins.
pub const QUANTUM: Tick = 20_000;

/// What the machine holds when it starts, and again after each reset.
#[derive(Clone, Debug)]
pub struct BootImage {
    /// Physical addresses and what is written there.
    pub memory: Vec<(u64, Vec<u8>)>,
    /// The state in which the first vCPU starts; the others wait for a start-up IPI.
    pub cpu: CpuState,
}

/// Why a run came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest switched the machine off.
    Off,
    /// The guest reset the machine, and resets end the run.
    Reset,
    /// A triple fault, and resets end the run.
    TripleFault,
    /// The guest's kernel reported its panic.
    Panicked,
    /// The guest ended the run with this status.
    DebugExit(u8),
    /// The operator ended the run.
    Quit,
    /// Every vCPU is idle, no timer is armed and no input can come.
    Dead,
    /// The tick asked for is reached.
    Until,
    /// A probe ended the run: [`Machine::take_hits`] says why.
    Probe,
}

/// A whole machine.
pub struct Machine {
    /// RAM, devices and local APICs.
    pub board: Board,
    /// The vCPUs.
    pub cpus: Vec<CpuState>,
    model: &'static Model,
    engine: Box<dyn Engine>,
    boot: BootImage,
    no_reboot: bool,
    /// Whose turn it is.
    turn: usize,
    /// What is left of the turn.
    turn_left: Tick,
    /// Instructions retired by all vCPUs since power-on.
    icount: u64,
    ram_hash: RamHash,
    /// Where the door was last polled. At one tick it is polled once, at the first turn of the loop: what is recorded
    /// there enters a replay at the same place.
    polled_at: Option<Tick>,
    probing: Probing,
}

impl Machine {
    /// A machine of `board` with a vCPU for each of its local APICs, at power-on; nothing is booted before
    /// [`set_boot`](Self::set_boot).
    pub fn new(board: Board, model: &'static Model, engine: Box<dyn Engine>) -> Self {
        let cpus: Vec<_> = (0..board.apics.len() as u32).map(|index| CpuState::new(index, model)).collect();
        let boot = BootImage { memory: Vec::new(), cpu: cpus[0].clone() };
        let ram_hash = RamHash::new(board.ram.len());
        Self {
            board,
            cpus,
            model,
            engine,
            boot,
            no_reboot: false,
            turn: 0,
            turn_left: QUANTUM,
            icount: 0,
            ram_hash,
            polled_at: None,
            probing: Probing::default(),
        }
    }

    /// Sets what the machine starts with, and starts it: everything is as after power-on.
    pub fn set_boot(&mut self, boot: BootImage) {
        self.boot = boot;
        self.reset();
    }

    /// Whether a reset, or a triple fault, ends the run instead of starting the machine again.
    pub fn set_no_reboot(&mut self, no_reboot: bool) {
        self.no_reboot = no_reboot;
    }

    /// Instructions retired by all vCPUs since power-on.
    pub fn icount(&self) -> u64 {
        self.icount
    }

    /// The current tick.
    pub fn now(&self) -> Tick {
        self.board.now
    }

    /// The vCPU whose turn it is, and the ticks that are left of the turn.
    pub fn turn(&self) -> (usize, Tick) {
        (self.turn, self.turn_left)
    }

    /// The CPU model.
    pub fn model(&self) -> &'static Model {
        self.model
    }

    /// Drops and shrinks the engine's caches at random moments drawn from `seed`.
    pub fn perturb_caches(&mut self, seed: u64) {
        self.engine.perturb_caches(seed);
    }

    /// Makes the engine forget all that it remembers; no result may change.
    pub fn drop_caches(&mut self) {
        self.engine.flush();
    }

    /// What the engine has counted of its own work, for people.
    pub fn engine_statistics(&self) -> Option<String> {
        self.engine.statistics()
    }

    /// What the engine makes of the code that `cpu`, which is or was one of the vCPUs, executes next, at `offset` in RAM.
    pub fn describe_code(&self, cpu: &CpuState, offset: u64) -> Vec<HostCode> {
        self.engine.describe(cpu, &self.board, offset)
    }

    /// Runs until the machine ends or the tick `until` is reached.
    pub fn run(&mut self, door: &mut dyn Door, until: Tick) -> End {
        let mut next_poll = self.board.now;
        if self.polled_at == Some(next_poll) {
            next_poll = next_poll.saturating_add(door.poll_interval());
        }
        let mut turned_at = None;
        self.forget_probing();
        loop {
            self.board.fire_due_timers();
            let now = self.board.now;
            self.board.answer_requests(&mut |question| door.answer(now, question));
            // The loop may turn again at a tick. What a door has only then (its host fails) waits for the next one: a
            // replay would deliver it at the first turn, before what this one did since.
            let is_first_turn = turned_at.replace(now) != Some(now);
            let until = if self.is_probed() { now } else { until };
            let mut edits = Vec::new();
            if is_first_turn && self.is_time_to_poll(door, next_poll.min(until)) {
                self.polled_at = Some(now);
                if self.take_inputs(door, &mut edits) {
                    self.emit(door);
                    return End::Quit;
                }
                next_poll = now.saturating_add(door.poll_interval());
            }
            // Timers and inputs are first: they may ask for a change of the power state, too.
            let end = self.take_power();
            self.emit(door);
            if let Some(end) = end {
                return end;
            }
            for edit in edits {
                self.edit(&edit).unwrap_or_else(|error| panic!("the door brought a change that cannot be: {error}"));
            }
            self.give_digest(door);
            if self.is_probed() {
                self.forget_choice();
                return End::Probe;
            }
            if self.board.now >= until {
                return End::Until;
            }
            if !self.choose() {
                let deadline = self.next_event(door).unwrap_or(Tick::MAX).min(until);
                let Some(woken) = door.idle(now, (deadline != Tick::MAX).then_some(deadline)) else {
                    return End::Dead;
                };
                // Idle time passes: what wakes the machine comes later than what put it to sleep.
                self.skip_to(door, woken.clamp(now + 1, until));
                next_poll = self.board.now;
                continue;
            }
            let digest = door.next_digest().unwrap_or(Tick::MAX);
            let horizon = self.next_event(door).unwrap_or(Tick::MAX).min(until).min(next_poll).min(digest);
            self.run_turn(horizon);
        }
    }

    /// Gives the door the digest that is due.
    fn give_digest(&mut self, door: &mut dyn Door) {
        if door.next_digest().is_some_and(|tick| tick <= self.board.now) {
            let digest = self.digest();
            door.digest(self.board.now, digest, self);
        }
    }

    /// Moves the clock of an idle machine to `tick`. No other state changes on the way there, so the digests that are due
    /// before it are as if the run had stopped for them.
    fn skip_to(&mut self, door: &mut dyn Door, tick: Tick) {
        while let Some(due) = door.next_digest().filter(|&due| due > self.board.now && due < tick) {
            self.board.now = due;
            self.give_digest(door);
        }
        self.board.now = tick;
    }

    /// Runs the vCPU whose turn it is, to `horizon` at most.
    fn run_turn(&mut self, horizon: Tick) {
        let start = self.board.now;
        let budget = self.turn_left.min(horizon.saturating_sub(start)).min(self.probing.limit(self.turn));
        if budget == 0 {
            return;
        }
        let alone = self.cpus.len() == 1;
        let ran = self.engine.run(&mut self.cpus[self.turn], &mut self.board, budget);
        assert!(ran.retired <= budget, "the engine retired {} of {budget} instructions", ran.retired);
        self.note_ran(start, &ran);
        self.icount += ran.retired;
        self.turn_left -= ran.retired;
        if self.turn_left == 0 || (!alone && matches!(ran.exit, Exit::Idle | Exit::Pause)) {
            self.pass_turn();
        }
    }

    /// Lets vCPUs take their start signals, and finds the one that runs; false if none can.
    fn choose(&mut self) -> bool {
        let started = self.take_start_signals();
        self.note_choice(started);
        self.pick()
    }

    fn pass_turn(&mut self) {
        self.turn = (self.turn + 1) % self.cpus.len();
        self.turn_left = QUANTUM;
    }

    /// Passes the turn on until a vCPU has it that can run; false if none can.
    fn pick(&mut self) -> bool {
        for _ in 0..self.cpus.len() {
            if self.can_run(self.turn) {
                return true;
            }
            self.pass_turn();
        }
        false
    }

    fn can_run(&self, index: usize) -> bool {
        let (cpu, apic) = (&self.cpus[index], &self.board.apics[index]);
        match cpu.activity {
            Activity::Running => true,
            Activity::Halted => {
                (apic.has_maskable() && cpu.flags.has(Flags::IF)) || (apic.state.nmi && !cpu.nmi_blocked)
            }
            Activity::WaitForSipi | Activity::Shutdown => false,
        }
    }

    /// INIT and start-up IPIs (SDM vol. 3, 9.4.3 MP Initialization Protocol Algorithm for MP Systems); whether there were
    /// any.
    fn take_start_signals(&mut self) -> bool {
        let mut taken = false;
        for (cpu, apic) in self.cpus.iter_mut().zip(&mut self.board.apics) {
            taken |= apic.state.init || apic.state.start_up.is_some();
            if std::mem::take(&mut apic.state.init) {
                log::debug!(target: "cpu_reset", "cpu {}: INIT at tick {}", cpu.index, self.board.now);
                cpu.init(self.model);
            }
            if let Some(vector) = apic.state.start_up.take()
                && cpu.activity == Activity::WaitForSipi
            {
                cpu.start_up(vector);
            }
        }
        taken
    }

    /// Notes what was met up to now; whether a probe ends the run here.
    fn is_probed(&mut self) -> bool {
        if self.board.lookout.has_met() {
            self.board.lookout.settle(self.board.now);
        }
        self.board.lookout.has_hits()
    }

    fn next_event(&self, door: &dyn Door) -> Option<Tick> {
        // What is due already was delivered, or came too late for this tick.
        let next_due = door.next_due().map(|due| due.max(self.board.now.saturating_add(1)));
        [self.board.next_event(), next_due].into_iter().flatten().min()
    }

    /// Whether inputs are due now, or it is time to look for them.
    fn is_time_to_poll(&self, door: &dyn Door, next_poll: Tick) -> bool {
        let now = self.board.now;
        door.next_due().is_some_and(|due| due <= now) || (now >= next_poll && self.polled_at != Some(now))
    }

    /// Delivers what is due at the door, but for a debugger's changes, which go to `edits`; true if the operator quits.
    fn take_inputs(&mut self, door: &mut dyn Door, edits: &mut Vec<Edit>) -> bool {
        loop {
            let Some(input) = door.poll(self.board.now, &self.board) else { return false };
            match input {
                HostInput::Chardev { chardev, bytes } => self.board.chardev_input(chardev, &bytes),
                HostInput::Connected { chardev, connected } => self.board.chardev_connected(chardev, connected),
                HostInput::Frame { netdev, frame } => self.board.frame_input(netdev, &frame),
                HostInput::Key(key) => self.board.person_input(DeviceInput::Key(key)),
                HostInput::Pointer(pointer) => self.board.person_input(DeviceInput::Pointer(pointer)),
                HostInput::PowerButton => self.board.person_input(DeviceInput::PowerButton),
                HostInput::Reset => self.board.power(PowerEvent::Reset),
                HostInput::Quit => return true,
                HostInput::Edit(edit) => edits.push(edit),
                HostInput::Cluster { .. } | HostInput::ClusterFailed { .. } | HostInput::Random { .. } => {
                    panic!("the door brought an answer that nobody waits for: {input:?}")
                }
            }
        }
    }

    fn emit(&mut self, door: &mut dyn Door) {
        for output in self.board.outputs.drain(..) {
            door.output(self.board.now, output);
        }
    }

    fn take_power(&mut self) -> Option<End> {
        match self.board.take_power()? {
            PowerEvent::Off => Some(End::Off),
            PowerEvent::Panicked => Some(End::Panicked),
            PowerEvent::DebugExit(status) => Some(End::DebugExit(status)),
            PowerEvent::Reset if self.no_reboot => Some(End::Reset),
            PowerEvent::TripleFault if self.no_reboot => Some(End::TripleFault),
            PowerEvent::Reset | PowerEvent::TripleFault => {
                self.reset();
                None
            }
        }
    }

    /// Puts everything but the clock into its state after power-on, and the boot image into memory; the first local APIC
    /// is as firmware leaves it.
    fn reset(&mut self) {
        log::debug!(target: "cpu_reset", "the machine, at tick {}", self.board.now);
        self.board.reset_devices();
        for (index, cpu) in self.cpus.iter_mut().enumerate() {
            *cpu = CpuState::new(index as u32, self.model);
            cpu.msrs.agree_on_memory_types(&self.boot.cpu.msrs);
        }
        self.cpus[0] = self.boot.cpu.clone();
        self.board.set_virtual_wire(0);
        for (address, data) in &self.boot.memory {
            self.board.dma_write(*address, data);
        }
        (self.turn, self.turn_left) = (0, QUANTUM);
        self.engine.flush();
    }
}
