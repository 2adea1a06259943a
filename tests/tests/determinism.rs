//! The same run is the same, whatever happens around it and whichever engine runs it: a busy host, cuts at any tick, saved
//! and restored state, caches dropped at random. And damaged state is refused, or at least does no harm.
//!
//! The machine runs the embedded guest, with input scripted at ticks that fall everywhere: in its interrupt handlers,
//! between STI and the instruction after it, within string instructions.
//!
//! `REPRISE_SEEDS=N` tries N times as many seeds.

use reprise::engine::EngineKind;
use reprise_core::clock::Tick;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::HostInput;
use reprise_core::machine::{End, MachineState};
use reprise_core::memory::{PAGE_SHIFT, PAGE_SIZE};
use reprise_core::state;
use reprise_silicon::generate::Random;
use reprise_tests::busy::BusyHost;
use reprise_tests::machines::{CONSOLE, Ending, Run, embedded};

const NEVER: Tick = Tick::MAX;
const WINDOW: Tick = 100_000;
/// Slices of a busy guest are below two to this many ticks.
const LONGEST: u64 = 14;
/// Numbers of vCPUs that are tried.
const CPUS: [u32; 2] = [1, 4];

/// Every number of vCPUs on every engine.
fn combinations() -> impl Iterator<Item = (EngineKind, u32)> {
    EngineKind::ALL.into_iter().flat_map(|(_, engine)| CPUS.map(|cpus| (engine, cpus)))
}

/// Where the guest is busy, by windows of so many ticks; it sleeps through most of its tests of clocks.
fn busy_windows() -> Vec<Tick> {
    let (mut run, mut windows) = (Run::new(&embedded(4), &[]), Vec::new());
    loop {
        let (tick, icount) = (run.machine.now(), run.machine.icount());
        if run.go(tick + WINDOW) != End::Until {
            return windows;
        }
        if run.machine.icount() - icount > WINDOW / 4 {
            windows.push(tick);
        }
    }
}

/// Keys, pointer movements and serial bytes: some anywhere, many while the guest is busy, most of them while it checks
/// faults and user mode, which is early.
fn inputs() -> Vec<(Tick, HostInput)> {
    let (windows, mut random) = (busy_windows(), Random::new(7));
    let mut ticks: Vec<_> = (0..200).map(|_| 1_000_000 + random.below(400_000_000)).collect();
    for range in [&windows[..], &windows[..windows.len().min(40)]] {
        ticks.extend((0..1000).map(|_| random.pick(range) + random.below(WINDOW)));
    }
    ticks.sort_unstable();
    ticks.into_iter().map(|tick| (tick, input(&mut random))).collect()
}

fn input(random: &mut Random) -> HostInput {
    match random.below(4) {
        0 => HostInput::Key(KeyEvent { code: 1 + random.below(100) as u16, down: random.percent(50) }),
        1 => {
            let [dx, dy] = [0; 2].map(|_: i16| random.next() as i16);
            HostInput::Pointer(PointerEvent { dx, dy, wheel: 1, buttons: random.below(8) as u8 })
        }
        _ => {
            let bytes = (0..1 + random.below(20)).map(|_| random.next() as u8).collect();
            HostInput::Chardev { chardev: CONSOLE, bytes }
        }
    }
}

/// So many, or as many times more as the environment asks for.
fn seeds(count: u64) -> u64 {
    count * std::env::var("REPRISE_SEEDS").map_or(1, |times| times.parse().expect("REPRISE_SEEDS is a number"))
}

/// The run that all others must equal.
fn reference(cpus: u32) -> Ending {
    let ending = Run::new(&embedded(cpus), &inputs()).finish(NEVER);
    assert_eq!(ending.end, End::Off, "{}", ending.console);
    ending
}

/// State by way of bytes.
fn through_bytes(state: MachineState) -> MachineState {
    state::decode("machine", &state::encode(&state)).expect("what was saved is no damage")
}

#[test]
fn a_run_repeats_on_a_busy_host() {
    for (engine, cpus) in combinations() {
        let expected = reference(cpus);
        let busy = BusyHost::new();
        assert_eq!(Run::on(engine, &embedded(cpus), &inputs()).finish(NEVER), expected, "{engine:?}, {cpus} vCPUs");
        drop(busy);
    }
}

#[test]
fn cuts_leave_no_trace() {
    for (engine, cpus) in combinations() {
        let expected = reference(cpus);
        for seed in 0..seeds(2) {
            let (mut run, mut random) = (Run::on(engine, &embedded(cpus), &inputs()), Random::new(seed));
            let end = run.go_in_slices(&mut random, LONGEST, &mut |run, random| {
                if random.percent(1) {
                    run.machine.fingerprint();
                }
            });
            assert_eq!(run.ending(end), expected, "{engine:?}, {cpus} vCPUs, seed {seed}");
        }
    }
}

