//! RCPPS and RSQRTPS against the processor that runs the tests.
//!
//! The manual leaves their bits open, so that the comparison of random sequences (`cpu_silicon.rs`) leaves them out. Our
//! answers are those of Intel's processors; on another's the test has nothing to compare with.
#![cfg(target_arch = "x86_64")]

use reprise_silicon::generate::{Case, Generator, Random};
use reprise_silicon::{Outcome, Silicon, has_v3};
use reprise_tests::virtual_processor::VirtualProcessor;

/// `rcpps xmm0, xmm0; rsqrtps xmm1, xmm1; rcpss xmm2, xmm3; rsqrtss xmm4, xmm5`
const LEGACY: &[u8] = &[0x0f, 0x53, 0xc0, 0x0f, 0x52, 0xc9, 0xf3, 0x0f, 0x53, 0xd3, 0xf3, 0x0f, 0x52, 0xe5];
/// `vrcpps ymm0, ymm0; vrsqrtps ymm1, ymm1; vrcpss xmm2, xmm1, xmm3; vrsqrtss xmm4, xmm3, xmm5`
const VEX: &[u8] = &[0xc5, 0xfc, 0x53, 0xc0, 0xc5, 0xfc, 0x52, 0xc9, 0xc5, 0xf2, 0x53, 0xd3, 0xc5, 0xe2, 0x52, 0xe5];

fn is_intel() -> bool {
    let leaf = core::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx] == [0x756e_6547, 0x4965_6e69, 0x6c65_746e]
}

/// Both processors on the same operands.
struct Pair {
    silicon: Silicon,
    processor: VirtualProcessor,
    case: Case,
    data: Vec<u8>,
}

impl Pair {
    fn new(code: &[u8]) -> Self {
        let mut case = Generator::new().case(0, None);
        case.code = code.to_vec();
        let data = case.data.clone();
        Self {
            silicon: Silicon::new().expect("the sandbox can be set up"),
            processor: VirtualProcessor::new(),
            case,
            data,
        }
    }

    /// The results for four operands each, and the same in the upper halves.
    fn check(&mut self, operands: [u32; 4]) {
        let vector = operands.iter().rev().fold(0, |vector, &operand| vector << 32 | u128::from(operand));
        for register in 0..6 {
            self.case.state.set_xmm(register, vector);
            if has_v3() {
                self.case.state.high[register] = vector.rotate_left(64);
            }
        }
        let expected = self.silicon.run(&self.case.code, &self.case.state, &mut self.data);
        let found = self.processor.run(&self.case, &mut self.data);
        let (Outcome::Done(expected), Outcome::Done(found)) = (expected, found) else {
            panic!("the sequence did not end");
        };
        let results =
            |state: &reprise_silicon::UserState| ([0, 1, 2, 4].map(|n| [state.xmm(n), state.high[n]]), state.mxcsr());
        assert_eq!(results(&found), results(&expected), "of {operands:08x?}");
    }
}

#[test]
fn approximations_are_those_of_intel_processors() {
    if !is_intel() {
        println!("skipped: the host's processor is not Intel's");
        return;
    }
    compare(LEGACY);
    if has_v3() {
        compare(VEX);
    } else {
        println!("skipped: the host's processor has not all of x86-64-v3, so the VEX forms are left out");
    }
}

fn compare(code: &[u8]) {
    let mut pair = Pair::new(code);
    // Both sides of every step, at an even and at an odd exponent.
    for step in 0..2048u32 {
        let at = |exponent: u32, offset: u32| exponent << 23 | step << 12 | offset;
        pair.check([at(127, 0), at(127, 0xfff), at(128, 0), at(128, 0xfff)]);
    }
    for exponent in 0..=255u32 {
        let at = |sign: u32, fraction: u32| sign << 31 | exponent << 23 | fraction;
        pair.check([at(0, 0), at(1, 0), at(0, 0x7f_ffff), at(1, 1)]);
    }
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        pair.check(std::array::from_fn(|_| random.next() as u32));
    }
}
