use super::*;
use crate::board::{Board, DeviceId, Region};
use crate::clock::Tick;
use crate::cpu::{Activity, CpuState, Model, Segment, reg, seg};
use crate::device::{Context, Device, DeviceInput, Width};
use crate::door::Script;
use crate::interp::Interpreter;
use crate::machine::{BootImage, End, QUANTUM};
use crate::probe::{Accessor, Breakpoint, Condition, Watch};
use crate::state::StateError;
use std::rc::Rc;

const CODE: u64 = 0x1000;
const DATA: u64 = 0x2000;

/// Real-mode code at [`CODE`], on each of `cpus` vCPUs.
fn machine(cpus: usize, code: &[u8]) -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(Board::new(1 << 20, cpus).unwrap(), model, Box::new(Interpreter::new(model)));
    let mut cpu = CpuState::new(0, model);
    cpu.segs[seg::CS] = Segment::real_mode_code(0x100);
    cpu.regs.set_rip(0);
    machine.set_boot(BootImage { memory: vec![(CODE, code.to_vec())], cpu: cpu.clone() });
    for (index, state) in machine.cpus.iter_mut().enumerate() {
        *state = CpuState { index: index as u32, ..cpu.clone() };
    }
    machine
}

fn breakpoint(address: u64) -> Probes {
    Probes { breakpoints: vec![Breakpoint { address, condition: None }], ..Probes::default() }
}

fn watchpoint(watch: Watch, addressing: Addressing, range: std::ops::Range<u64>) -> Probes {
    Probes { watchpoints: vec![Watchpoint { watch, addressing, range }], ..Probes::default() }
}

/// All hits up to a tick.
fn hits(machine: &mut Machine, probes: &Probes, until: Tick) -> Vec<Hit> {
    let mut all = Vec::new();
    machine.set_probes(probes.clone(), Some(machine.now()));
    loop {
        match machine.run(&mut Script::default(), until) {
            End::Probe => {
                let hits = machine.take_hits();
                assert!(!hits.is_empty() && hits.iter().all(|hit| hit.after == machine.now()), "{hits:?}");
                all.extend(hits);
                machine.set_probes(probes.clone(), Some(machine.now()));
            }
            end => {
                assert_eq!(end, End::Until);
                return all;
            }
        }
    }
}

/// INC AX; JMP back.
const LOOP: [u8; 3] = [0x40, 0xeb, 0xfd];

#[test]
fn a_breakpoint_stops_before_its_instruction_each_time() {
    let mut machine = machine(1, &LOOP);
    let found = hits(&mut machine, &breakpoint(CODE + 1), 7);
    let at = |tick| Hit { after: tick, before: tick, cause: Cause::Breakpoint { cpu: 0, address: CODE + 1 } };
    assert_eq!(found, [at(1), at(3), at(5)]);
    assert_eq!(machine.cpus[0].regs.get(reg::RAX), 4);
}

#[derive(Debug)]
struct Above(u64);

impl Condition for Above {
    fn holds(&self, cpu: &CpuState, _board: &Board) -> bool {
        cpu.regs.get(reg::RAX) > self.0
    }
}

#[test]
fn a_breakpoint_may_have_a_condition() {
    let mut machine = machine(1, &LOOP);
    let condition: Option<Rc<dyn Condition>> = Some(Rc::new(Above(50)));
    let probes = Probes { breakpoints: vec![Breakpoint { address: CODE, condition }], ..Probes::default() };
    let found: Vec<_> = hits(&mut machine, &probes, 106).iter().map(|hit| hit.after).collect();
    assert_eq!(found, [102, 104]);
}

#[test]
fn each_iteration_of_a_string_instruction_stops_at_its_breakpoint() {
    // MOV CX, 3; REP STOSB; JMP $.
    let mut machine = machine(1, &[0xb9, 3, 0, 0xf3, 0xaa, 0xeb, 0xfe]);
    let found: Vec<_> = hits(&mut machine, &breakpoint(CODE + 3), 20).iter().map(|hit| hit.after).collect();
    assert_eq!(found, [1, 2, 3]);
}