#[test]
fn every_tick_can_be_a_cut() {
    const LENGTH: Tick = 30_000;
    let windows = busy_windows();
    for (engine, cpus) in combinations() {
        for start in [windows[0], windows[8], windows[windows.len() / 2], windows[windows.len() - 2]] {
            let mut whole = Run::new(&embedded(cpus), &inputs());
            whole.go(start + LENGTH);
            let mut cut = Run::on(engine, &embedded(cpus), &inputs());
            cut.go(start);
            while cut.machine.now() < start + LENGTH {
                let until = cut.machine.now() + 1;
                cut.go(until);
            }
            assert_eq!(cut.ending(End::Until), whole.ending(End::Until), "{engine:?}, {cpus} vCPUs from tick {start}");
        }
    }
}

#[test]
fn state_moves_to_another_machine_at_any_tick() {
    for cpus in CPUS {
        let expected = reference(cpus);
        let (mut run, mut random, mut moves) = (Run::new(&embedded(cpus), &inputs()), Random::new(11), 0);
        let end = run.go_in_slices(&mut random, LONGEST, &mut |run, random| {
            if random.below(1000) < 2 {
                run.move_to_another(random.pick(&EngineKind::ALL).1, &embedded(cpus), through_bytes);
                moves += 1;
            }
        });
        assert_eq!(run.ending(end), expected, "{cpus} vCPUs");
        assert!(moves > 40, "only {moves} moves");
    }
}

#[test]
fn dropped_caches_leave_no_trace() {
    for (engine, cpus) in combinations() {
        let expected = reference(cpus);
        for seed in 0..seeds(2) {
            let (mut run, mut random) = (Run::on(engine, &embedded(cpus), &inputs()), Random::new(seed));
            run.machine.perturb_caches(seed);
            let end = run.go_in_slices(&mut random, LONGEST, &mut |_, _| {});
            assert_eq!(run.ending(end), expected, "{engine:?}, {cpus} vCPUs, seed {seed}");
        }
    }
}

#[test]
fn an_operators_reset_repeats() {
    let mut config = embedded(2);
    config.no_reboot = false;
    let inputs = [(123_456_789, HostInput::Reset)];
    let expected = Run::new(&config, &inputs).finish(NEVER);
    assert_eq!(expected.end, End::Off, "{}", expected.console);
    for (name, engine) in EngineKind::ALL {
        let (mut run, mut random) = (Run::on(engine, &config, &inputs), Random::new(5));
        run.machine.perturb_caches(5);
        let end = run.go_in_slices(&mut random, LONGEST, &mut |_, _| {});
        assert_eq!(run.ending(end), expected, "on {name}");
    }
}

/// Damages `bytes` in one of the ways in which files are damaged.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() as u64) as usize;
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] = 0xff,
        2 => bytes.insert(at, random.next() as u8),
        3 => drop(bytes.remove(at)),
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

/// RAM as it is: pages and where they begin.
fn pages(run: &Run) -> Vec<(u64, Vec<u8>)> {
    let ram = &run.machine.board.ram;
    let offsets = ram.nonzero_pages().map(|page| u64::from(page) << PAGE_SHIFT);
    offsets.map(|offset| (offset, ram.slice(offset, PAGE_SIZE as usize).expect("it is RAM").to_vec())).collect()
}

/// All but RAM is damaged; RAM is put back, so that what is not refused has something to run.
#[test]
fn damaged_state_does_no_harm() {
    let windows = busy_windows();
    for (cpus, start) in [(1, windows[5] + 77), (4, windows[windows.len() - 2] + 33)] {
        let mut run = Run::new(&embedded(cpus), &inputs());
        run.go(start);
        run.move_to_another(EngineKind::DEFAULT, &embedded(cpus), |state| state);
        let pages = pages(&run);
        run.machine.board.ram.clear();
        let good = run.machine.save();
        let bytes = state::encode(&good);
        let (mut random, mut refused) = (Random::new(u64::from(cpus)), 0);
        let cases = seeds(500);
        for case in 0..cases {
            let mut bytes = bytes.clone();
            damage(&mut bytes, &mut random);
            let state = state::decode::<MachineState>("machine", &bytes);
            if state.is_ok_and(|state| run.machine.load(&state).is_ok()) {
                run_briefly(&mut run, &pages);
                run.machine.load(&good).unwrap_or_else(|error| panic!("{cpus} vCPUs, case {case}: {error}"));
            } else {
                refused += 1;
                assert!(run.machine.save() == good, "{cpus} vCPUs, case {case}: refused, but not without effect");
            }
        }
        assert!(refused > cases / 20 && refused < cases, "{refused} of {cases} refused");
    }
}

/// Wherever some state leads, nothing panics.
fn run_briefly(run: &mut Run, pages: &[(u64, Vec<u8>)]) {
    for (offset, page) in pages {
        assert!(run.machine.board.ram.write(*offset, page));
    }
    let until = run.machine.now().saturating_add(30_000);
    run.machine.run(&mut run.door, until);
}
