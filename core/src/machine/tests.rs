use super::snapshot::Parts;
use super::*;
use crate::cpu::Register;
use crate::door::{Room, Script};
use crate::interp::Interpreter;
use crate::output::Output;
use crate::request::Question;
use crate::scheduler::{Owner, Timer};

/// A machine whose first vCPU jumps to itself for ever.
fn spinning(cpus: usize) -> Machine {
    running(cpus, &[0xeb, 0xfe])
}

/// A machine whose first vCPU runs `code`.
fn running(cpus: usize, code: &[u8]) -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(Board::new(1 << 20, cpus).unwrap(), model, Box::new(Interpreter::new(model)));
    let mut cpu = CpuState::new(0, model);
    cpu.segs[crate::cpu::seg::CS] = crate::cpu::Segment::real_mode_code(0x100);
    cpu.regs.set_rip(0);
    machine.set_boot(BootImage { memory: vec![(0x1000, code.to_vec())], cpu });
    machine
}

#[test]
fn a_reset_through_the_door_is_taken_at_its_tick() {
    let mut machine = spinning(1);
    machine.set_no_reboot(true);
    let mut door = Script::new(vec![(777, HostInput::Reset)]);
    assert_eq!(machine.run(&mut door, Tick::MAX), End::Reset);
    assert_eq!((machine.now(), machine.icount()), (777, 777));
}

fn write(address: u64, bytes: &[u8]) -> Edit {
    Edit::Memory { address, bytes: bytes.to_vec() }
}

#[test]
fn a_change_is_the_last_thing_at_its_tick_a_reset_included() {
    let mut machine = spinning(1);
    let change = |tick, register, value| (tick, HostInput::Edit(Edit::Register { cpu: 0, register, value }));
    // In the order in which they come, the reset would undo the changes.
    let inputs = vec![change(500, Register::General(3), 7), (500, HostInput::Reset), change(501, Register::Rip, 0x10)];
    let mut door = Script::new(inputs);
    assert_eq!(machine.run(&mut door, 500), End::Until);
    assert_eq!((machine.cpus[0].regs.get(3), machine.cpus[0].regs.rip()), (7, 0));
    assert_eq!(machine.run(&mut door, 501), End::Until);
    assert_eq!((machine.cpus[0].regs.get(3), machine.cpus[0].regs.rip()), (7, 0x10));
}

/// Changes that a debugger makes where the machine stands are those that a door brings at that tick.
#[test]
fn a_change_by_hand_is_a_change_by_the_door() {
    // The second change is to the code that runs: INC AX takes the place of what follows the jump.
    let edits = [Edit::Register { cpu: 0, register: Register::Rip, value: 2 }, write(0x1002, &[0x40, 0xeb, 0xfd])];
    let mut by_door = spinning(1);
    let inputs = edits.iter().map(|edit| (100, HostInput::Edit(edit.clone()))).collect();
    by_door.run(&mut Script::new(inputs), 1000);
    let mut by_hand = spinning(1);
    by_hand.run(&mut Script::default(), 100);
    edits.iter().for_each(|edit| by_hand.edit(edit).unwrap());
    by_hand.run(&mut Script::default(), 1000);
    assert_eq!(by_hand.cpus[0].regs.get(0), 450);
    assert_eq!(by_hand.save(), by_door.save());
    assert_eq!(by_hand.fingerprint(), by_door.fingerprint());
}

#[test]
fn a_change_that_cannot_be_changes_nothing() {
    let mut machine = spinning(1);
    machine.run(&mut Script::default(), 100);
    let before = machine.save();
    let across_the_end = write((1 << 20) - 2, &[1, 2, 3]);
    let no_cpu = Edit::Register { cpu: 1, register: Register::Rip, value: 0 };
    assert!(machine.edit(&across_the_end).is_err() && machine.edit(&no_cpu).is_err());
    assert_eq!(machine.save(), before);
    machine.edit(&write(0x2ffe, &[1, 2, 3])).unwrap();
    let mut bytes = [0; 5];
    machine.board.dma_read(0x2ffd, &mut bytes);
    assert_eq!(bytes, [0, 1, 2, 3, 0]);
}

#[test]
fn turns_go_round() {
    let mut machine = spinning(2);
    machine.run(&mut Script::default(), QUANTUM / 2);
    assert_eq!((machine.turn, machine.turn_left), (0, QUANTUM / 2));
    machine.run(&mut Script::default(), QUANTUM);
    assert_eq!((machine.turn, machine.turn_left), (1, QUANTUM));
}

