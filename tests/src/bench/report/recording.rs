//! What recording and replaying cost, beside QEMU's.

use super::{goal, of, spread};
use crate::bench::Series;
use crate::bench::emulator::{Emulator, Logged, Mode};
use crate::bench::work::Work;

/// A recorded run takes at most this many times as long as the same run not recorded.
const GOAL_RECORD: f64 = 1.02;
/// A replay takes at most this many times as long as the recording.
const GOAL_REPLAY: f64 = 1.0;
/// Bytes that a boot without input logs at most, apart from stored files.
const GOAL_LOG: u64 = 4 << 10;

/// Prints it; whether all goals are met. Without recordings there is nothing to meet.
pub(super) fn print(all: &[Series]) -> bool {
    let recorded: Vec<_> = of(all, Emulator::Reprise(Mode::Record)).map(|series| series.work).collect();
    if recorded.is_empty() {
        return true;
    }
    println!(
        "\n{:16} {:>16} {:>16} {:>16} {:>16}",
        "wall time", "record / run", "replay / record", "QEMU's", "KiB logged"
    );
    recorded.iter().for_each(|&work| print_work(all, work));
    let met = [
        goal_ratio(all, &recorded, "recording / running", GOAL_RECORD, Mode::Record, Mode::Run),
        goal_ratio(all, &recorded, "replaying / recording", GOAL_REPLAY, Mode::Replay, Mode::Record),
        goal_log(all),
    ];
    met.iter().all(|&met| met)
}

fn print_work(all: &[Series], work: Work) {
    let ratio = |a: Emulator, b: Emulator| wall(all, work, a) / wall(all, work, b);
    let reprise = |a, b| ratio(Emulator::Reprise(a), Emulator::Reprise(b));
    let kib = |emulator| logged(all, work, emulator).map_or(f64::NAN, |logged| logged.log as f64 / 1024.0);
    let (ours, theirs) = (kib(Emulator::Reprise(Mode::Record)), kib(Emulator::Qemu(Mode::Record)));
    println!(
        "{:16} {:16.3} {:16.3} {:16.3} {:>16}",
        work.name(),
        reprise(Mode::Record, Mode::Run),
        reprise(Mode::Replay, Mode::Record),
        ratio(Emulator::Qemu(Mode::Replay), Emulator::Qemu(Mode::Record)),
        format!("{ours:.1} / {theirs:.0}"),
    );
}

/// The median of the wall times, in seconds.
fn wall(all: &[Series], work: Work, emulator: Emulator) -> f64 {
    let series = of(all, emulator).find(|series| series.work == work);
    series.map_or(f64::NAN, |series| spread(series.costs.iter().map(|cost| cost.wall))[1])
}

fn logged(all: &[Series], work: Work, emulator: Emulator) -> Option<Logged> {
    of(all, emulator).find(|series| series.work == work)?.costs.last()?.logged
}

/// Whether, over all works together, `of` takes at most `limit` times as long as `to`.
fn goal_ratio(all: &[Series], works: &[Work], what: &str, limit: f64, of: Mode, to: Mode) -> bool {
    let sum = |mode| works.iter().map(|&work| wall(all, work, Emulator::Reprise(mode))).sum::<f64>();
    let ratio = sum(of) / sum(to);
    goal(ratio <= limit, &format!("{what} at most {limit:.2} over all works; {ratio:.3}"))
}

fn goal_log(all: &[Series]) -> bool {
    let boots = of(all, Emulator::Reprise(Mode::Record)).filter(|series| matches!(series.work, Work::Boot(_)));
    let most = boots.filter_map(|series| series.costs.last()?.logged).map(|logged| logged.log).max();
    most.is_none_or(|log| {
        goal(log <= GOAL_LOG, &format!("at most {GOAL_LOG} bytes logged by a boot without input; {log} bytes"))
    })
}
