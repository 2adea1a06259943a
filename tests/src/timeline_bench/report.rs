//! Figures, goals, and whether they are met.

use std::time::Duration;

/// A figure beside its goal, and beside QEMU's.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    most: f64,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    qemu: Vec<(&'static str, String)>,
}

impl Report {
    /// A duration that is at most another.
    pub fn time(&mut self, what: impl Into<String>, measured: Duration, most: Duration) {
        let (scale, unit) = if most >= Duration::from_secs(1) { (1.0, "s") } else { (1e3, "ms") };
        let (measured, most) = (measured.as_secs_f64() * scale, most.as_secs_f64() * scale);
        self.add(what, measured, unit, most);
    }

    /// A ratio that is at most another.
    pub fn ratio(&mut self, what: impl Into<String>, measured: f64, most: f64) {
        self.add(what, measured, "times", most);
    }

    /// What QEMU does.
    pub fn qemu(&mut self, what: &'static str, found: String) {
        println!("QEMU: {what}: {found}");
        self.qemu.push((what, found));
    }

    /// Prints everything; whether all goals are met.
    pub fn print(&self) -> bool {
        println!("\n{:58} {:>12} {:>12}", "", "measured", "at most");
        for Row { what, measured, unit, most } in &self.rows {
            let verdict = if measured <= most { "met" } else { "MISSED" };
            println!("{what:58} {measured:>9.3} {unit:<5} {most:>6} {unit:<5} {verdict}");
        }
        if !self.qemu.is_empty() {
            println!("\n{:58} {:>12}", "QEMU, -icount shift=auto,rr=replay", "measured");
            self.qemu.iter().for_each(|(what, found)| println!("{what:58} {found:>12}"));
        }
        self.rows.iter().all(|row| row.measured <= row.most)
    }

    fn add(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, most: f64) {
        let what = what.into();
        println!("{what}: {measured:.3} {unit}");
        self.rows.push(Row { what, measured, unit, most });
    }
}

/// The value below which that part of all lies; of none, nothing.
#[must_use]
pub fn percentile(times: &mut [Duration], part: f64) -> Option<Duration> {
    times.sort_unstable();
    let rank = (times.len() as f64 * part).ceil() as usize;
    times.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&mut times, 0.99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&mut times, 1.0), Some(Duration::from_millis(200)));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    #[test]
    fn a_missed_goal_is_told() {
        let mut report = Report::default();
        report.time("quick", Duration::from_millis(1), Duration::from_millis(2));
        assert!(report.print());
        report.ratio("slow", 2.1, 2.0);
        assert!(!report.print());
    }
}