#[test]
fn state_that_cannot_be_is_refused() {
    let mut machine = spinning(2);
    machine.run(&mut Script::default(), 100);
    let good = machine.save();
    let damages: [fn(&mut Parts); 5] = [
        |parts| parts.turn = 2,
        |parts| parts.turn_left = 0,
        |parts| parts.turn_left = QUANTUM + 1,
        |parts| parts.cpus[1].index = 2,
        |parts| parts.cpus.truncate(1),
    ];
    for (case, damage) in damages.into_iter().enumerate() {
        let mut state = good.clone();
        damage(&mut state.parts);
        assert!(machine.load(&state).is_err(), "case {case}");
        assert_eq!(machine.save(), good, "case {case}");
    }
    machine.load(&good).unwrap();
}

#[test]
fn a_digest_names_the_one_part_that_differs() {
    let mut machine = spinning(2);
    machine.board.add_disk(crate::disk::DiskGeometry { size: 1 << 20, read_only: false });
    let before = machine.digest();
    type Change = (fn(&mut Machine), &'static str);
    let changes: [Change; 5] = [
        (|machine| machine.board.dma_write(0x5003, &[1]), "the page of RAM at 0x5000"),
        (|machine| machine.cpus[1].regs.set(3, 7), "vCPU 1"),
        (|machine| machine.board.apics[0].state.nmi = true, "the local APIC of vCPU 0"),
        (|machine| machine.turn_left -= 1, "the clock and the turns of the vCPUs"),
        (
            |machine| assert!(machine.board.disk_mut(crate::backend::DiskId(0)).write(512, &[0; 512])),
            "what was written to disk 0",
        ),
    ];
    assert_eq!(machine.blame(before, before), None);
    for (change, name) in changes {
        let mut machine = spinning(2);
        machine.board.add_disk(crate::disk::DiskGeometry { size: 1 << 20, read_only: false });
        change(&mut machine);
        let after = machine.digest();
        assert_eq!(machine.blame(before, after).as_deref(), Some(name));
        assert_eq!(machine.blame(after, before).as_deref(), Some(name));
    }
}

#[test]
fn hashes_do_not_depend_on_when_others_were_taken() {
    let mut watched = spinning(1);
    for step in 1..40u8 {
        watched.board.dma_write(u64::from(step) * 1000, &[step % 3; 100]);
        watched.digest();
    }
    let mut fresh = spinning(1);
    fresh.load(&watched.save()).unwrap();
    assert_eq!((fresh.digest(), fresh.fingerprint()), (watched.digest(), watched.fingerprint()));
    watched.board.ram.clear();
    fresh.board.ram.clear();
    assert_eq!(watched.digest(), fresh.digest());
}

/// A script that wants digests at certain ticks.
struct Digested {
    script: Script,
    /// Latest first.
    wanted: Vec<Tick>,
    taken: Vec<(Tick, Digest)>,
}

impl Door for Digested {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        self.script.poll(now, room)
    }
    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        self.script.answer(now, question)
    }
    fn next_due(&self) -> Option<Tick> {
        self.script.next_due()
    }
    fn poll_interval(&self) -> Tick {
        self.script.poll_interval()
    }
    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        self.script.idle(now, deadline)
    }
    fn output(&mut self, now: Tick, output: Output) {
        self.script.output(now, output);
    }
    fn next_digest(&self) -> Option<Tick> {
        self.wanted.last().copied()
    }
    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        assert_eq!((self.wanted.pop(), machine.now()), (Some(tick), tick));
        self.taken.push((tick, digest));
    }
}

/// Digests on the way are those of runs that end there: while a vCPU runs, at a reset, and while all are idle.
#[test]
fn digests_on_the_way_leave_no_trace() {
    const COUNT_TEN_THEN_HALT: [u8; 7] = [0xb9, 0x0a, 0x00, 0xe2, 0xfe, 0xf4, 0xf4];
    let inputs = [400, 500].map(|tick| (tick, HostInput::Reset)).to_vec();
    let ticks = [3, 11, 12, 13, 200, 400, 401, 407, 450, 700];
    let (mut whole, mut door) = (
        running(2, &COUNT_TEN_THEN_HALT),
        Digested {
            script: Script::new(inputs.clone()),
            wanted: ticks.iter().rev().copied().collect(),
            taken: Vec::new(),
        },
    );
    assert_eq!(whole.run(&mut door, 1000), End::Until);
    for (tick, digest) in &door.taken {
        let mut cut = running(2, &COUNT_TEN_THEN_HALT);
        assert_eq!(cut.run(&mut Script::new(inputs.clone()), *tick), End::Until);
        assert_eq!(cut.digest(), *digest, "at tick {tick}");
    }
    assert_eq!(door.taken.len(), ticks.len());
    let mut plain = running(2, &COUNT_TEN_THEN_HALT);
    plain.run(&mut Script::new(inputs), 1000);
    assert_eq!(plain.digest(), whole.digest());
}

