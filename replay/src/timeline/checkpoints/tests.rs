use super::*;
use reprise_core::backend::DiskId;
use reprise_core::board::Board;
use reprise_core::cpu::Model;
use reprise_core::disk::DiskGeometry;
use reprise_core::interp::Interpreter;
use reprise_core::machine::MachineState;

const PAGES: u64 = 64;

/// A machine that nobody runs: tests change it by hand.
fn machine() -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut board = Board::new(PAGES << PAGE_SHIFT, 1).unwrap();
    board.add_disk(DiskGeometry { size: 1 << 20, read_only: false });
    Machine::new(board, model, Box::new(Interpreter::new(model)))
}

fn plenty() -> Checkpoints<u64> {
    Checkpoints::new(u64::MAX)
}

/// A history that is a function of the tick: each tick writes a few bytes, often what is there already.
fn run_to(machine: &mut Machine, tick: Tick) {
    while machine.now() < tick {
        machine.board.now += 1;
        let random = machine.now().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let page = (random >> 32) % 6 * ((random >> 40) % 10);
        let value = [(random >> 50) as u8 % 3; 3];
        machine.board.dma_write(page << PAGE_SHIFT | random >> 20 & 0xff0, &value);
        machine.cpus[0].regs.set(3, random);
        if random & 0x300 == 0 {
            machine.board.disk_mut(DiskId(0)).write(page * 512, &[value[0]; 512]);
        }
    }
}

fn states(ticks: &[Tick]) -> BTreeMap<Tick, MachineState> {
    let mut machine = machine();
    let at = |&tick: &Tick| {
        run_to(&mut machine, tick);
        (tick, machine.save())
    };
    ticks.iter().map(at).collect()
}

#[test]
fn a_machine_goes_from_any_checkpoint_to_any_other() {
    let ticks = [0, 1, 5, 6, 40, 41, 200];
    let states = states(&ticks);
    let (mut machine, mut checkpoints) = (machine(), plenty());
    for &tick in &ticks {
        run_to(&mut machine, tick);
        checkpoints.take(&mut machine, tick * 3);
    }
    for &from in &ticks {
        for &to in &ticks {
            assert_eq!(checkpoints.restore(&mut machine, from), from * 3);
            // It may have gone on meanwhile, also past other checkpoints.
            run_to(&mut machine, from + (from * 7 + to) % 50);
            checkpoints.restore(&mut machine, to);
            assert_eq!(machine.save(), states[&to], "from {from} to {to}");
        }
    }
}

#[test]
fn fingerprints_follow_a_machine_that_goes_back() {
    let (mut machine, mut checkpoints) = (machine(), plenty());
    let mut seen = Vec::new();
    for tick in [0, 10, 20, 30] {
        run_to(&mut machine, tick);
        checkpoints.take(&mut machine, 0);
        seen.push((tick, machine.fingerprint(), machine.digest()));
    }
    for (tick, fingerprint, digest) in seen.into_iter().rev() {
        checkpoints.restore(&mut machine, tick);
        assert_eq!((machine.fingerprint(), machine.digest()), (fingerprint, digest), "at {tick}");
    }
}

/// Whatever is done in whatever order, what is restored is what was there, and memory is counted to the byte.
#[test]
fn random_walks_find_every_state_as_it_was() {
    let states = states(&(0..300).collect::<Vec<_>>());
    for seed in 1..30u64 {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % below
        };
        let (mut machine, mut checkpoints) = (machine(), plenty());
        checkpoints.take(&mut machine, 0);
        for step in 0..200 {
            let ticks: Vec<_> = checkpoints.ticks().collect();
            let some = ticks[draw(ticks.len() as u64) as usize];
            match draw(8) {
                0..=2 => {
                    let now = machine.now();
                    run_to(&mut machine, (now + draw(20)).min(299));
                }
                3 | 4 => checkpoints.take(&mut machine, 0),
                5 | 6 => {
                    checkpoints.restore(&mut machine, some);
                }
                _ if draw(3) == 0 => checkpoints.forget_after(some.max(150)),
                _ if some > 0 => checkpoints.drop_one(some),
                _ => {}
            }
            assert_eq!(machine.save(), states[&machine.now()], "seed {seed}, step {step}");
            assert_memory_is_counted(&checkpoints);
        }
    }
}

/// Memory, counted from nothing.
fn assert_memory_is_counted(checkpoints: &Checkpoints<u64>) {
    let mut before = None;
    let mut bytes = 0;
    for checkpoint in checkpoints.kept.values() {
        bytes += cost::<u64>(&checkpoint.snapshot, &checkpoint.pages, before);
        before = Some(&checkpoint.snapshot);
    }
    assert_eq!(checkpoints.bytes, bytes);
    checkpoints.history.check();
    for (&tick, checkpoint) in &checkpoints.kept {
        assert!(checkpoint.pages.is_sorted_by(|one, other| one < other));
        let versions =
            (0..PAGES as u32).filter(|&page| checkpoints.history.has_version(page, tick.wrapping_sub(1), tick));
        assert!(tick == 0 || versions.eq(checkpoint.pages.iter().copied()), "versions and list of {tick}");
    }
}

