//! What two runs of one case disagree on.

use crate::generate::Case;
use crate::memory::{CODE_BASE, DATA_BASE, DATA_LEN};
use crate::state::{Fault, Outcome, STATUS_FLAGS, UserState};

const GPR_NAMES: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// An outcome and the data area it left.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// How the run ended.
    pub outcome: &'a Outcome,
    /// The data area afterwards.
    pub data: &'a [u8],
}

/// Every difference that means something, a line each; none if the runs agree.
///
/// Undefined flags, the ignored parts of memory and what is specific to a processor are left out, and all of a run that
/// did not end.
#[must_use]
pub fn differences(case: &Case, expected: Observed<'_>, found: Observed<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match (expected.outcome, found.outcome) {
        (Outcome::Endless, _) | (_, Outcome::Endless) => return lines,
        (Outcome::Done(expected), Outcome::Done(found)) => {
            compare_states(case, expected, found, &mut lines);
        }
        (Outcome::Fault(expected), Outcome::Fault(found)) => {
            compare_faults(expected, found, &mut lines);
            compare_states(case, &expected.state, &found.state, &mut lines);
        }
        (expected, found) => {
            lines.push(format!("end: expected {}, found {}", ending(expected), ending(found)));
            return lines;
        }
    }
    compare_data(case, expected.data, found.data, &mut lines);
    lines
}

/// One line that says how a run ended.
#[must_use]
pub fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(state) => format!("done at +{:#x}", state.rip.wrapping_sub(CODE_BASE)),
        Outcome::Fault(fault) => format!(
            "vector {} error code {:#x} address {:x?} at +{:#x}",
            fault.vector,
            fault.error_code,
            fault.address,
            fault.state.rip.wrapping_sub(CODE_BASE)
        ),
        Outcome::Endless => "endless".to_owned(),
    }
}

fn compare_faults(expected: &Fault, found: &Fault, lines: &mut Vec<String>) {
    let facts = |fault: &Fault| (fault.vector, fault.error_code, fault.address);
    if facts(expected) != facts(found) {
        lines.push(format!(
            "fault: expected {:x?}, found {:x?} (vector, error code, address)",
            facts(expected),
            facts(found)
        ));
    }
}

fn compare_states(case: &Case, expected: &UserState, found: &UserState, lines: &mut Vec<String>) {
    let mut word = |name: &str, expected: u64, found: u64| {
        if expected != found {
            lines.push(format!("{name}: expected {expected:#x}, found {found:#x}"));
        }
    };
    for (register, name) in GPR_NAMES.into_iter().enumerate() {
        word(name, expected.gpr[register], found.gpr[register]);
    }
    word("rip", expected.rip, found.rip);
    let defined = STATUS_FLAGS & !case.undefined_flags_at(expected.rip);
    word("rflags", expected.rflags & defined, found.rflags & defined);
    let (mut expected, mut found) = (expected.clone(), found.clone());
    expected.clear_processor_specific();
    found.clear_processor_specific();
    word("fcw", expected.fcw().into(), found.fcw().into());
    word("fsw", expected.fsw().into(), found.fsw().into());
    word("ftw", expected.ftw().into(), found.ftw().into());
    word("mxcsr", expected.mxcsr().into(), found.mxcsr().into());
    for i in 0..8 {
        compare_bytes(&format!("st{i}"), &expected.st(i), &found.st(i), lines);
    }
    for i in 0..16 {
        let (expected, found) = (expected.xmm(i).to_le_bytes(), found.xmm(i).to_le_bytes());
        compare_bytes(&format!("xmm{i}"), &expected, &found, lines);
    }
    for (i, (expected, found)) in expected.high.into_iter().zip(found.high).enumerate() {
        compare_bytes(&format!("upper half of ymm{i}"), &expected.to_le_bytes(), &found.to_le_bytes(), lines);
    }
}

fn compare_bytes(name: &str, expected: &[u8], found: &[u8], lines: &mut Vec<String>) {
    let hex = |bytes: &[u8]| bytes.iter().rev().map(|b| format!("{b:02x}")).collect::<String>();
    if expected != found {
        lines.push(format!("{name}: expected {}, found {}", hex(expected), hex(found)));
    }
}

fn compare_data(case: &Case, expected: &[u8], found: &[u8], lines: &mut Vec<String>) {
    const MOST_LINES: usize = 8;
    if expected == found {
        return;
    }
    let differs = |&at: &usize| expected[at] != found[at] && !case.ignored.iter().any(|range| range.contains(&at));
    for at in (0..DATA_LEN).filter(differs).take(MOST_LINES) {
        lines.push(format!(
            "byte at {:#x}: expected {:02x}, found {:02x}",
            DATA_BASE + at as u64,
            expected[at],
            found[at]
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Family, Generator};

    /// The lines for two runs that agree until `change` is made to the second.
    fn lines(case: &Case, change: impl FnOnce(&mut UserState, &mut [u8])) -> Vec<String> {
        let mut state = case.state.clone();
        state.rip = CODE_BASE + case.code.len() as u64;
        let mut data = case.data.clone();
        let expected = Outcome::Done(state.clone());
        change(&mut state, &mut data);
        let found = Outcome::Done(state);
        let expected = Observed { outcome: &expected, data: &case.data };
        let found = Observed { outcome: &found, data: &data };
        differences(case, expected, found)
    }

    fn shifting_case() -> Case {
        let generator = Generator::new();
        let mut cases = (0..).map(|seed| generator.case(seed, Some(Family::Shift)));
        let undefined = |case: &Case| case.undefined_flags_at(CODE_BASE + case.code.len() as u64);
        cases.find(|case| undefined(case) == 1 << 4).expect("shifts leave AF undefined")
    }

    #[test]
    fn what_means_something_is_reported() {
        let case = shifting_case();
        assert!(lines(&case, |_, _| ()).is_empty());
        assert!(lines(&case, |state, _| state.gpr[9] ^= 1)[0].starts_with("r9:"));
        assert!(lines(&case, |state, _| state.rflags ^= 1)[0].starts_with("rflags:"));
        assert!(lines(&case, |state, _| state.fx[32] ^= 1)[0].starts_with("st0:"));
        assert!(lines(&case, |state, _| state.fx[400] ^= 1)[0].starts_with("xmm15:"));
        assert!(lines(&case, |state, _| state.high[3] ^= 1)[0].starts_with("upper half of ymm3:"));
        assert!(lines(&case, |_, data| data[7] ^= 1)[0].starts_with("byte at 0x20100007"));
    }

    #[test]
    fn what_the_manuals_leave_open_is_not() {
        let case = shifting_case();
        assert!(lines(&case, |state, _| state.rflags ^= 1 << 4).is_empty());
        assert!(lines(&case, |state, _| state.fx[8] ^= 1).is_empty());
    }
}
