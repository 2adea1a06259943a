//! The same run is the same, whatever happens around it: a busy host, cuts at any tick, saved and restored state,
//! caches dropped at random. And damaged state is refused, or at least does no harm.
//!
//! The machine runs the embedded guest, with input scripted at ticks that fall everywhere: in its interrupt handlers,
//! between STI and the instruction after it, within string instructions.

use reprise_core::clock::Tick;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::door::HostInput;
use reprise_core::machine::{End, MachineState};
use reprise_core::state;
use reprise_silicon::generate::Random;
use reprise_tests::busy::BusyHost;
use reprise_tests::machines::{CONSOLE, Ending, Run, embedded};

const NEVER: Tick = Tick::MAX;
/// Numbers of vCPUs that are tried.
const CPUS: [u32; 2] = [1, 4];

/// Keys, pointer movements and serial bytes: now and then one, and twice a burst in which some arrive at every few
/// instructions.
fn inputs() -> Vec<(Tick, HostInput)> {
    let mut random = Random::new(7);
    let scattered = (0..200).map(|_| 1_000_000 + 2 * random.below(200_000_000) | 1);
    let bursts = [30_000_000, 150_000_000].into_iter().flat_map(|start| (0..300).map(move |n| start + 37 * n));
    let mut ticks: Vec<_> = scattered.chain(bursts).collect();
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

/// The run that all others must equal.
fn reference(cpus: u32) -> Ending {
    let ending = Run::new(&embedded(cpus), &inputs()).finish(NEVER);
    assert_eq!(ending.end, End::Off, "{}", ending.console);
    ending
}

/// A slice of ticks: mostly short, now and then long, never even.
fn slice(random: &mut Random, longest: u32) -> Tick {
    let bits = 1 + random.below(u64::from(longest));
    random.below(1 << bits) | 1
}

/// Runs on in slices, with `between` called after each, until the machine ends.
fn go_in_slices(run: &mut Run, random: &mut Random, between: &mut dyn FnMut(&mut Run, &mut Random)) -> End {
    loop {
        let until = run.machine.now() + slice(random, 20);
        let end = run.go(until);
        if end != End::Until {
            return end;
        }
        between(run, random);
    }
}

/// Puts the machine's state, through bytes, into a machine that was just switched on.
fn move_to_another_machine(run: &mut Run, cpus: u32) {
    let bytes = state::encode(&run.machine.save());
    let state: MachineState = state::decode("machine", &bytes).expect("what was saved is no damage");
    let before = run.machine.fingerprint();
    run.machine = Run::new(&embedded(cpus), &[]).machine;
    run.machine.load(&state).expect("the machine is alike");
    assert_eq!(run.machine.fingerprint(), before, "at tick {}", run.machine.now());
}

#[test]
fn a_run_repeats_on_a_busy_host() {
    for cpus in CPUS {
        let expected = reference(cpus);
        let busy = BusyHost::new();
        assert_eq!(Run::new(&embedded(cpus), &inputs()).finish(NEVER), expected, "{cpus} vCPUs");
        drop(busy);
    }
}

#[test]
fn cuts_leave_no_trace() {
    for cpus in CPUS {
        let expected = reference(cpus);
        for seed in 1..seeds(4) {
            let (mut run, mut random) = (Run::new(&embedded(cpus), &inputs()), Random::new(seed));
            let end = go_in_slices(&mut run, &mut random, &mut |run, random| {
                if random.percent(5) {
                    run.machine.fingerprint();
                }
            });
            assert_eq!(run.ending(end), expected, "{cpus} vCPUs, seed {seed}");
        }
    }
}

#[test]
fn every_instruction_can_be_a_cut() {
    const START: Tick = 100_000_000;
    const LENGTH: Tick = 200_000;
    for cpus in CPUS {
        let mut whole = Run::new(&embedded(cpus), &inputs());
        whole.go(START + LENGTH);
        let mut cut = Run::new(&embedded(cpus), &inputs());
        cut.go(START);
        while cut.machine.now() < START + LENGTH {
            let until = cut.machine.now() + 1;
            cut.go(until);
        }
        assert_eq!(cut.ending(End::Until), whole.ending(End::Until), "{cpus} vCPUs");
    }
}

#[test]
fn state_moves_to_another_machine_at_any_tick() {
    for cpus in CPUS {
        let expected = reference(cpus);
        let (mut run, mut random, mut moves) = (Run::new(&embedded(cpus), &inputs()), Random::new(11), 0);
        let end = go_in_slices(&mut run, &mut random, &mut |run, random| {
            if random.percent(2) {
                move_to_another_machine(run, cpus);
                moves += 1;
            }
        });
        assert_eq!(run.ending(end), expected, "{cpus} vCPUs");
        assert!(moves > 40, "only {moves} moves");
    }
}

#[test]
fn dropped_caches_leave_no_trace() {
    for cpus in CPUS {
        let expected = reference(cpus);
        for seed in 1..seeds(4) {
            let (mut run, mut random) = (Run::new(&embedded(cpus), &inputs()), Random::new(seed));
            run.machine.perturb_caches(seed);
            let end = go_in_slices(&mut run, &mut random, &mut |_, _| {});
            assert_eq!(run.ending(end), expected, "{cpus} vCPUs, seed {seed}");
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
    let (mut run, mut random) = (Run::new(&config, &inputs), Random::new(5));
    run.machine.perturb_caches(5);
    let end = go_in_slices(&mut run, &mut random, &mut |_, _| {});
    assert_eq!(run.ending(end), expected);
}

/// Damages `bytes` in one of the ways in which files are damaged; most damage hits the beginning, where all but RAM is.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let most = random.pick(&[64, 1 << 10, 1 << 14, u64::MAX]).min(bytes.len() as u64);
    let at = random.below(most) as usize;
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.push(0),
        2 => bytes[at] = 0xff,
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, random.next() as u8),
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

#[test]
fn damaged_state_does_no_harm() {
    for cpus in CPUS {
        let mut run = Run::new(&embedded(cpus), &inputs());
        run.go(40_000_001);
        let good = run.machine.save();
        let bytes = state::encode(&good);
        let (mut random, mut refused) = (Random::new(u64::from(cpus)), 0);
        for case in 0..seeds(200) {
            let mut bytes = bytes.clone();
            damage(&mut bytes, &mut random);
            let taken = match state::decode::<MachineState>("machine", &bytes) {
                Ok(state) => run.machine.load(&state).is_ok(),
                Err(_) => false,
            };
            if taken {
                // It is some state: wherever it leads, nothing panics.
                let until = run.machine.now().saturating_add(30_000);
                run.machine.run(&mut run.door, until);
                run.machine.load(&good).unwrap_or_else(|error| panic!("{cpus} vCPUs, case {case}: {error}"));
            } else {
                refused += 1;
                assert!(run.machine.save() == good, "{cpus} vCPUs, case {case}: refused, but not without effect");
            }
        }
        assert!((20..=seeds(180)).contains(&refused), "{refused} of 200 refused");
    }
}

fn seeds(n: u64) -> u64 {
    std::env::var("STRESS").map_or(n, |s| n * s.parse::<u64>().unwrap())
}