#[test]
fn pages_that_are_written_but_hold_the_same_cost_next_to_nothing() {
    let (mut machine, mut checkpoints) = (machine(), plenty());
    (0..32).for_each(|page| machine.board.dma_write(page << PAGE_SHIFT, &[7; 100]));
    checkpoints.take(&mut machine, 0);
    let first = checkpoints.memory();
    assert!(first >= 32 * PAGE_SIZE);
    for tick in 1..10 {
        machine.board.now = tick;
        (0..32).for_each(|page| machine.board.dma_write(page << PAGE_SHIFT, &[7; 100]));
        checkpoints.take(&mut machine, 0);
        assert!((0..32).all(|page| checkpoints.may_have_changed(page, tick - 1, tick)), "they were written");
    }
    assert!(checkpoints.memory() < first + 9 * 16 * 1024, "{}", checkpoints.memory() - first);
}

#[test]
fn where_a_page_was_written_is_known() {
    let (mut machine, mut checkpoints) = (machine(), plenty());
    checkpoints.take(&mut machine, 0);
    for tick in 1..8 {
        machine.board.now = tick * 10;
        if tick == 4 {
            machine.board.dma_write(5 << PAGE_SHIFT, &[1]);
        }
        checkpoints.take(&mut machine, 0);
    }
    let may = |checkpoints: &Checkpoints<u64>, after, up_to| checkpoints.may_have_changed(5, after, up_to);
    assert!(may(&checkpoints, 30, 40) && may(&checkpoints, 0, 70));
    assert!(!may(&checkpoints, 0, 30) && !may(&checkpoints, 40, 70));
    checkpoints.drop_one(40);
    assert!(may(&checkpoints, 30, 50) && !may(&checkpoints, 50, 70) && !may(&checkpoints, 0, 30));
}

#[test]
fn memory_that_is_short_thins_but_keeps_what_must_stay() {
    let limit = 1 << 20;
    let (mut machine, mut checkpoints) = (machine(), Checkpoints::new(limit));
    for tick in 0..400 {
        let tick = tick * 1000;
        machine.board.now = tick;
        (0..4).for_each(|page| machine.board.dma_write(page << PAGE_SHIFT, &tick.to_le_bytes()));
        if tick == 123_000 {
            checkpoints.pin(&mut machine, 0);
        } else {
            checkpoints.take(&mut machine, 0);
        }
        assert!(checkpoints.memory() <= limit, "{} bytes", checkpoints.memory());
    }
    let ticks: Vec<_> = checkpoints.ticks().collect();
    assert!(ticks.len() > FEWEST && ticks.len() < 100, "{}", ticks.len());
    assert!(ticks[0] == 0 && ticks.contains(&123_000) && ticks.last() == Some(&399_000));
    for &tick in ticks.iter().rev() {
        checkpoints.restore(&mut machine, tick);
        assert_eq!((machine.now(), machine.board.ram.get(0)), (tick, Some(tick.to_le_bytes())));
    }
}

#[test]
fn a_few_stay_however_little_memory_there_is() {
    let (mut machine, mut checkpoints) = (machine(), Checkpoints::new(0));
    for tick in 0..200 {
        machine.board.now = tick * 100_000;
        checkpoints.take(&mut machine, 0);
    }
    assert_eq!(checkpoints.ticks().count(), FEWEST);
}

#[test]
fn what_is_pinned_stays_wherever_it_is() {
    let (mut machine, mut checkpoints) = (machine(), Checkpoints::new(0));
    (0..20).for_each(|tick| {
        machine.board.now = tick * 1_000_000;
        checkpoints.take(&mut machine, 0);
    });
    checkpoints.restore(&mut machine, 0);
    for tick in [10, 11, 12] {
        machine.board.now = tick;
        checkpoints.pin(&mut machine, 0);
    }
    let ticks: Vec<_> = checkpoints.ticks().collect();
    assert!(ticks.len() == FEWEST && ticks.starts_with(&[0, 10, 11, 12]), "{ticks:?}");
}

#[test]
fn what_a_disk_holds_comes_back_with_its_hash() {
    let (mut machine, mut checkpoints) = (machine(), plenty());
    checkpoints.take(&mut machine, 0);
    let empty = machine.fingerprint();
    machine.board.now = 1;
    machine.board.disk_mut(DiskId(0)).write(512, &[9; 8192]);
    let before = checkpoints.memory();
    checkpoints.take(&mut machine, 0);
    assert!(checkpoints.memory() >= before + 8192, "what was written is counted");
    let written = machine.fingerprint();
    checkpoints.restore(&mut machine, 0);
    assert_eq!((machine.fingerprint(), machine.board.disk(DiskId(0)).written().count()), (empty, 0));
    checkpoints.restore(&mut machine, 1);
    assert_eq!(machine.fingerprint(), written);
}
