//! Probes: breakpoints, watchpoints and steps are exact on both engines, and leave no trace.

use reprise::engine::EngineKind;
use reprise_core::board::{Board, DeviceId};
use reprise_core::clock::Tick;
use reprise_core::cpu::{CpuState, Model, Segment, cr0, cr4, efer, reg, seg};
use reprise_core::door::Script;
use reprise_core::machine::{BootImage, End, Machine};
use reprise_core::probe::{Accessor, Addressing, Breakpoint, Cause, Hit, Probes, Watch, Watchpoint};
use reprise_tests::engines::probed::{self, Met};
use reprise_tests::machines::{embedded, power_on};

/// Trials of random programs.
const TRIALS: u64 = 60;

#[test]
fn probes_on_random_programs_are_met_where_a_look_at_each_tick_says() {
    // To go into one of them.
    let first = std::env::var("PROBED_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = if first.is_some() { 1 } else { TRIALS };
    let first = first.unwrap_or(1);
    let mut all = Met::default();
    for seed in first..first + count {
        let met = probed::run(seed);
        all.breakpoints += met.breakpoints;
        all.watchpoints += met.watchpoints;
        all.steps += met.steps;
        all.states += met.states;
    }
    println!("{all:?}");
    assert!(
        count == 1 || all.breakpoints > 1000 && all.watchpoints > 1000 && all.steps > 100 && all.states > 2000,
        "{all:?}"
    );
}

/// Where the code of small programs is; all of the first 2 MiB are mapped again from [`ALIAS`] on.
const CODE: u64 = 0x1_0000;
const ALIAS: u64 = 2 << 20;
/// Writable memory of small programs.
const DATA: u64 = 0x2_0000;

/// A machine that runs 64-bit code at [`CODE`].
fn long_mode(kind: EngineKind, code: &[u8]) -> Machine {
    let model = Model::find(Model::DEFAULT).expect("the model exists");
    let mut machine = Machine::new(Board::new(4 << 20, 1).expect("4 MiB of RAM"), model, kind.make()(model));
    let mut cpu = CpuState::new(0, model);
    (cpu.cr0, cpu.cr3, cpu.cr4) = (cr0::PE | cr0::ET | cr0::PG | cr0::WP, 0x1000, cr4::PAE | cr4::OSFXSR);
    cpu.efer = efer::LME | efer::LMA;
    cpu.segs = [Segment::from_descriptor(0x10, 0x00cf_9300_0000_ffff); 6];
    cpu.segs[seg::CS] = Segment::from_descriptor(0x8, 0x00af_9b00_0000_ffff);
    cpu.regs.set_rip(CODE);
    cpu.regs.set(reg::RSP, DATA + 0x8000);
    let entries = |all: &[u64]| all.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>();
    let tables = [(0x1000, entries(&[0x2063])), (0x2000, entries(&[0x3063])), (0x3000, entries(&[0xe3, 0xe3]))];
    let memory = tables.into_iter().chain([(CODE, code.to_vec())]).collect();
    machine.set_boot(BootImage { memory, cpu });
    machine
}

fn breakpoints(addresses: &[u64]) -> Probes {
    let breakpoint = |&address: &u64| Breakpoint { address, condition: None };
    Probes { breakpoints: addresses.iter().map(breakpoint).collect(), ..Probes::default() }
}

/// Where a machine stops up to a tick.
fn stops(machine: &mut Machine, probes: &Probes, until: Tick) -> Vec<Tick> {
    let mut ticks = Vec::new();
    machine.set_probes(probes.clone(), Some(machine.now()));
    while machine.run(&mut Script::default(), until) == End::Probe {
        ticks.extend(machine.take_hits().iter().map(|hit| hit.after));
        // As a debugger does that removes its breakpoints whenever it stops.
        machine.set_probes(Probes::default(), None);
        machine.set_probes(probes.clone(), Some(machine.now()));
    }
    machine.set_probes(Probes::default(), None);
    ticks
}

const NEVER: [Tick; 0] = [];
const ENGINES: [EngineKind; 2] = [EngineKind::Interp, EngineKind::Jit];

#[test]
fn breakpoints_count_where_translated_code_was_linked_before_they_were_set() {
    // INC RAX; JMP +2; INT3 twice; DEC RBX; JMP to the first.
    let code = [0x48, 0xff, 0xc0, 0xeb, 2, 0xcc, 0xcc, 0x48, 0xff, 0xcb, 0xeb, 0xf4];
    for kind in ENGINES {
        let mut machine = long_mode(kind, &code);
        machine.run(&mut Script::default(), 40_000);
        let every = |first: Tick, ticks: Tick| (0..10).map(|n| first + n * ticks).collect::<Vec<_>>();
        assert_eq!(stops(&mut machine, &breakpoints(&[CODE + 7]), 40_040), every(40_002, 4), "{kind:?}");
        assert_eq!(stops(&mut machine, &breakpoints(&[CODE + 8]), 40_080), NEVER, "{kind:?}");
        let two = breakpoints(&[CODE + 3, CODE + 10]);
        assert_eq!(stops(&mut machine, &two, 40_100), every(40_081, 2), "{kind:?}");
        machine.run(&mut Script::default(), 40_120);
        assert_eq!(stops(&mut machine, &breakpoints(&[CODE + 7]), 40_160), every(40_122, 4), "{kind:?}");
        assert_eq!(machine.cpus[0].regs.get(reg::RAX), 10_040, "{kind:?}");
    }
}

#[test]
fn a_breakpoint_is_at_a_linear_address() {
    // LEA RCX, [RIP + 3]; XOR RCX, RBX; SUB RCX, 10; JMP RCX: to the first again, in the other mapping.
    let code = [0x48, 0x8d, 0x0d, 3, 0, 0, 0, 0x48, 0x31, 0xd9, 0x48, 0x83, 0xe9, 10, 0xff, 0xe1];
    for kind in ENGINES {
        let mut machine = long_mode(kind, &code);
        machine.cpus[0].regs.set(reg::RBX, ALIAS);
        machine.run(&mut Script::default(), 8000);
        assert_eq!(machine.cpus[0].regs.rip(), CODE, "{kind:?}");
        assert_eq!(stops(&mut machine, &breakpoints(&[CODE + 7]), 8016), [8001, 8009], "{kind:?}");
        assert_eq!(stops(&mut machine, &breakpoints(&[ALIAS + CODE + 7]), 8032), [8021, 8029], "{kind:?}");
    }
}

#[test]
fn watched_bytes_in_a_page_that_was_written_without_a_trace() {
    // MOV [DATA], RAX; MOV RDX, [DATA]; INC RAX; JMP to the first; RSI is DATA.
    let code = [0x48, 0x89, 0x06, 0x48, 0x8b, 0x16, 0x48, 0xff, 0xc0, 0xeb, 0xf5];
    let watch = |watch, addressing, start| {
        let watchpoint = Watchpoint { watch, addressing, range: start..start + 4 };
        Probes { watchpoints: vec![watchpoint], ..Probes::default() }
    };
    let every = |first: Tick| [first, first + 4, first + 8, first + 12].to_vec();
    for kind in ENGINES {
        let mut machine = long_mode(kind, &code);
        machine.cpus[0].regs.set(reg::RSI, DATA);
        machine.run(&mut Script::default(), 40_000);
        let physical = watch(Watch::Write, Addressing::Physical, DATA + 4);
        assert_eq!(stops(&mut machine, &physical, 40_016), every(40_001), "{kind:?}");
        let linear = watch(Watch::Read, Addressing::Linear { cpu: 0 }, DATA + 4);
        assert_eq!(stops(&mut machine, &linear, 40_032), every(40_018), "{kind:?}");
        let both = watch(Watch::Access, Addressing::Linear { cpu: 0 }, DATA);
        assert_eq!(stops(&mut machine, &both, 40_048).len(), 8, "{kind:?}");
        let beside = watch(Watch::Access, Addressing::Physical, DATA + 8);
        assert_eq!(stops(&mut machine, &beside, 40_064), NEVER, "{kind:?}");
        let other = watch(Watch::Access, Addressing::Linear { cpu: 0 }, ALIAS + DATA);
        assert_eq!(stops(&mut machine, &other, 40_080), NEVER, "{kind:?}");
        machine.cpus[0].regs.set(reg::RSI, ALIAS + DATA);
        assert_eq!(stops(&mut machine, &physical, 40_096), every(40_081), "{kind:?}");
        assert_eq!(stops(&mut machine, &other, 40_112).len(), 8, "{kind:?}");
    }
}

#[test]
fn string_instructions_stop_after_the_iteration_that_writes() {
    // MOV ECX, 0x1000; MOV EDI, DATA; REP STOSB; JMP to the first.
    let mut code = vec![0xb9, 0, 0x10, 0, 0, 0xbf];
    code.extend((DATA as u32).to_le_bytes());
    code.extend([0xf3, 0xaa, 0xeb, 0xf2]);
    for kind in ENGINES {
        let mut machine = long_mode(kind, &code);
        let round = 0x1000 + 3;
        machine.run(&mut Script::default(), 20 * round);
        let watchpoint =
            Watchpoint { watch: Watch::Write, addressing: Addressing::Physical, range: DATA + 100..DATA + 103 };
        let probes = Probes { watchpoints: vec![watchpoint], ..breakpoints(&[CODE + 12]) };
        let first = 20 * round + 2;
        let expected = vec![first + 101, first + 102, first + 103, first + 0x1000];
        assert_eq!(stops(&mut machine, &probes, 21 * round), expected, "{kind:?}");
    }
}

#[test]
fn a_real_front_end_is_met_where_it_reads_and_writes_memory() {
    // The configuration device reads a descriptor, writes the four bytes of its signature, and says that it is done:
    // MOV EDX, 0x514; XOR EAX, EAX; OUT DX, EAX; MOV EDX, 0x518; MOV EAX, ...; OUT DX, EAX; JMP $.
    let mut code = vec![0xba, 0x14, 5, 0, 0, 0x31, 0xc0, 0xef, 0xba, 0x18, 5, 0, 0, 0xb8];
    code.extend((DATA as u32).to_be_bytes());
    code.extend([0xef, 0xeb, 0xfe]);
    let target = DATA + 0x1000;
    let descriptor = [0x0a_u32, 4, 0, target as u32].map(u32::to_be_bytes).concat();
    for kind in ENGINES {
        let mut machine = power_on(&embedded(1), kind);
        let start = long_mode(kind, &code);
        let address_space = start.board.ram.slice(0, DATA as usize).expect("it is RAM");
        machine.board.dma_write(0, address_space);
        machine.board.dma_write(DATA, &descriptor);
        machine.cpus[0].clone_from(&start.cpus[0]);
        let id = machine.board.device_names().position(|name| name == "fw_cfg_io").expect("there is one");
        let watch = |watch, start: u64| Watchpoint { watch, addressing: Addressing::Physical, range: start..start + 2 };
        let watchpoints = vec![watch(Watch::Access, DATA), watch(Watch::Write, target + 2), watch(Watch::Read, target)];
        machine.set_probes(Probes { watchpoints: watchpoints.clone(), ..Probes::default() }, None);
        assert_eq!(machine.run(&mut Script::default(), 100), End::Probe, "{kind:?}");
        let by = Accessor::Device(DeviceId(id as u32));
        let at = |number: usize, write, accessed| {
            let cause = Cause::Watchpoint { watchpoint: watchpoints[number].clone(), by, write, accessed };
            Hit { after: 6, before: 5, cause }
        };
        let expected = [at(0, false, (DATA, 16)), at(1, true, (target, 4)), at(0, true, (DATA, 4))];
        assert_eq!(machine.take_hits(), expected, "{kind:?}");
        assert_eq!(machine.run(&mut Script::default(), 100), End::Until, "{kind:?}");
    }
}
