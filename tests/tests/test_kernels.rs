//! The machine checked from inside: every kernel of ours ends as it should, also while caches are dropped at random.

use reprise::machine::MachineConfig;
use reprise_core::clock::Tick;
use reprise_core::machine::End;
use reprise_tests::guests::{LONG, PROTECTED, RESETS};
use reprise_tests::machines::{self, Ending, Run};

/// A minute of guest time: no kernel here takes more than a few seconds of it.
const PATIENCE: Tick = 60_000_000_000;
/// Seeds of the runs with dropped caches; each kernel is run without, too.
const SEEDS: [u64; 2] = [1, 0x5eed];
/// The value 0 at isa-debug-exit: all checks passed.
const PASSED: End = End::DebugExit(1);

/// Runs `config` with and without its caches being dropped; the one end of all these runs.
#[track_caller]
fn run(config: &MachineConfig) -> Ending {
    let undisturbed = Run::new(config, &[]).finish(PATIENCE);
    for seed in SEEDS {
        let mut run = Run::new(config, &[]);
        run.machine.perturb_caches(seed);
        assert_eq!(run.finish(PATIENCE), undisturbed, "caches dropped by seed {seed}");
    }
    undisturbed
}

/// A kernel that checks itself passes, and has checked at least so much.
#[track_caller]
fn passes(config: &MachineConfig, end: End, least_checks: usize) {
    let ending = run(config);
    let console = &ending.console;
    assert_eq!(ending.end, end, "{console}");
    let has = |word: &str| console.lines().filter(|line| line.contains(word)).count();
    assert_eq!(has("FAIL"), 0, "{console}");
    assert!(has(": ok") >= least_checks, "too little was checked:\n{console}");
}

/// `RESETS` leaves by `way`, and the machine ends with `end`.
#[track_caller]
fn leaves(way: &str, no_reboot: bool, end: End) -> String {
    let config = MachineConfig { no_reboot, ..machines::kernel(RESETS, &format!("resets {way}")) };
    let ending = run(&config);
    assert_eq!(ending.end, end, "{way}: {}", ending.console);
    assert!(!ending.console.contains("FAIL"), "{}", ending.console);
    ending.console
}

/// It starts again once, with its CMOS as it was.
#[track_caller]
fn comes_back(way: &str) {
    let console = leaves(&format!("again-{way}"), false, PASSED);
    assert_eq!(
        console.lines().map(str::trim_end).collect::<Vec<_>>(),
        [&format!("resets: {way}"), "resets: came back"]
    );
}

/// Virtual-8086 mode and hardware task switches are not modelled.
#[test]
fn protected_mode() {
    passes(&machines::kernel(PROTECTED, "protected without=virtual-8086 without=task-switch"), PASSED, 27);
}

#[test]
fn long_mode() {
    passes(&machines::kernel(LONG, "long"), PASSED, 30);
}

#[test]
fn the_embedded_guest() {
    for cpus in [1, 2, 4] {
        passes(&machines::embedded(cpus), End::Off, 40);
    }
}

#[test]
fn resets_end_the_run_if_asked() {
    for way in ["port-cf9", "keyboard-controller", "port-92"] {
        leaves(way, true, End::Reset);
    }
    leaves("triple-fault", true, End::TripleFault);
}

#[test]
fn resets_start_the_machine_again() {
    for way in ["port-cf9", "keyboard-controller", "port-92", "triple-fault"] {
        comes_back(way);
    }
}

#[test]
fn ways_to_leave_that_are_no_resets() {
    leaves("pvpanic", false, End::Panicked);
    leaves("debug-exit-33", false, End::DebugExit(67));
}

/// Nothing can wake a vCPU that halted with interrupts off, but devices go on for ever.
#[test]
fn a_halted_machine_stays_halted() {
    let config = machines::kernel(RESETS, "resets halt");
    let mut run = Run::new(&config, &[]);
    let end = run.go(PATIENCE);
    let before = run.ending(end);
    assert!(matches!(before.end, End::Until | End::Dead), "{:?}", before.end);
    run.go(2 * PATIENCE);
    assert_eq!(run.machine.icount(), before.icount);
}
