use super::*;
use crate::cpu::{Segment, seg};
use crate::door::Script;
use crate::interp::Interpreter;

/// A machine without devices that executes `code` in real mode.
fn machine(code: &[u8]) -> Machine {
    let model = Model::find(Model::DEFAULT).expect("the model exists");
    let board = Board::new(1 << 20, 1).expect("the host has a MiB");
    let mut cpu = CpuState::new(0, model);
    cpu.segs[seg::CS] = Segment::real_mode_code(0x100);
    cpu.regs.set_rip(0);
    let mut machine = Machine::new(board, model, Box::new(Interpreter::new(model))).expect("RAM is there");
    machine.set_boot(BootImage { memory: vec![(0x1000, code.to_vec())], cpu });
    machine
}

#[test]
fn a_reset_from_outside_comes_at_its_tick() {
    // jmp $
    let mut machine = machine(&[0xeb, 0xfe]);
    machine.set_no_reboot(true);
    assert_eq!(machine.run(&mut Script::new(vec![(5, HostInput::Reset)]), 100), End::Reset);
    assert_eq!(machine.now(), 5);
}
