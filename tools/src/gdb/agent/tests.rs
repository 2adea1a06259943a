use super::*;
use reprise_core::cpu::Model;
use reprise_core::interp::Interpreter;
use reprise_core::machine::Machine;

fn machine() -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(Board::new(1 << 20, 1).unwrap(), model, Box::new(Interpreter::new(model)));
    machine.board.dma_write(0x1000, &0x8877_6655_4433_2211u64.to_le_bytes());
    machine.cpus[0].regs.set(7, 0x1000);
    machine
}

fn compile(bytes: &[u8]) -> Result<Expression, Invalid> {
    Expression::compile(bytes, &Features::new(Model::find(Model::DEFAULT).unwrap()))
}

fn value(bytes: &[u8]) -> Option<u64> {
    let machine = machine();
    let cpu = &machine.cpus[0];
    compile(bytes).unwrap().evaluate(cpu, &machine.board, &View::new(cpu, &machine.board))
}

/// The value of `a b op`.
fn of_two(a: u64, b: u64, op: u8) -> Option<u64> {
    value(&[&[0x25], &a.to_be_bytes()[..], &[0x25], &b.to_be_bytes(), &[op, 0x27]].concat())
}

#[test]
fn arithmetic_is_that_of_64_bits() {
    let minus = |n: u64| n.wrapping_neg();
    for (op, a, b, expected) in [
        (0x02, u64::MAX, 2, 1),
        (0x03, 1, 2, u64::MAX),
        (0x04, 1 << 63, 2, 0),
        (0x05, minus(7), 2, minus(3)),
        (0x05, 1 << 63, minus(1), 1 << 63),
        (0x06, minus(7), 2, 0x7fff_ffff_ffff_fffc),
        (0x07, minus(7), 2, minus(1)),
        (0x07, 1 << 63, minus(1), 0),
        (0x08, 7, 4, 3),
        (0x09, 3, 63, 1 << 63),
        (0x09, 3, 64, 0),
        (0x0a, minus(8), 1, minus(4)),
        (0x0a, minus(8), 1 << 40, minus(1)),
        (0x0b, minus(8), 60, 15),
        (0x0b, minus(8), 64, 0),
        (0x0f, 12, 10, 8),
        (0x10, 12, 10, 14),
        (0x11, 12, 10, 6),
        (0x13, 5, 5, 1),
        (0x14, minus(1), 0, 1),
        (0x15, minus(1), 0, 0),
        (0x15, 3, 4, 1),
    ] {
        assert_eq!(of_two(a, b, op), Some(expected), "opcode {op:#x}, {a:#x} and {b:#x}");
    }
    for division in 5..=8 {
        assert_eq!(of_two(1, 0, division), None);
    }
}

#[test]
fn the_stack_is_rearranged_as_the_manual_says() {
    let three = [0x22, 1, 0x22, 2, 0x22, 3];
    let with = |ops: &[u8]| value(&[&three[..], ops, &[0x27]].concat());
    assert_eq!(with(&[]), Some(3));
    assert_eq!(with(&[0x29]), Some(2), "pop");
    assert_eq!(with(&[0x2b]), Some(2), "swap");
    assert_eq!(with(&[0x2b, 0x29]), Some(3), "swap, pop");
    assert_eq!(with(&[0x28, 0x29, 0x29]), Some(2), "dup, pop, pop");
    assert_eq!(with(&[0x32, 0]), Some(3), "pick 0");
    assert_eq!(with(&[0x32, 2]), Some(1), "pick 2");
    assert_eq!(with(&[0x32, 3]), None, "pick 3");
    // a b c -> c a b
    assert_eq!(with(&[0x33]), Some(2), "rot");
    assert_eq!(with(&[0x33, 0x29]), Some(1), "rot, pop");
    assert_eq!(with(&[0x33, 0x29, 0x29]), Some(3), "rot, pop, pop");
}

#[test]
fn constants_and_widths() {
    assert_eq!(value(&[0x22, 0x80, 0x27]), Some(0x80));
    assert_eq!(value(&[0x23, 0x12, 0x34, 0x27]), Some(0x1234));
    assert_eq!(value(&[0x24, 0xff, 0, 0, 1, 0x27]), Some(0xff00_0001));
    assert_eq!(value(&[0x22, 0x80, 0x16, 8, 0x27]), Some(0x80u64.wrapping_neg()));
    assert_eq!(value(&[0x22, 0x80, 0x16, 64, 0x27]), Some(0x80));
    assert_eq!(value(&[0x23, 0x12, 0x34, 0x2a, 8, 0x27]), Some(0x34));
    assert_eq!(value(&[0x22, 0, 0x0e, 0x27]), Some(1));
    assert_eq!(value(&[0x22, 0, 0x12, 0x27]), Some(u64::MAX));
}

