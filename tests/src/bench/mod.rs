//! The benchmark: the same work natively, in Reprise and in QEMU, in turn.
//!
//! What is measured is the host's time, between two lines that the guest prints: a guest's own clock may count
//! instructions. So every work is a fixed amount, never as much as fits into a time.
//!
//! | module | what |
//! | --- | --- |
//! | [`work`] | what is done |
//! | [`column`] | who does it: command lines |
//! | [`job`], [`native`] | what one process is asked to do |
//! | [`process`] | one process: what it printed when |
//! | [`outcome`] | what that means |
//! | [`table`] | all that was measured: medians |
//! | [`report`] | tables, ratios, goals, a file for machines |

pub mod column;
pub mod job;
mod native;
pub mod outcome;
pub mod process;
pub mod report;
pub mod table;
pub mod work;

use column::{Column, Setup};
use job::Job;
use outcome::Cell;
use process::Run;
use reprise_replay::Recording;
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Ended, Table};
use work::{Program, Work};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is done.
    pub works: Vec<Work>,
    /// By whom.
    pub columns: Vec<Column>,
    /// How often.
    pub rounds: u32,
    /// What they have in common.
    pub setup: Setup,
    /// How long a work may take.
    pub patience: Duration,
}

/// A recording, and the work that is in it.
struct Recorded {
    column: Column,
    job: Job,
    file: PathBuf,
}

/// The measuring of one round.
struct Round<'a> {
    plan: &'a Plan,
    number: u32,
    scratch: &'a Path,
    recordings: Vec<Recorded>,
    table: &'a mut Table,
}

/// Does all work in every column, `rounds` times, in turn: whatever else the host does hits all alike.
pub fn run(plan: &Plan) -> anyhow::Result<Table> {
    let mut table = Table::default();
    for number in 1..=plan.rounds {
        let scratch = tempfile::tempdir()?;
        let mut round = Round { plan, number, scratch: scratch.path(), recordings: Vec::new(), table: &mut table };
        plan.columns.iter().for_each(|&column| round.measure(column));
    }
    table.compare_sums();
    Ok(table)
}

impl Round<'_> {
    fn measure(&mut self, column: Column) {
        if let Some(recorder) = column.replays() {
            return self.replay(column, recorder);
        }
        for &work in &self.plan.works {
            if let (Work::Boot(suite), true) = (work, column != Column::Native) {
                let result = self.start(column, Job::Boot(suite)).and_then(|run| outcome::boot(&run));
                self.note(column, work, result);
            }
        }
        self.programs(column, self.plan.works.iter().filter_map(|work| work.program()).collect());
    }

    /// Programs in one guest; if it does not survive one of them, the rest in another.
    fn programs(&mut self, column: Column, mut programs: Vec<&'static Program>) {
        while !programs.is_empty() {
            let run = self.start(column, Job::Programs(programs.clone()));
            let cells = run.as_ref().map(outcome::programs).unwrap_or_default();
            let why = run.as_ref().map_or_else(Clone::clone, outcome::trouble);
            let done = programs.iter().take_while(|program| cells.contains_key(program.name)).count();
            let rest = programs.split_off(done);
            for program in programs {
                self.note(column, Work::Program(program), cells[program.name].clone());
            }
            let mut rest = rest.into_iter();
            if let Some(fatal) = rest.next() {
                self.note(column, Work::Program(fatal), Err(why.clone()));
            }
            programs = rest.collect();
            // Nothing was done at all: neither would it be the next time.
            if done == 0 {
                programs.drain(..).for_each(|program| self.note(column, Work::Program(program), Err(why.clone())));
            }
        }
    }

    /// What was recorded, as far as it was.
    fn replay(&mut self, column: Column, recorder: Column) {
        let of_recorder = |recorded: &mut Recorded| recorded.column == recorder;
        let recordings: Vec<_> = self.recordings.extract_if(.., of_recorder).collect();
        for Recorded { job, file, .. } in recordings {
            let run = self.start_with(column, job.clone(), &file);
            if let Err(error) = std::fs::remove_file(&file) {
                eprintln!("bench: cannot remove {}: {error}", file.display());
            }
            self.note_replay(column, &job, &run);
        }
    }

    fn note_replay(&mut self, column: Column, job: &Job, run: &Result<Run, String>) {
        match job {
            Job::Boot(suite) => {
                let result = run.as_ref().map_err(Clone::clone).and_then(outcome::boot);
                self.note(column, Work::Boot(*suite), result);
            }
            Job::Programs(programs) => {
                let cells = run.as_ref().map(outcome::programs).unwrap_or_default();
                let why = run.as_ref().map_or_else(Clone::clone, outcome::trouble);
                // What one recording lacks may be in the next one, that of the guest begun in its place.
                let missing = |program: &&Program| !cells.contains_key(program.name);
                if let Some(first) = programs.iter().copied().find(missing) {
                    self.note(column, Work::Program(first), Err(why));
                }
                for (name, result) in cells {
                    if let Some(work) = Work::find(&name) {
                        self.note(column, work, result);
                    }
                }
            }
        }
    }

    /// Does a job, and keeps the recording if there is one.
    fn start(&mut self, column: Column, job: Job) -> Result<Run, String> {
        let file = self.scratch.join(format!("recording-{}", self.table.ended.len()));
        let run = self.start_with(column, job.clone(), &file);
        if column.records() {
            self.recordings.push(Recorded { column, job, file });
        }
        run
    }

    fn start_with(&mut self, column: Column, job: Job, recording: &Path) -> Result<Run, String> {
        let said = |error: anyhow::Error| format!("{error:#}");
        let command = column.command(&job, &self.plan.setup, recording).map_err(said)?;
        let run = process::run(command, self.plan.patience, outcome::is_mark).map_err(said)?;
        let told = outcome::told(&run.errors);
        self.table.ended.push(Ended {
            column,
            round: self.number,
            boot: match job {
                Job::Boot(suite) => Some(suite),
                Job::Programs(_) => None,
            },
            wall: run.end.wall,
            told,
            logged: if column.records() { logged(column, recording) } else { None },
        });
        Ok(run)
    }

    fn note(&mut self, column: Column, work: Work, result: Result<Cell, String>) {
        let what = match &result {
            Ok(cell) => format!("{:.2} s, processor {:.2} s", cell.wall, cell.processor),
            Err(why) => format!("failed: {why}"),
        };
        eprintln!("round {} of {}: {} in {}: {what}", self.number, self.plan.rounds, work.name(), column.name());
        self.table.note(work, column, self.number, result);
    }
}

/// Bytes of a recording that are no host file stored in it. QEMU stores none, so its recordings need the kernel and
/// the RAM disk beside them.
fn logged(column: Column, file: &Path) -> Option<u64> {
    let total = std::fs::metadata(file).ok()?.len();
    let stored = if column.is_qemu() { 0 } else { Recording::open(file).ok()?.sizes().files };
    Some(total - stored)
}
