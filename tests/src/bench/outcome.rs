//! What a run says: cells of the table, and what only Reprise tells.

use super::process::{Moment, Run};
use std::collections::BTreeMap;

/// What a work cost in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Seconds.
    pub wall: f64,
    /// Seconds of processor time.
    pub processor: f64,
    /// Nanoseconds on the clock of who did it; in Reprise, a count of instructions. None for a boot.
    pub clock: Option<u64>,
    /// A sum of its output. None for a boot.
    pub sum: Option<String>,
}

/// Whether a line says something.
pub fn is_mark(line: &str) -> bool {
    line.starts_with("@@") || line == READY
}

const READY: &str = "guest: init";

/// When the guest's first process began.
pub fn boot(run: &Run) -> Result<Cell, String> {
    let ready = run.marks.iter().find(|(_, text)| text == READY);
    match ready {
        Some((moment, _)) if run.status.success() => {
            Ok(Cell { wall: moment.wall, processor: moment.processor, clock: None, sum: None })
        }
        Some(_) | None => Err(trouble(run)),
    }
}

/// What was said of each program that ended, one way or the other.
pub fn programs(run: &Run) -> BTreeMap<String, Result<Cell, String>> {
    let (mut begun, mut ended) = (None, None);
    let (mut clock, mut cells) = (None, BTreeMap::new());
    for (moment, text) in &run.marks {
        let mut words = text.splitn(3, ' ');
        let (mark, name, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match mark {
            Some("@@begin") => (begun, ended, clock) = (Some(*moment), None, None),
            Some("@@end") => ended = Some(*moment),
            Some("@@took") => clock = rest.parse().ok(),
            Some("@@failed") => drop(cells.insert(name.to_owned(), Err(format!("status {rest}")))),
            Some("@@sum") => drop(cells.insert(name.to_owned(), cell(begun, ended, clock, rest))),
            Some(_) | None => {}
        }
    }
    cells
}

fn cell(begun: Option<Moment>, ended: Option<Moment>, clock: Option<u64>, sum: &str) -> Result<Cell, String> {
    let (Some(begun), Some(ended)) = (begun, ended) else { return Err("its marks are not all there".into()) };
    Ok(Cell {
        wall: ended.wall - begun.wall,
        processor: ended.processor - begun.processor,
        clock,
        sum: Some(sum.to_owned()),
    })
}

/// Why a run did not do all its work.
pub fn trouble(run: &Run) -> String {
    let how = if run.impatient { "took too long".to_owned() } else { format!("ended early with {}", run.status) };
    let errors = run.errors.lines().rev().take(3).collect::<Vec<_>>();
    let last = run.last_lines.iter().rev().take(1).map(String::as_str).chain(errors.into_iter().rev());
    let said = last.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ");
    if said.is_empty() { how } else { format!("{how}: {said}") }
}

/// What Reprise says at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Instructions retired.
    pub icount: u64,
    /// Bytes of the guest's RAM in pages that were ever written.
    pub touched: u64,
    /// The most that its process had in the host's memory, in bytes.
    pub peak: u64,
    /// What translation cost, if it was done and told.
    pub translation: Option<Translation>,
}

/// What the translator says of itself with `-jit-stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Guest instructions translated.
    pub instructions: u64,
    /// Their bytes.
    pub guest_bytes: u64,
    /// Bytes of host code that runs often.
    pub hot_bytes: u64,
    /// Bytes of host code that runs rarely.
    pub cold_bytes: u64,
    /// Nanoseconds for each guest instruction.
    pub nanoseconds: u64,
}

/// Lines `NAME NUMBER ...` of standard error.
pub fn told(errors: &str) -> Option<Told> {
    Some(Told {
        icount: number(errors, "icount", 0)?,
        touched: number(errors, "touched", 0)?,
        peak: number(errors, "peak", 0)?,
        translation: translation(errors),
    })
}

fn translation(errors: &str) -> Option<Translation> {
    Some(Translation {
        instructions: number(errors, "guest instructions", 0)?,
        guest_bytes: number(errors, "guest instructions", 2)?,
        hot_bytes: number(errors, "hot host code", 0)?,
        cold_bytes: number(errors, "cold host code", 0)?,
        nanoseconds: number(errors, "translation time", 2)?,
    })
}

/// The word at `place` after the name that begins a line.
fn number(errors: &str, name: &str, place: usize) -> Option<u64> {
    let rest = errors.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    rest.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn run(lines: &[(f64, &str)], status: i32) -> Run {
        let at = |seconds| Moment { wall: seconds, processor: seconds / 2.0 };
        Run {
            marks: lines.iter().map(|(seconds, text)| (at(*seconds), (*text).to_owned())).collect(),
            last_lines: vec!["Kernel panic".into()],
            errors: "warning\n".into(),
            end: at(100.0),
            status: ExitStatus::from_raw(status << 8),
            impatient: false,
        }
    }

    #[test]
    fn a_program_costs_what_lies_between_its_marks() {
        let lines = [(3.0, READY), (4.0, "@@begin a"), (9.0, "@@end a"), (9.5, "@@took a 77"), (9.6, "@@sum a f00")];
        let cell = Cell { wall: 5.0, processor: 2.5, clock: Some(77), sum: Some("f00".into()) };
        assert_eq!(programs(&run(&lines, 0)), [("a".to_owned(), Ok(cell))].into());
    }

    #[test]
    fn failures_are_told_with_their_reason() {
        let lines = [(4.0, "@@begin a"), (9.0, "@@end a"), (9.6, "@@failed a 1 no such file"), (9.7, "@@begin b")];
        let expected = [("a".to_owned(), Err("status 1 no such file".to_owned()))].into();
        assert_eq!(programs(&run(&lines, 1)), expected);
        let why = boot(&run(&lines, 1)).unwrap_err();
        assert_eq!(why, "ended early with exit status: 1: Kernel panic | warning");
    }

    #[test]
    fn a_boot_lasts_until_the_first_process() {
        let cell = boot(&run(&[(3.0, READY)], 0)).unwrap();
        assert_eq!((cell.wall, cell.processor), (3.0, 1.5));
    }

    #[test]
    fn what_reprise_tells_is_found_among_other_lines() {
        let text = "fingerprint 12-34\nicount 5\ntick 6\ntouched 4096 bytes\npeak 8192\n";
        assert_eq!(told(text), Some(Told { icount: 5, touched: 4096, peak: 8192, translation: None }));
        assert_eq!(told("icount 5\n"), None);
    }

    #[test]
    fn what_the_translator_tells_is_understood() {
        let text = "blocks                         2  of 4.0 instructions\n\
                    guest instructions             8  in 32 bytes\n\
                    hot host code                160  bytes, 5.00 times the guest's\n\
                    cold host code                64  bytes, 2.00 times the guest's\n\
                    translation time               0  ms, 375 ns an instruction\n";
        let expected =
            Translation { instructions: 8, guest_bytes: 32, hot_bytes: 160, cold_bytes: 64, nanoseconds: 375 };
        assert_eq!(translation(text), Some(expected));
    }
}
