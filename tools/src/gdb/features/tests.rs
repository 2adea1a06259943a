use super::*;
use reprise_core::interp::Interpreter;
use reprise_core::machine::Machine;

fn model(name: &str) -> &'static Model {
    Model::find(name).unwrap()
}

fn machine() -> Machine {
    let model = model("x86-64-v3");
    let mut machine = Machine::new(Board::new(1 << 20, 2).unwrap(), model, Box::new(Interpreter::new(model)));
    let cpu = &mut machine.cpus[1];
    for number in 0..16 {
        cpu.regs.set(number, 0x1111_1111_1111_1111 * u64::from(number));
        cpu.vectors[usize::from(number)].low = u128::from(number) << 64;
        cpu.vectors[usize::from(number)].high = u128::from(number) << 100;
    }
    cpu.cr2 = 0xdead_beef;
    cpu.msrs.kernel_gs_base = 0xffff_8880_0000_0000;
    machine
}

/// The numbers and widths that gdb assumes of an x86-64 CPU of which it has no description.
#[test]
fn the_first_registers_are_numbered_as_gdb_numbers_them() {
    let table = table(model(Model::DEFAULT));
    let place = |name: &str| table.iter().position(|entry| entry.name == name);
    for (name, number) in [
        ("rax", 0),
        ("rbx", 1),
        ("rcx", 2),
        ("rdx", 3),
        ("rsi", 4),
        ("rdi", 5),
        ("rbp", 6),
        ("rsp", 7),
        ("r8", 8),
        ("r15", 15),
        ("rip", 16),
        ("eflags", 17),
        ("cs", 18),
        ("gs", 23),
        ("st0", 24),
        ("fctrl", 32),
        ("fop", 39),
        ("xmm0", 40),
        ("mxcsr", 56),
        ("fs_base", 57),
    ] {
        assert_eq!(place(name), Some(number), "{name}");
    }
    let bytes: usize = table[..57].iter().map(|entry| entry.bytes).sum();
    assert_eq!(bytes, 17 * 8 + 7 * 4 + 80 + 8 * 4 + 16 * 16 + 4);
}

#[test]
fn vector_registers_of_256_bits_are_there_where_the_model_has_them() {
    let (v2, v3) = (Features::new(model("x86-64-v2")), Features::new(model("x86-64-v3")));
    assert_eq!((v2.registers.len(), v3.registers.len()), (66, 82));
    assert!(!v2.description(b"target.xml").unwrap().contains("avx"));
    assert!(v3.description(b"target.xml").unwrap().contains("<reg name=\"ymm15h\" bitsize=\"128\""));
    assert_eq!((v2.description(b"other.xml"), v2.slot(66), v2.register(66)), (None, None, None));
}

#[test]
fn every_register_is_described_once_under_its_number() {
    for model in reprise_core::cpu::model::MODELS {
        let (text, table) = (xml(model), table(model));
        assert_eq!(text.matches("<reg ").count(), table.len());
        for (number, entry) in table.iter().enumerate() {
            let start = format!("<reg name=\"{}\" bitsize=\"{}\"", entry.name, 8 * entry.bytes);
            let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
            assert!(line.contains(&format!("regnum=\"{number}\"")), "{line}");
        }
    }
}

#[test]
fn types_are_defined_in_the_feature_that_uses_them() {
    let predefined = ["int", "int32", "int64", "uint128", "code_ptr", "data_ptr", "i387_ext"];
    let text = xml(model("x86-64-v3"));
    for feature in text.split("<feature ").skip(1) {
        for kind in feature.split("<reg ").skip(1).filter_map(|reg| reg.split("type=\"").nth(1)?.split('"').next()) {
            let defined = predefined.contains(&kind) || feature.contains(&format!("id=\"{kind}\""));
            assert!(defined, "{kind} is not defined");
        }
    }
}

#[test]
fn values_are_those_of_the_vcpu() {
    let (machine, features) = (machine(), Features::new(model("x86-64-v3")));
    let read = |number| features.read(&machine.cpus[1], &machine.board, number).unwrap();
    assert_eq!(read(1), [0x33; 8], "rbx");
    assert_eq!(read(18), [0, 0xf0, 0, 0], "cs");
    assert_eq!(read(41)[8], 1, "xmm1");
    assert_eq!(read(59), 0xffff_8880_0000_0000u64.to_le_bytes(), "k_gs_base");
    assert_eq!(read(61), 0xdead_beefu64.to_le_bytes(), "cr2");
    assert_eq!(read(68)[12], 0x20, "ymm2h");
    assert_eq!(features.read(&machine.cpus[1], &machine.board, 82), None);
    let number = |number: usize| features.slot(number).unwrap().number(&machine.cpus[1], &machine.board);
    assert_eq!((number(5), number(18), number(41)), (Some(0x7777_7777_7777_7777), Some(0xf000), None));
    let all = features.read_all(&machine.cpus[1], &machine.board);
    let apart: Vec<_> = (0..features.registers.len()).flat_map(read).collect();
    assert_eq!((all.len(), all), (features.total(), apart));
}

#[test]
fn only_what_can_be_written_is() {
    let features = Features::new(model("x86-64-v2"));
    assert_eq!(features.write(7, &[1, 2, 0, 0, 0, 0, 0, 0]), Some((Register::General(4), 0x201)));
    assert_eq!(features.write(7, &[1, 2]), None, "too short");
    assert_eq!(features.write(7, &[0; 9]), None, "too long");
    assert_eq!(features.write(24, &[0xff; 10]), Some((Register::St(0), (1 << 80) - 1)));
    for number in [18, 57, 60, 63, 66, usize::MAX] {
        assert_eq!(features.write(number, &[0; 8]), None, "register {number}");
    }
}

#[test]
fn writing_all_registers_changes_those_that_differ() {
    let (machine, features) = (machine(), Features::new(model("x86-64-v3")));
    let (cpu, board) = (&machine.cpus[1], &machine.board);
    let mut all = features.read_all(cpu, board);
    assert_eq!(features.write_all(cpu, board, &all), Some(vec![]));
    all[8] = 9;
    all[17 * 8] ^= 1;
    let changes = vec![(Register::General(3), 0x3333_3333_3333_3309), (Register::Flags, 3)];
    assert_eq!(features.write_all(cpu, board, &all), Some(changes));
    assert_eq!(features.write_all(cpu, board, &all[1..]), None, "too short");
    all[17 * 8 + 4] ^= 1;
    assert_eq!(features.write_all(cpu, board, &all), None, "cs");
}
