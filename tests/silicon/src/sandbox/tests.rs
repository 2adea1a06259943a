use super::*;

const DIVIDE_ERROR: u8 = 0;
const BREAKPOINT: u8 = 3;
const INVALID_OPCODE: u8 = 6;
const GENERAL_PROTECTION: u8 = 13;
const X87_ERROR: u8 = 16;
const SIMD_ERROR: u8 = 19;
const CF: u64 = 1;
const ZF: u64 = 1 << 6;

struct Run {
    silicon: Silicon,
    state: UserState,
    data: Vec<u8>,
}

impl Run {
    fn new() -> Self {
        let mut state = UserState::new(CODE_BASE);
        state.gpr[4] = DATA_BASE + 0x2000;
        Self { silicon: Silicon::new().expect("the sandbox starts"), state, data: vec![0; DATA_LEN] }
    }

    fn run(&mut self, code: &[u8]) -> Outcome {
        self.silicon.run(code, &self.state, &mut self.data)
    }

    fn done(&mut self, code: &[u8]) -> UserState {
        match self.run(code) {
            Outcome::Done(state) => state,
            other => panic!("{code:02x?}: {}", crate::compare::ending(&other)),
        }
    }

    fn fault(&mut self, code: &[u8]) -> Fault {
        match self.run(code) {
            Outcome::Fault(fault) => fault,
            other => panic!("{code:02x?}: {}", crate::compare::ending(&other)),
        }
    }
}

#[test]
fn nothing_changes_nothing() {
    let mut run = Run::new();
    for register in 0..16 {
        run.state.gpr[register] = 0x0123_4567_89ab_cd00 | register as u64;
        run.state.set_xmm(register, u128::MAX / (register as u128 + 1));
    }
    run.state.rflags = UserState::sane_rflags(0x8d5);
    run.state.set_mxcsr(0x7fa0);
    run.state.set_fcw(0x0c7f);
    run.state.set_ftw(0xff);
    run.state.set_st(3, [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
    let mut before = run.state.clone();
    let mut after = run.done(&[]);
    before.clear_processor_specific();
    after.clear_processor_specific();
    assert!(before == after);
}

#[test]
fn upper_halves_go_in_and_come_out() {
    if !crate::has_v3() {
        return;
    }
    let mut run = Run::new();
    run.state.high = std::array::from_fn(|register| u128::MAX / (register as u128 + 1));
    assert_eq!(run.done(&[0x90]).high, run.state.high);
    assert_eq!(run.fault(&[0x0f, 0x0b]).state.high, run.state.high, "from the signal's frame");
    // vzeroupper; ud2
    assert_eq!(run.fault(&[0xc5, 0xf8, 0x77, 0x0f, 0x0b]).state.high, [0; 16]);
}

#[test]
fn arithmetic_sets_registers_and_flags() {
    let mut run = Run::new();
    run.state.gpr[0] = u64::MAX;
    run.state.gpr[1] = 1;
    // add rax, rcx
    let after = run.done(&[0x48, 0x01, 0xc8]);
    assert_eq!(after.gpr[0], 0);
    assert_eq!(after.rflags & (CF | ZF), CF | ZF);
    assert_eq!(after.rip, CODE_BASE + 3);
}

#[test]
fn memory_is_written_and_the_stack_is_the_sequences() {
    let mut run = Run::new();
    run.state.gpr[0] = 0x1122_3344_5566_7788;
    // push rax; pop rbx
    let after = run.done(&[0x50, 0x5b]);
    assert_eq!(after.gpr[3], 0x1122_3344_5566_7788);
    assert_eq!(run.data[0x1ff8..0x2000], 0x1122_3344_5566_7788_u64.to_le_bytes());
}

#[test]
fn a_page_fault_has_address_error_code_and_rip() {
    let mut run = Run::new();
    run.state.gpr[6] = DATA_BASE + DATA_LEN as u64 - 4;
    // nop; mov [rsi], rax
    let fault = run.fault(&[0x90, 0x48, 0x89, 0x06]);
    assert_eq!(fault.vector, PAGE_FAULT as u8);
    assert_eq!(fault.address, Some(DATA_BASE + DATA_LEN as u64));
    assert_eq!(fault.error_code, 6, "a user-mode write to a page that is not there");
    assert_eq!(fault.state.rip, CODE_BASE + 1);
    assert_eq!(fault.state.gpr[6], run.state.gpr[6]);
}

#[test]
fn the_code_page_cannot_be_written_nor_data_executed() {
    let mut run = Run::new();
    run.state.gpr[6] = CODE_BASE;
    assert_eq!(run.fault(&[0x48, 0x89, 0x06]).error_code, 7, "mov [rsi], rax");
    run.state.gpr[6] = DATA_BASE;
    let fault = run.fault(&[0xff, 0xe6]);
    assert_eq!((fault.error_code, fault.state.rip), (0x15, DATA_BASE), "jmp rsi");
}

#[test]
fn every_kind_of_exception_is_told_apart() {
    let mut run = Run::new();
    run.state.gpr[3] = 1 << 63;
    let vector = |run: &mut Run, code: &[u8]| run.fault(code).vector;
    assert_eq!(vector(&mut run, &[0xf7, 0xf1]), DIVIDE_ERROR, "div ecx");
    assert_eq!(vector(&mut run, &[0x0f, 0x0b]), INVALID_OPCODE, "ud2");
    assert_eq!(vector(&mut run, &[0x8b, 0x03]), GENERAL_PROTECTION, "mov eax, [rbx]");
    assert_eq!(vector(&mut run, &[0xf4]), GENERAL_PROTECTION, "hlt");
    run.state.set_mxcsr(0);
    assert_eq!(vector(&mut run, &[0x0f, 0x5e, 0xc0]), SIMD_ERROR, "divps");
    run.state.set_fcw(0x0340);
    // fldz; fldz; fdivp; fwait
    let divide = [0xd9, 0xee, 0xd9, 0xee, 0xde, 0xf9, 0x9b];
    assert_eq!(vector(&mut run, &divide), X87_ERROR);
}

#[test]
fn a_jump_past_the_end_meets_a_breakpoint() {
    let mut run = Run::new();
    let fault = run.fault(&[0xeb, 0x10]);
    assert_eq!(fault.vector, BREAKPOINT);
    assert_eq!(fault.state.rip, CODE_BASE + 0x13);
}

#[test]
fn a_sequence_that_does_not_end_is_ended() {
    let mut run = Run::new();
    assert!(run.run(&[0xeb, 0xfe]) == Outcome::Endless);
    run.done(&[0x90]);
}

#[test]
fn the_hosts_own_state_survives() {
    let mut run = Run::new();
    run.state.set_fcw(0x0c7f);
    run.state.set_mxcsr(0xffbf);
    run.state.rflags = UserState::sane_rflags(0xcd5);
    run.done(&[0x90]);
    run.fault(&[0x0f, 0x0b]);
    // A wrong rounding mode or a flush to zero would show.
    let third = std::hint::black_box(1.0f64) / std::hint::black_box(3.0);
    assert_eq!(third.to_bits(), 0x3fd5_5555_5555_5555);
    let denormal = std::hint::black_box(f64::MIN_POSITIVE) / std::hint::black_box(2.0);
    assert!(denormal != 0.0);
    // A direction flag left set would copy backwards.
    let copied = std::hint::black_box(&run.data[..]).to_vec();
    assert_eq!(copied, run.data);
}

#[test]
fn a_second_sandbox_follows_the_first() {
    for _ in 0..3 {
        Run::new().done(&[0x90]);
    }
}
