//! Flags that the manuals leave undefined, against the processor that runs the tests.
//!
//! The comparison of random sequences (`cpu_silicon.rs`) leaves them out. Our answers for bit manipulation are those of
//! Intel's processors (`core/src/cpu/undefined.rs`); on another's, or one without BMI, there is nothing to compare with.
#![cfg(target_arch = "x86_64")]

use reprise_silicon::generate::{Case, Generator, Random};
use reprise_silicon::{Outcome, STATUS_FLAGS, Silicon, has_v3};
use reprise_tests::virtual_processor::VirtualProcessor;

/// Instructions from RCX and RDX, or parts of them, to RAX.
const INSTRUCTIONS: [(&str, &[u8]); 20] = [
    ("andn eax, ecx, edx", &[0xc4, 0xe2, 0x70, 0xf2, 0xc2]),
    ("andn rax, rcx, rdx", &[0xc4, 0xe2, 0xf0, 0xf2, 0xc2]),
    ("bextr eax, edx, ecx", &[0xc4, 0xe2, 0x70, 0xf7, 0xc2]),
    ("bextr rax, rdx, rcx", &[0xc4, 0xe2, 0xf0, 0xf7, 0xc2]),
    ("blsi eax, edx", &[0xc4, 0xe2, 0x78, 0xf3, 0xda]),
    ("blsi rax, rdx", &[0xc4, 0xe2, 0xf8, 0xf3, 0xda]),
    ("blsmsk eax, edx", &[0xc4, 0xe2, 0x78, 0xf3, 0xd2]),
    ("blsmsk rax, rdx", &[0xc4, 0xe2, 0xf8, 0xf3, 0xd2]),
    ("blsr eax, edx", &[0xc4, 0xe2, 0x78, 0xf3, 0xca]),
    ("blsr rax, rdx", &[0xc4, 0xe2, 0xf8, 0xf3, 0xca]),
    ("bzhi eax, edx, ecx", &[0xc4, 0xe2, 0x70, 0xf5, 0xc2]),
    ("bzhi rax, rdx, rcx", &[0xc4, 0xe2, 0xf0, 0xf5, 0xc2]),
    ("lzcnt ax, dx", &[0x66, 0xf3, 0x0f, 0xbd, 0xc2]),
    ("lzcnt eax, edx", &[0xf3, 0x0f, 0xbd, 0xc2]),
    ("lzcnt rax, rdx", &[0xf3, 0x48, 0x0f, 0xbd, 0xc2]),
    ("tzcnt ax, dx", &[0x66, 0xf3, 0x0f, 0xbc, 0xc2]),
    ("tzcnt eax, edx", &[0xf3, 0x0f, 0xbc, 0xc2]),
    ("tzcnt rax, rdx", &[0xf3, 0x48, 0x0f, 0xbc, 0xc2]),
    ("popcnt eax, edx", &[0xf3, 0x0f, 0xb8, 0xc2]),
    ("popcnt rax, rdx", &[0xf3, 0x48, 0x0f, 0xb8, 0xc2]),
];

fn is_intel() -> bool {
    let leaf = core::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx] == [0x756e_6547, 0x4965_6e69, 0x6c65_746e]
}

/// Flags and RAX after a sequence.
fn result(outcome: Outcome) -> (u64, u64) {
    let Outcome::Done(state) = outcome else { panic!("the sequence did not end") };
    (state.rflags & STATUS_FLAGS, state.gpr[0])
}

fn operand(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.next() >> random.below(64),
        1 => random.next() << random.below(64),
        2 => random.below(0x4142),
        _ => random.pick(&[0, 1, 1 << 31, 1 << 63, u64::MAX, 0xffff_ffff, 0xffff_0000]),
    }
}

#[test]
fn flags_of_bit_manipulation_are_those_of_intel_processors() {
    if !is_intel() || !has_v3() {
        return;
    }
    let mut case: Case = Generator::new().case(0, None);
    let mut data = case.data.clone();
    let mut silicon = Silicon::new().expect("the sandbox can be set up");
    let mut processor = VirtualProcessor::new();
    let mut random = Random::new(1);
    for (name, code) in INSTRUCTIONS {
        case.code = code.to_vec();
        for _ in 0..2_000 {
            case.state.gpr[1] = operand(&mut random);
            case.state.gpr[2] = operand(&mut random);
            case.state.rflags = random.next() & STATUS_FLAGS;
            let expected = result(silicon.run(code, &case.state, &mut data));
            let found = result(processor.run(&case, &mut data));
            assert_eq!(found, expected, "{name} of {:#x?} and {:#x?}", case.state.gpr[1], case.state.gpr[2]);
        }
    }
}
