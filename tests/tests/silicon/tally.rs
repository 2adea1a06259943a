//! Counts disagreements and shows the first.

use std::fmt::Debug;

/// The comparison of one instruction.
pub(super) struct Tally {
    name: String,
    cases: u32,
    wrong: u32,
}

impl Tally {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), cases: 0, wrong: 0 }
    }

    /// Compares our answer with the processor's.
    pub(super) fn check<T: PartialEq + Debug>(&mut self, input: impl Debug, ours: T, theirs: T) {
        self.cases += 1;
        if ours == theirs {
            return;
        }
        self.wrong += 1;
        if self.wrong <= 6 {
            eprintln!("{}: {input:x?}\n    ours      {ours:x?}\n    processor {theirs:x?}", self.name);
        }
    }

    /// Fails if there were disagreements, or if nothing was compared.
    pub(super) fn finish(self, failures: &mut Vec<String>) {
        if self.wrong > 0 || self.cases == 0 {
            failures.push(format!("{}: {} of {} cases differ", self.name, self.wrong, self.cases));
        }
    }
}
