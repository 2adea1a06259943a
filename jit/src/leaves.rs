//! Counts of what native code leaves for: it shows which instructions are worth a translation.

use crate::site::SiteKind;
use iced_x86::Mnemonic;
use std::fmt;

/// Instructions that are listed by name, at most.
const LISTED: usize = 40;

/// Why native code was left, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Budget,
    Interpret,
    Miss,
    Flags,
    LoadX87,
    Link,
    Jump,
}

impl Reason {
    const ALL: [(Self, &str); 7] = [
        (Self::Budget, "left: budget"),
        (Self::Interpret, "left: to interpret"),
        (Self::Miss, "left: TLB misses"),
        (Self::Flags, "left: flags"),
        (Self::LoadX87, "left: x87 loads"),
        (Self::Link, "left: new links"),
        (Self::Jump, "left: far jumps"),
    ];

    fn of(kind: SiteKind) -> Self {
        match kind {
            SiteKind::Budget => Self::Budget,
            SiteKind::Interpret(_) => Self::Interpret,
            SiteKind::Miss { .. } => Self::Miss,
            SiteKind::Flags => Self::Flags,
            SiteKind::LoadX87 => Self::LoadX87,
            SiteKind::Link(_) => Self::Link,
            SiteKind::Jump(_) => Self::Jump,
        }
    }
}

/// How often native code left, by reason, and what the interpreter executed one by one, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveCounts {
    reasons: [u64; Reason::ALL.len()],
    /// By the mnemonic's number; 0 is for instructions that cross a page.
    steps: Vec<u64>,
    /// Accesses that the interpreter executed because no translation of theirs may be cached.
    accesses: u64,
}

impl Default for LeaveCounts {
    fn default() -> Self {
        Self { reasons: Default::default(), steps: vec![0; Mnemonic::values().len()], accesses: 0 }
    }
}

impl LeaveCounts {
    /// Native code left.
    pub(crate) fn add(&mut self, kind: SiteKind) {
        self.reasons[Reason::of(kind) as usize] += 1;
        if let SiteKind::Interpret(mnemonic) = kind {
            self.add_step(mnemonic);
        }
    }

    /// An instruction is left to the interpreter.
    pub(crate) fn add_step(&mut self, mnemonic: Mnemonic) {
        self.steps[mnemonic as usize] += 1;
    }

    /// An access is left to the interpreter.
    pub(crate) fn add_access(&mut self) {
        self.accesses += 1;
    }

    /// Instructions that the interpreter executed, by name, the most frequent first.
    fn sorted(&self) -> Vec<(u64, String)> {
        let name = |mnemonic| match mnemonic {
            Mnemonic::INVALID => "crossing a page".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        let counts = Mnemonic::values().zip(&self.steps).filter(|(_, count)| **count > 0);
        let mut sorted: Vec<_> = counts.map(|(mnemonic, count)| (*count, name(mnemonic))).collect();
        sorted.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        sorted
    }
}

impl fmt::Display for LeaveCounts {
    /// Each line with a line break before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (reason, name) in Reason::ALL {
            write!(f, "\n{name:<20}{:>12}", self.reasons[reason as usize])?;
        }
        write!(f, "\n{:<20}{:>12}", "accesses stepped", self.accesses)?;
        let sorted = self.sorted();
        write!(f, "\n{:<20}{:>12}", "steps", sorted.iter().map(|(count, _)| count).sum::<u64>())?;
        for (count, name) in sorted.into_iter().take(LISTED) {
            write!(f, "\n  {name:<18}{count:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_listed_by_how_often_they_were() {
        let mut counts = LeaveCounts::default();
        for (mnemonic, times) in [(Mnemonic::Cpuid, 1), (Mnemonic::INVALID, 3), (Mnemonic::Cli, 2)] {
            (0..times).for_each(|_| counts.add_step(mnemonic));
        }
        counts.add(SiteKind::Interpret(Mnemonic::Cli));
        counts.add(SiteKind::Flags);
        let names: Vec<_> = counts.sorted().into_iter().map(|(count, name)| format!("{name} {count}")).collect();
        assert_eq!(names, ["cli 3", "crossing a page 3", "cpuid 1"]);
        let text = counts.to_string();
        assert!(text.contains("\nleft: to interpret             1\n"), "{text}");
        assert!(text.contains("\nsteps                          7\n  cli                          3\n"), "{text}");
    }
}
