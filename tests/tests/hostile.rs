//! Hostile guests: whatever a guest does, the machine does not panic, does not hang, and does the same again, on every
//! engine, however the run is cut, whatever the caches hold, and with a restore on the way, which may lead to another engine.
//!
//! `REPRISE_HOSTILE_SEED=S` runs one guest, `REPRISE_HOSTILE_SEEDS=N` that many, from S or 0 on.

use reprise::engine::EngineKind;
use reprise_core::clock::Tick;
use reprise_core::machine::{End, Fingerprint, Machine, MachineState};
use reprise_core::state;
use reprise_silicon::generate::Random;
use reprise_tests::hostile::Hostile;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Guests that are run when nobody says how many.
const SEEDS: u64 = 300;
/// Host time that the runs of one guest may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrival {
    end: End,
    tick: Tick,
    fingerprint: Fingerprint,
}

fn arrival(machine: &mut Machine, end: End) -> Arrival {
    Arrival { end, tick: machine.now(), fingerprint: machine.fingerprint() }
}

/// The guest in one piece.
fn whole(guest: &Hostile, engine: EngineKind, until: Tick) -> (Machine, Arrival) {
    let mut machine = guest.machine(engine.make());
    let end = machine.run(&mut guest.door(0), until);
    let arrival = arrival(&mut machine, end);
    (machine, arrival)
}

/// The guest in slices, with caches that forget, and saved and restored once.
fn cut(guest: &Hostile, engine: EngineKind, seed: u64, until: Tick) -> (Machine, Arrival) {
    let mut random = Random::new(!seed);
    let mut machine = guest.machine(engine.make());
    let mut door = guest.door(0);
    let restore_at = random.below(guest.ticks);
    let mut restored = false;
    machine.perturb_caches(random.next());
    loop {
        let most = random.pick(&[1, 3, 50, 1000, 20_000]);
        let slice = (machine.now() + 1 + random.below(most)).min(until);
        let end = machine.run(&mut door, slice);
        if end != End::Until || machine.now() >= until {
            let arrival = arrival(&mut machine, end);
            return (machine, arrival);
        }
        if random.percent(2) {
            machine.fingerprint();
        }
        if !restored && machine.now() >= restore_at {
            restored = true;
            machine = copy(guest, random.pick(&EngineKind::ALL).1, &machine);
            door = guest.door(machine.now());
            machine.perturb_caches(random.next());
        }
    }
}

/// A fresh machine that takes over the state of `machine`, by way of bytes.
fn copy(guest: &Hostile, engine: EngineKind, machine: &Machine) -> Machine {
    let bytes = state::encode(&machine.save());
    let saved: MachineState = state::decode("the machine", &bytes).expect("what was saved can be read");
    let mut fresh = guest.machine(engine.make());
    fresh.load(&saved).expect("what was saved can be taken over");
    fresh
}

/// Prints how to reproduce a failure, whatever it is.
struct Reproduction(u64);

impl Drop for Reproduction {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", reproduce(self.0));
        }
    }
}

fn reproduce(seed: u64) -> String {
    format!(
        "seed {seed}: {}\nREPRISE_HOSTILE_SEED={seed} cargo test -p reprise-tests --test hostile -- --nocapture",
        Hostile::new(seed).describe()
    )
}

fn check(seed: u64) {
    let _reproduction = Reproduction(seed);
    let guest = Hostile::new(seed);
    let (_, expected) = whole(&guest, EngineKind::Interp, guest.ticks);
    for (name, engine) in EngineKind::ALL {
        if engine != EngineKind::Interp {
            check_other(&guest, name, &expected, &|until| whole(&guest, engine, until));
        }
        check_other(&guest, name, &expected, &|until| cut(&guest, engine, seed, until));
    }
}

/// A run to that tick.
type RunTo<'a> = &'a dyn Fn(Tick) -> (Machine, Arrival);

fn check_other(guest: &Hostile, engine: &str, expected: &Arrival, run: RunTo<'_>) {
    let (_, found) = run(guest.ticks);
    if found != *expected {
        explain(guest, run);
        assert_eq!(found, *expected, "on {engine}");
    }
}

/// Finds the first tick at which the runs differ, and prints both states there.
fn explain(guest: &Hostile, other: RunTo<'_>) {
    let whole = |until| whole(guest, EngineKind::Interp, until);
    let (mut same, mut differs) = (0, guest.ticks);
    while differs - same > 1 {
        let middle = same + (differs - same) / 2;
        let equal = whole(middle).1 == other(middle).1;
        (same, differs) = if equal { (middle, differs) } else { (same, middle) };
    }
    let ((before, _), (a, ra), (b, rb)) = (whole(same), whole(differs), other(differs));
    eprintln!("the runs differ first at tick {differs}: {ra:?} and {rb:?}");
    for (cpu, (a, b)) in before.cpus.iter().zip(a.cpus.iter().zip(&b.cpus)) {
        let at = cpu.segs[1].base.wrapping_add(cpu.regs.rip());
        let bytes = before.board.ram_offset(at).and_then(|offset| before.board.ram.slice(offset, 16));
        eprintln!("vCPU {} was at {at:#x}: {bytes:02x?}, {:?}, flags {:#x}", cpu.index, cpu.activity, cpu.flags.get());
        print_difference(&format!("{a:#x?}"), &format!("{b:#x?}"));
    }
    print_difference(&format!("{:#x?}", a.board.save()), &format!("{:#x?}", b.board.save()));
}

fn print_difference(whole: &str, cut: &str) {
    for (number, (a, b)) in whole.lines().zip(cut.lines()).enumerate().filter(|(_, (a, b))| a != b).take(20) {
        eprintln!("  {number}: {} in one piece, {} cut", a.trim(), b.trim());
    }
}

/// Ends the process with the seed if it takes too long: nothing else ends an endless loop.
fn watch(current: &'static AtomicU64) {
    std::thread::spawn(move || {
        let mut last = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let seed = current.load(Ordering::Relaxed);
            if seed != last.0 {
                last = (seed, Instant::now());
            } else if seed != u64::MAX && last.1.elapsed() > PATIENCE {
                eprintln!("the guest takes more than {PATIENCE:?}; {}", reproduce(seed));
                std::process::exit(1);
            }
        }
    });
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{value}'")))
}

#[test]
fn hostile_guests_do_the_same_again() {
    static CURRENT: AtomicU64 = AtomicU64::new(u64::MAX);
    watch(&CURRENT);
    let (first, count) = (number("REPRISE_HOSTILE_SEED"), number("REPRISE_HOSTILE_SEEDS"));
    let count = count.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    let mut failed = Vec::new();
    for seed in first..first.saturating_add(count) {
        CURRENT.store(seed, Ordering::Relaxed);
        if std::panic::catch_unwind(|| check(seed)).is_err() {
            failed.push(seed);
        }
    }
    CURRENT.store(u64::MAX, Ordering::Relaxed);
    assert!(failed.is_empty(), "these guests failed: {failed:?}");
}
