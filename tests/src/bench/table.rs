//! All that was measured: medians, and what went wrong.

use super::column::Column;
use super::outcome::{Cell, Told};
use super::work::Work;
use crate::debian::Suite;

/// A work done once.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The work.
    pub work: Work,
    /// By whom.
    pub column: Column,
    /// In which round.
    pub round: u32,
    /// What it cost, or why it was not done.
    pub result: Result<Cell, String>,
}

/// A process that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Who it was.
    pub column: Column,
    /// In which round.
    pub round: u32,
    /// The kernel it only booted, if it was no session of programs.
    pub boot: Option<Suite>,
    /// Seconds from its start to its end.
    pub wall: f64,
    /// What only Reprise tells.
    pub told: Option<Told>,
    /// Bytes recorded, without the host files that are stored.
    pub logged: Option<u64>,
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Table {
    /// Each work, each time.
    pub samples: Vec<Sample>,
    /// Each process.
    pub ended: Vec<Ended>,
}

impl Table {
    /// Adds a work that was done, or not.
    pub fn note(&mut self, work: Work, column: Column, round: u32, result: Result<Cell, String>) {
        self.samples.push(Sample { work, column, round, result });
    }

    /// What is not the same in all columns was not computed right by all: it fails in those that differ from the first.
    pub fn compare_sums(&mut self) {
        for work in self.works() {
            let Some((column, sum)) = self.first_sum(work) else { continue };
            for sample in self.samples.iter_mut().filter(|sample| sample.work == work) {
                if sample.result.as_ref().is_ok_and(|cell| cell.sum.as_ref() != Some(&sum)) {
                    sample.result = Err(format!("its output is not that of {}", column.name()));
                }
            }
        }
    }

    fn first_sum(&self, work: Work) -> Option<(Column, String)> {
        let mut of_work = self.samples.iter().filter(|sample| sample.work == work);
        of_work.find_map(|sample| Some((sample.column, sample.result.as_ref().ok()?.sum.clone()?)))
    }

    /// What was done, in order.
    pub fn works(&self) -> Vec<Work> {
        let done = |work: &Work| self.samples.iter().any(|sample| sample.work == *work);
        Work::all().into_iter().filter(done).collect()
    }

    /// By whom, in order.
    pub fn columns(&self) -> Vec<Column> {
        let worked = |column: &Column| self.samples.iter().any(|sample| sample.column == *column);
        Column::ALL.into_iter().filter(worked).collect()
    }

    /// Those of one work in one column.
    pub fn of(&self, work: Work, column: Column) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| (sample.work, sample.column) == (work, column))
    }

    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Sample, &str)> {
        self.samples.iter().filter_map(|sample| Some((sample, sample.result.as_ref().err()?.as_str())))
    }

    /// The cells of one work in one column, if none failed.
    fn cells(&self, work: Work, column: Column) -> Option<Vec<&Cell>> {
        self.of(work, column).map(|sample| sample.result.as_ref().ok()).collect()
    }

    /// The median of seconds.
    pub fn wall(&self, work: Work, column: Column) -> Option<f64> {
        median(self.cells(work, column)?.iter().map(|cell| cell.wall))
    }

    /// The median of seconds of processor time.
    pub fn processor(&self, work: Work, column: Column) -> Option<f64> {
        median(self.cells(work, column)?.iter().map(|cell| cell.processor))
    }

    /// What the clock there counted.
    pub fn clock(&self, work: Work, column: Column) -> Option<u64> {
        self.cells(work, column)?.first()?.clock
    }

    /// How many times as long one column takes as another, by the medians of seconds.
    pub fn ratio(&self, work: Work, of: Column, to: Column) -> Option<f64> {
        Some(self.wall(work, of)? / self.wall(work, to)?)
    }

    /// The geometric mean of these ratios over all works that both did, and over how many.
    pub fn mean_ratio(&self, of: Column, to: Column) -> Option<(f64, usize)> {
        let ratios: Vec<_> = self.works().into_iter().filter_map(|work| self.ratio(work, of, to)).collect();
        Some((geometric_mean(&ratios)?, ratios.len()))
    }
}

/// The middle, or the mean of the two in the middle; none of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some((sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0)
}

/// None of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::super::column::{Column::*, Qemu, Reprise};
    use super::*;

    fn cell(wall: f64, sum: &str) -> Result<Cell, String> {
        Ok(Cell { wall, processor: wall, clock: Some(7), sum: Some(sum.to_owned()) })
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn ratios_are_averaged_geometrically_over_what_both_did() {
        let (mut table, run) = (Table::default(), Reprise(Reprise::Run));
        let [a, b, c] = ["gzip", "xz", "7z"].map(|name| Work::find(name).unwrap());
        for (work, native, ours) in [(a, 1.0, 2.0), (b, 1.0, 8.0)] {
            table.note(work, Native, 1, cell(native, "x"));
            table.note(work, run, 1, cell(ours, "x"));
        }
        table.note(c, Native, 1, cell(1.0, "x"));
        table.note(c, run, 1, Err("it broke".into()));
        let (mean, count) = table.mean_ratio(run, Native).unwrap();
        assert!((mean - 4.0).abs() < 1e-9 && count == 2, "{mean} {count}");
        assert_eq!(table.ratio(c, run, Native), None);
        assert_eq!(table.failures().count(), 1);
    }

    #[test]
    fn a_column_that_computes_something_else_fails() {
        let (mut table, tcg) = (Table::default(), Qemu(Qemu::Tcg));
        let gzip = Work::find("gzip").unwrap();
        table.note(gzip, Native, 1, cell(1.0, "right"));
        table.note(gzip, tcg, 1, cell(1.0, "wrong"));
        table.compare_sums();
        let (failed, why) = table.failures().next().unwrap();
        assert_eq!((failed.column, why), (tcg, "its output is not that of native"));
        assert_eq!((table.wall(gzip, tcg), table.wall(gzip, Native)), (None, Some(1.0)));
    }
}