#[test]
fn a_machine_that_nothing_can_wake_is_dead_unless_it_has_an_end() {
    let mut machine = running(1, &[0xf4]);
    assert_eq!(machine.run(&mut Script::default(), 5000), End::Until);
    assert_eq!(machine.now(), 5000);
    assert_eq!(machine.run(&mut Script::default(), Tick::MAX), End::Dead);
    assert_eq!(machine.now(), 5000);
}

/// A door whose host fails while it takes a digest.
#[derive(Default)]
struct Failing {
    failed: bool,
    polls: Vec<Tick>,
}

impl Door for Failing {
    fn poll(&mut self, now: Tick, _: &dyn Room) -> Option<HostInput> {
        self.polls.push(now);
        self.failed.then_some(HostInput::Quit)
    }
    fn answer(&mut self, _: Tick, question: &Question) -> HostInput {
        panic!("nobody asks {question:?}")
    }
    fn next_due(&self) -> Option<Tick> {
        self.failed.then_some(0)
    }
    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }
    fn idle(&mut self, _: Tick, deadline: Option<Tick>) -> Option<Tick> {
        deadline
    }
    fn output(&mut self, _: Tick, _: Output) {}
    fn next_digest(&self) -> Option<Tick> {
        (!self.failed).then_some(50)
    }
    fn digest(&mut self, _: Tick, _: Digest, _: &Machine) {
        self.failed = true;
    }
}

/// A recorded input enters a replay at the first turn of the loop at its tick: it must have been taken there.
#[test]
fn what_comes_after_the_poll_of_a_tick_waits_for_the_next_one() {
    let (mut machine, mut door) = (spinning(2), Failing::default());
    assert_eq!(machine.run(&mut door, 1000), End::Quit);
    assert_eq!((machine.now(), door.polls), (51, vec![0, 51]));
}

/// REP STOSB where its segment ends, over itself: what is left is NOP and STOSB, wherever a run is cut.
#[test]
fn a_string_instruction_over_itself_does_not_depend_on_cuts() {
    let start = || {
        let mut machine = running(1, &[]);
        let mut cpu = machine.cpus[0].clone();
        cpu.segs[crate::cpu::seg::CS] = crate::cpu::Segment::real_mode_code(0);
        cpu.regs.set_rip(0xf000);
        [(0, 0x90), (1, 10), (7, 0xefff)].into_iter().for_each(|(register, value)| cpu.regs.set(register, value));
        machine.set_boot(BootImage { memory: vec![(0xf000, vec![0xf3, 0xaa, 0xeb, 0xfe])], cpu });
        machine
    };
    let (mut whole, mut cut) = (start(), start());
    whole.run(&mut Script::default(), 20);
    (1..=20).for_each(|tick| assert_eq!(cut.run(&mut Script::default(), tick), End::Until));
    assert_eq!((whole.save(), whole.cpus[0].regs.get(1)), (cut.save(), 8));
}

/// A replay has both from its door, and makes the change last.
#[test]
fn what_comes_after_a_change_waits_for_the_next_tick() {
    let (mut machine, mut door) = (spinning(1), Failing::default());
    machine.edit(&write(0x5000, &[1])).unwrap();
    machine.run(&mut door, 0);
    assert_eq!(door.polls, []);
    machine.run(&mut door, 1);
    assert_eq!(door.polls, [1]);
}

#[test]
fn states_that_no_machine_comes_to_are_refused() {
    let mut machine = spinning(1);
    machine.run(&mut Script::default(), 100);
    let whole = machine.save();
    let mut many = whole.clone();
    many.parts.board.timers = vec![(200, Timer { owner: Owner::LocalApic(0), slot: 0 }); 1 << 20];
    let mut ahead = whole.clone();
    ahead.parts.icount = 101;
    for state in [many, ahead] {
        assert!(machine.load(&state).is_err());
        assert_eq!(machine.save(), whole);
    }
    machine.load(&whole).unwrap();
}