#[test]
fn a_watchpoint_stops_after_the_access() {
    // MOV [0x2000], AL; MOV AL, [0x2001]; INC BYTE [0x2002]; JMP back.
    let code = [0xa2, 0, 0x20, 0xa0, 1, 0x20, 0xfe, 0x06, 2, 0x20, 0xeb, 0xf4];
    let cases = [
        (Watch::Write, DATA..DATA + 1, vec![(1, true, DATA), (5, true, DATA)]),
        (Watch::Write, DATA + 1..DATA + 2, vec![]),
        (Watch::Read, DATA + 1..DATA + 2, vec![(2, false, DATA + 1), (6, false, DATA + 1)]),
        (
            Watch::Access,
            DATA + 2..DATA + 3,
            vec![(3, false, DATA + 2), (3, true, DATA + 2), (7, false, DATA + 2), (7, true, DATA + 2)],
        ),
    ];
    for (watch, range, expected) in cases {
        for addressing in [Addressing::Linear { cpu: 0 }, Addressing::Physical] {
            let mut machine = machine(1, &code);
            let found = hits(&mut machine, &watchpoint(watch, addressing, range.clone()), 8);
            let found = found.iter().map(|hit| match &hit.cause {
                Cause::Watchpoint { by: Accessor::Cpu(0), write, accessed: (start, 1), .. } => {
                    assert_eq!(hit.before, hit.after - 1);
                    (hit.after, *write, *start)
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{watch:?} {range:?}");
        }
    }
}

#[test]
fn an_instruction_that_faults_before_it_writes_is_not_met() {
    // MOV WORD [0xffff], AX faults with #GP in real mode, and is its handler, too.
    let mut machine = machine(1, &[0xa3, 0xff, 0xff]);
    machine.board.dma_write(13 * 4, &[0, 0, 0, 0x01]);
    machine.cpus[0].regs.set(reg::RSP, 0x8000);
    let probes = watchpoint(Watch::Access, Addressing::Physical, 0xffff..0x1_0001);
    assert_eq!(hits(&mut machine, &probes, 4), []);
    assert_eq!(machine.cpus[0].regs.get(reg::RSP), 0x8000 - 4 * 6);
    // What the delivery of the exception pushes counts.
    let probes = watchpoint(Watch::Write, Addressing::Physical, 0x8000 - 4 * 6 - 1..0x8000 - 4 * 6);
    assert_eq!(hits(&mut machine, &probes, 6).iter().map(|hit| hit.after).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_step_ends_once_its_vcpu_has_retired_an_instruction() {
    let mut machine = machine(2, &LOOP);
    machine.run(&mut Script::default(), QUANTUM - 2);
    let step = |cpu, within| Probes { step: Some(Step { cpu, within }), ..Probes::default() };
    let mut take = |probes: &Probes| {
        machine.set_probes(probes.clone(), Some(machine.now()));
        assert_eq!(machine.run(&mut Script::default(), Tick::MAX), End::Probe);
        let hits = machine.take_hits();
        assert!(machine.is_settled());
        (hits[0].after, hits[0].before, hits[0].cause.clone())
    };
    let done = |tick: Tick, cpu| (tick, tick - 1, Cause::Step { cpu });
    assert_eq!(take(&step(0, 0..0)), done(QUANTUM - 1, 0));
    assert_eq!(take(&step(1, 0..0)), done(QUANTUM + 1, 1));
    assert_eq!(take(&step(0, 0..0)), done(2 * QUANTUM + 1, 0));
    // RIP is 1 now; it goes through 0, where the step goes on.
    assert_eq!(take(&step(0, 0..1)), done(2 * QUANTUM + 3, 0));
    assert_eq!(take(&step(0, 1..2)), done(2 * QUANTUM + 4, 0));
}

#[test]
fn a_stop_takes_the_choice_of_the_next_vcpu_back() {
    // The first vCPU halts; vCPU 1 waits, so the turn goes on to vCPU 2 at the same tick.
    let mut machine = machine(3, &[0xf4]);
    machine.cpus[1].activity = Activity::WaitForSipi;
    machine.cpus[2].regs.set_rip(0x10);
    let state = machine.save();
    machine.set_probes(breakpoint(CODE + 0x10), None);
    assert_eq!(machine.run(&mut Script::default(), 100), End::Probe);
    assert_eq!((machine.now(), machine.turn().0, machine.is_settled()), (1, 1, true));
    let fingerprint = machine.fingerprint();
    machine.load(&state).unwrap();
    machine.board.now = 0;
    machine.set_probes(Probes::default(), None);
    assert_eq!(machine.run(&mut Script::default(), 1), End::Until);
    assert_eq!((machine.now(), machine.turn().0, machine.fingerprint()), (1, 1, fingerprint));
}

#[test]
fn who_ran_when_is_kept() {
    let mut machine = machine(2, &LOOP);
    machine.keep_turns(true);
    machine.run(&mut Script::default(), 10);
    machine.run(&mut Script::default(), QUANTUM + 5);
    let turn = |start, retired, cpu| Turn { start, retired, cpu };
    assert_eq!(machine.take_turns(), [turn(0, QUANTUM, 0), turn(QUANTUM, 5, 1)]);
    machine.run(&mut Script::default(), QUANTUM + 6);
    assert_eq!(machine.take_turns(), [turn(QUANTUM + 5, 1, 1)]);
    machine.keep_turns(false);
    assert_eq!(machine.take_turns(), []);
}

/// A device that writes a byte to memory when its port is written, and ten ticks later another one.
struct Master;

impl Device for Master {
    fn read(&mut self, _: u32, _: u64, _: Width, ctx: &mut Context<'_>) -> u64 {
        ctx.dma_read(DATA + 1, &mut [0]);
        0
    }
    fn write(&mut self, _: u32, _: u64, _: Width, _: u64, ctx: &mut Context<'_>) {
        ctx.dma_write(DATA, &[1]);
        ctx.arm(0, ctx.now() + 10);
    }
    fn peek(&self, _: u32, _: u64, _: Width, _: Tick) -> u64 {
        0
    }
    fn timer(&mut self, _: u32, ctx: &mut Context<'_>) {
        ctx.dma_write(DATA, &[2, 2, 2]);
    }
    fn line(&mut self, _: u32, _: bool, _: &mut Context<'_>) {}
    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}
    fn input_room(&self, _: u32) -> usize {
        0
    }
    fn reset(&mut self, _: &mut Context<'_>) {}
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    fn load(&mut self, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

/// NOP; OUT 0x10, AL; IN AL, 0x10; then INC AX for ever.
fn with_master() -> Machine {
    let mut machine = machine(1, &[0x90, 0xe6, 0x10, 0xe4, 0x10, 0x40, 0xeb, 0xfd]);
    let id = machine.board.add_device("master", Box::new(Master));
    assert_eq!(id, DeviceId(0));
    machine.board.map(id, Region::ports(0, 0x10..0x11)).unwrap();
    machine
}

#[test]
fn what_a_device_accesses_belongs_to_the_instruction_that_called_it_or_to_the_tick_of_its_timer() {
    for addressing in [Addressing::Physical, Addressing::Linear { cpu: 0 }] {
        let at = |after, before, write, accessed| {
            let watchpoint = Watchpoint { watch: Watch::Access, addressing, range: DATA..DATA + 2 };
            let by = Accessor::Device(DeviceId(0));
            Hit { after, before, cause: Cause::Watchpoint { watchpoint, by, write, accessed } }
        };
        let whole = |linear: (u64, u64), physical| if addressing == Addressing::Physical { physical } else { linear };
        let found = hits(&mut with_master(), &watchpoint(Watch::Access, addressing, DATA..DATA + 2), 100);
        let late = whole((DATA, 2), (DATA, 3));
        assert_eq!(found, [at(2, 1, true, (DATA, 1)), at(3, 2, false, (DATA + 1, 1)), at(11, 10, true, late)]);
    }
}

#[test]
fn a_device_that_writes_beside_is_not_met() {
    let probes = watchpoint(Watch::Access, Addressing::Physical, DATA + 3..DATA + 4);
    assert_eq!(hits(&mut with_master(), &probes, 100), []);
    let probes = watchpoint(Watch::Access, Addressing::Linear { cpu: 0 }, DATA - 0x800..DATA - 1);
    assert_eq!(hits(&mut with_master(), &probes, 100), []);
}