#[test]
fn registers_and_memory_are_those_of_the_vcpu() {
    // RDI is number 5.
    assert_eq!(value(&[0x26, 0, 5, 0x27]), Some(0x1000));
    for (opcode, expected) in [(0x17, 0x11), (0x18, 0x2211), (0x19, 0x4433_2211), (0x1a, 0x8877_6655_4433_2211)] {
        assert_eq!(value(&[0x26, 0, 5, opcode, 0x27]), Some(expected));
    }
    // Of CS there are 32 bits.
    assert_eq!(value(&[0x26, 0, 18, 0x27]), Some(0xf000));
    // XMM0 is no number.
    assert_eq!(value(&[0x26, 0, 40, 0x27]), None);
}

#[test]
fn jumps_go_to_instructions() {
    // 0: const8 1, 2: if_goto 8, 5: const8 5, 7: end, 8: const8 6, 10: end
    let code = |condition| [0x22, condition, 0x20, 0, 8, 0x22, 5, 0x27, 0x22, 6, 0x27];
    assert_eq!((value(&code(0)), value(&code(1))), (Some(5), Some(6)));
    assert_eq!(compile(&[0x21, 0, 1, 0x27]), Err(Invalid::Target(1)));
    assert_eq!(compile(&[0x21, 0, 4, 0x27]), Err(Invalid::Target(4)));
}

#[test]
fn what_is_no_expression_is_refused() {
    assert_eq!(compile(&[0x22]), Err(Invalid::CutOff(1)));
    assert_eq!(compile(&[0x26, 0]), Err(Invalid::CutOff(1)));
    assert_eq!(compile(&[0x26, 1, 0]), Err(Invalid::Register(256)));
    assert_eq!(compile(&[0x16, 0]), Err(Invalid::Width(0)));
    assert_eq!(compile(&[0x2a, 65]), Err(Invalid::Width(65)));
    assert_eq!(compile(&vec![0x28; LENGTH_LIMIT + 1]), Err(Invalid::TooLong(LENGTH_LIMIT + 1)));
    // Floating point, tracing, trace state variables, printf, and none at all.
    for opcode in [0x00, 0x01, 0x0c, 0x0d, 0x1b, 0x1f, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x34, 0x35, 0xff] {
        assert_eq!(compile(&[0x22, 1, opcode, 0, 0, 0, 0]), Err(Invalid::Opcode { opcode, at: 2 }));
    }
}

#[test]
fn an_evaluation_ends() {
    assert_eq!(value(&[]), None, "nothing");
    assert_eq!(value(&[0x22, 1]), None, "no end");
    assert_eq!(value(&[0x27]), None, "an empty stack");
    assert_eq!(value(&[0x21, 0, 0]), None, "a loop");
    assert_eq!(value(&[0x22, 1, 0x21, 0, 0]), None, "a loop that fills the stack");
    assert_eq!(value(&[0x02, 0x27]), None, "operands that are not there");
}

#[test]
fn a_condition_that_cannot_be_evaluated_holds() {
    let machine = machine();
    let holds = |codes: &[&[u8]]| {
        AnyOf(codes.iter().map(|code| compile(code).unwrap()).collect()).holds(&machine.cpus[0], &machine.board)
    };
    let (no, yes, none): (&[u8], &[u8], &[u8]) = (&[0x22, 0, 0x27], &[0x22, 2, 0x27], &[0x27]);
    assert!(!holds(&[no]) && !holds(&[no, no]));
    assert!(holds(&[yes]) && holds(&[no, yes]) && holds(&[no, none]));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Whatever bytes come, they are refused, or evaluated to an end.
#[test]
fn random_bytes_do_no_harm() {
    let (machine, mut random) = (machine(), Random(5));
    let view = View::new(&machine.cpus[0], &machine.board);
    let (mut compiled, mut valued) = (0, 0);
    for _ in 0..20_000 {
        let mut code = [0x22, 7].repeat((random.next() % 5) as usize);
        code.extend((0..random.next() % 16).map(|_| (random.next() % 0x36) as u8));
        code.extend([0x27].repeat((random.next() % 2) as usize));
        let Ok(expression) = compile(&code) else { continue };
        compiled += 1;
        valued += usize::from(expression.evaluate(&machine.cpus[0], &machine.board, &view).is_some());
    }
    assert!(compiled > 1000 && valued > 200, "{compiled} of them were expressions, {valued} had a value");
}

/// `*(int *) ($rdi + 4) == 7`, as gdb compiles it.
#[test]
fn a_condition_that_never_holds_holds_for_no_evaluation() {
    let code = [0x26, 0, 5, 0x22, 4, 0x02, 0x19, 0x16, 32, 0x22, 7, 0x13, 0x27];
    let (machine, condition) = (machine(), AnyOf(vec![compile(&code).unwrap()]));
    let held = (0..100_000).filter(|_| condition.holds(&machine.cpus[0], &machine.board)).count();
    assert_eq!(held, 0);
}
