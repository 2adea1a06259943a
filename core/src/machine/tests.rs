use super::snapshot::Parts;
use super::*;
use crate::door::Script;
use crate::interp::Interpreter;

/// A machine whose first vCPU jumps to itself for ever.
fn spinning(cpus: usize) -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(Board::new(1 << 20, cpus).unwrap(), model, Box::new(Interpreter::new(model)));
    let mut cpu = CpuState::new(0, model);
    cpu.segs[crate::cpu::seg::CS] = crate::cpu::Segment::real_mode_code(0x100);
    cpu.regs.set_rip(0);
    machine.set_boot(BootImage { memory: vec![(0x1000, vec![0xeb, 0xfe])], cpu });
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
    let changes: [(fn(&mut Machine), &str); 5] = [
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
