//! The contract that every device keeps, whatever it does:
//!
//! * constructed is powered on is reset, but for what a battery keeps;
//! * a saved and restored device has the same future as the original: the same values, outputs, lines and timers;
//! * restoring and peeking have no effects;
//! * no access, input or saved state makes it panic, hang, or touch memory that is not there.
//!
//! Futures are compared, not structs: a field that was forgotten in both the state and its comparison would else pass.
//! Everything here is driven by a few fixed seeds; a failure names the device and the seed.

mod rig;

use reprise_core::board::{BoardState, VGA_WINDOW};
use reprise_core::property::DeviceSpec;
use reprise_frontend::DEVICES;
use rig::{Random, Rig};

/// Devices of which a reset leaves something: the clock has a battery.
const KEEP_STATE_OVER_RESET: &[&str] = &["mc146818rtc"];

/// Devices whose registers lead to other devices, which a peek does not follow.
const LEAD_ELSEWHERE: &[&str] = &["q35-pcihost"];

const SEEDS: std::ops::Range<u64> = 1..9;

/// Calls `check` with each device alone and with all on one board, and each seed.
fn for_each_board(check: impl Fn(&[&'static DeviceSpec], u64)) {
    for seed in SEEDS {
        for spec in DEVICES {
            check(std::slice::from_ref(spec), seed);
        }
        check(DEVICES, seed);
    }
}

/// Who is under test, for messages.
fn label(specs: &[&'static DeviceSpec], seed: u64) -> String {
    let names: Vec<_> = specs.iter().map(|spec| spec.name).collect();
    format!("{}, seed {seed}", names.join(" + "))
}

/// Fails with what differs between two states of a board.
fn assert_same(expected: &BoardState, found: &BoardState, whose: &str) {
    for (expected, found) in expected.devices.iter().zip(&found.devices) {
        assert_eq!(expected, found, "{whose}: state of a device");
    }
    assert_eq!(expected.timers, found.timers, "{whose}: timers");
    assert_eq!(expected.lines, found.lines, "{whose}: lines");
    assert!(expected == found, "{whose}: another part of the board");
}

/// A rig after `steps` random steps.
fn used(specs: &[&'static DeviceSpec], seed: u64, steps: usize) -> (Rig, Random) {
    let (mut rig, mut random) = (Rig::new(specs, seed), Random::new(seed));
    rig.enable_interrupts();
    for _ in 0..steps {
        let step = rig.choose(&mut random);
        rig.take(&step);
    }
    (rig, random)
}

#[test]
fn constructed_is_reset() {
    for_each_board(|specs, seed| {
        let mut rig = Rig::new(specs, seed);
        let constructed = rig.board.save();
        rig.board.reset_devices();
        assert_same(&constructed, &rig.board.save(), &label(specs, seed));
    });
}

/// Restores again and again, as what is half done at one moment is soon done with, and then once more for good.
#[test]
fn a_restored_device_has_the_future_of_the_original() {
    for_each_board(|specs, seed| {
        let whose = label(specs, seed);
        let (mut original, mut random) = used(specs, seed, 1000);
        let mut restored = Rig::new(specs, seed);
        restored.copy_memory(&original);
        for steps in std::iter::repeat_n(8, 250).chain([1000]) {
            restored.board.load(&original.board.save()).unwrap_or_else(|error| panic!("{whose}: {error}"));
            for number in 0..steps {
                let step = original.choose(&mut random);
                assert_eq!(original.take(&step), restored.take(&step), "{whose}: step {number} of {step:x?}");
            }
        }
        assert_same(&original.board.save(), &restored.board.save(), &whose);
        assert!(original.memory() == restored.memory(), "{whose}: memory");
        assert!(original.disks() == restored.disks(), "{whose}: disks");
    });
}

#[test]
fn restoring_has_no_effects() {
    for_each_board(|specs, seed| {
        let whose = label(specs, seed);
        let (mut rig, _) = used(specs, seed, 500);
        let (other, _) = used(specs, seed + 100, 500);
        let saved = other.board.save();
        rig.board.take_leave();
        let (memory, seen) = (rig.memory(), rig.line_changes());
        rig.board.load(&saved).unwrap_or_else(|error| panic!("{whose}: {error}"));
        assert_same(&saved, &rig.board.save(), &whose);
        assert_eq!(rig.board.outputs, [], "{whose}: outputs");
        assert_eq!(rig.line_changes(), seen, "{whose}: lines moved");
        assert!(!rig.board.leave_requested(), "{whose}: an exit was asked for");
        assert!(rig.memory() == memory, "{whose}: memory");
    });
}

/// Compared with a board that nothing happened to, at the same tick: some registers count from the last reset.
#[test]
fn reset_is_power_on() {
    for_each_board(|specs, seed| {
        let whose = label(specs, seed);
        let (mut rig, _) = used(specs, seed, 1000);
        rig.lower_lines();
        rig.board.reset_devices();
        let found = rig.board.save();
        rig.board.reset_devices();
        assert_same(&found, &rig.board.save(), &format!("{whose}: a second reset"));
        let mut fresh = Rig::new(specs, seed);
        fresh.board.now = rig.board.now;
        fresh.board.reset_devices();
        assert_same(&without_kept(fresh.board.save()), &without_kept(found), &whose);
    });
}

/// The state of a board without the devices that a reset does not put into their state after power-on.
fn without_kept(mut state: BoardState) -> BoardState {
    state.devices.retain(|(name, _)| !KEEP_STATE_OVER_RESET.contains(&name.as_str()) && name != rig::WITNESS);
    state
}

#[test]
fn peeking_changes_nothing_and_shows_what_a_read_returns() {
    for_each_board(|specs, seed| {
        let whose = label(specs, seed);
        let (mut rig, mut random) = used(specs, seed, 500);
        for _ in 0..500 {
            let before = rig.board.save();
            let (space, address) = rig.choose_address(&mut random);
            for size in [2, 4, 8] {
                rig.board.peek(space, address, size);
            }
            let peeked = rig.board.peek(space, address, 1);
            assert_same(&before, &rig.board.save(), &whose);
            let read = rig.board.read(space, address, 1);
            if !rig.owner(space, address).is_some_and(|name| LEAD_ELSEWHERE.contains(&name)) {
                assert_eq!(peeked, read, "{whose}: {space:?} {address:#x}");
            }
            let step = rig.choose(&mut random);
            rig.take(&step);
        }
    });
}

#[test]
fn hostile_guests_reach_no_further_than_ram() {
    for_each_board(|specs, seed| {
        let (mut rig, mut random) = used(specs, seed, 0);
        for _ in 0..5000 {
            let step = rig.choose_hostile(&mut random);
            rig.take(&step);
        }
        let window = rig.board.ram.slice(VGA_WINDOW.start, (VGA_WINDOW.end - VGA_WINDOW.start) as usize);
        let untouched = window.expect("it is inside RAM").iter().all(|&byte| byte == 0);
        assert!(untouched, "{}: memory under the video window", label(specs, seed));
    });
}

#[test]
fn damaged_state_is_refused_or_harmless() {
    for_each_board(|specs, seed| {
        let whose = label(specs, seed);
        let (rig, mut random) = used(specs, seed, 300);
        let saved = rig.board.save();
        let mut victim = Rig::new(specs, seed);
        for _ in 0..200 {
            let mut damaged = saved.clone();
            let device = random.below(saved.devices.len() as u64) as usize;
            damage(&mut damaged.devices[device].1, &mut random);
            let before = victim.board.save();
            if victim.board.load(&damaged).is_err() {
                assert_same(&before, &victim.board.save(), &whose);
                continue;
            }
            for _ in 0..20 {
                let step = victim.choose_hostile(&mut random);
                victim.take(&step);
            }
        }
    });
}

/// Cuts saved state short, makes it longer, or changes some of its bytes.
fn damage(state: &mut Vec<u8>, random: &mut Random) {
    match random.below(4) {
        0 => state.truncate(random.below(state.len() as u64 + 1) as usize),
        1 => state.push(random.next() as u8),
        _ => {
            for _ in 0..=random.below(4) {
                let at = random.below(state.len() as u64 + 1) as usize;
                if let Some(byte) = state.get_mut(at) {
                    *byte = random.value() as u8;
                }
            }
        }
    }
}
