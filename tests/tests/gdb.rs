//! The real gdb walks in recordings of the embedded guest and of Debian, forward and backwards.
//!
//! Here is what is quick; `cargo run --release -p reprise-tests --bin gdb-soak` has the whole matrix.

use anyhow::{Context, Result};
use reprise_tests::debian::{Suite, root_disk};
use reprise_tests::gdb::mirror::Case;
use reprise_tests::gdb::subject::Subject;
use reprise_tests::gdb::{Session, diversion, dma, history, live, looks, matrix, mirror, steps};
use std::path::Path;
use std::sync::OnceLock;

/// `reprise`, with a device that nobody here asks for.
const PROGRAM: &str = env!("CARGO_BIN_EXE_leaky");

fn embedded(cpus: u32) -> &'static Subject {
    static RECORDED: [OnceLock<Subject>; 2] = [OnceLock::new(), OnceLock::new()];
    recorded(&RECORDED[usize::from(cpus > 1)], |folder| Subject::embedded(Path::new(PROGRAM), folder, cpus))
}

fn debian(cpus: u32) -> &'static Subject {
    static RECORDED: [OnceLock<Subject>; 2] = [OnceLock::new(), OnceLock::new()];
    let suite = Suite::Backports;
    recorded(&RECORDED[usize::from(cpus > 1)], |folder| Subject::debian(Path::new(PROGRAM), folder, suite, cpus))
}

fn recorded(place: &'static OnceLock<Subject>, record: impl Fn(&Path) -> Result<Subject>) -> &'static Subject {
    place.get_or_init(|| record(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap_or_else(|error| panic!("{error:#}")))
}

/// Does things with a recording in gdb, one after the other.
#[track_caller]
fn with(subject: &Subject, checks: impl FnOnce(&mut Session) -> Result<()>) {
    let result = Session::replay(Path::new(PROGRAM), subject).and_then(|mut session| {
        let result = checks(&mut session);
        result.map_err(|error| error.context(format!("the server says: {}", session.server.messages())))
    });
    result.unwrap_or_else(|error| panic!("{} vCPUs: {error:#}", subject.cpus));
}

fn mirrored(session: &mut Session, cases: &[Case]) -> Result<()> {
    for case in cases {
        mirror::check(session, case).with_context(|| format!("{case:?}"))?;
    }
    Ok(())
}

fn stepped(session: &mut Session, subject: &Subject) -> Result<()> {
    matrix::places(subject, 1, 3)
        .try_for_each(|place| steps::there_and_back(session, place, 1000).with_context(|| format!("{place:?}")))
}

fn check_debian(cpus: u32) {
    let subject = debian(cpus);
    with(subject, |session| {
        history::ends(session, subject)?;
        looks::threads(session, subject)?;
        stepped(session, subject)?;
        mirrored(session, &matrix::debian(subject)?)?;
        dma::check(session, &root_disk())?;
        history::interruptions(session, subject)
    });
}

#[test]
fn debian_on_one_vcpu_is_walked_in_both_directions() {
    check_debian(1);
}

#[test]
fn debian_on_four_vcpus_is_walked_in_both_directions() {
    check_debian(4);
}

#[test]
fn what_is_met_in_the_embedded_guest_is_met_backwards() {
    for cpus in [1, 4] {
        with(embedded(cpus), |session| mirrored(session, &matrix::embedded(cpus)));
    }
}

#[test]
fn the_embedded_guest_has_two_ends_and_a_thousand_steps_between() {
    for subject in [embedded(1), embedded(4)] {
        with(subject, |session| {
            history::ends(session, subject)?;
            stepped(session, subject)
        });
    }
}

#[test]
fn lines_and_functions_are_stepped_in_both_directions() {
    for subject in [embedded(1), embedded(4)] {
        with(subject, |session| {
            steps::over_a_call(session, "page_alloc")?;
            steps::over_a_call(session, "disk_request")?;
            steps::by_line(session, "check_disk", 6)
        });
    }
}

#[test]
fn conditions_hold_wherever_they_are_evaluated() {
    for subject in [embedded(1), embedded(4)] {
        with(subject, |session| looks::conditions(session, "quicksort", "$rdx - $rsi < 3 && $rsi > 100"));
    }
}

#[test]
fn memory_and_threads_are_what_they_are() {
    for subject in [embedded(1), embedded(4)] {
        with(subject, |session| {
            session.seek("end")?;
            looks::memory(session, 0x10_0000, 0x1_0000, "ascending")?;
            looks::threads(session, subject)
        });
    }
}

#[test]
fn changes_are_a_diversion() {
    for subject in [embedded(1), embedded(4)] {
        with(subject, |session| diversion::check(session, "check_disk"));
    }
}

#[test]
fn a_running_machine_is_looked_at_and_left_alone() {
    for cpus in [1, 4] {
        live::check(Path::new(PROGRAM), cpus).unwrap_or_else(|error| panic!("{cpus} vCPUs: {error:#}"));
    }
}

#[test]
fn what_gdb_writes_while_a_run_is_recorded_is_replayed() {
    live::recorded(Path::new(PROGRAM), Path::new(env!("CARGO_TARGET_TMPDIR")))
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_server_stays_for_the_next_debugger() {
    let session = Session::replay(Path::new(PROGRAM), embedded(4));
    let result = session.and_then(|session| history::comings_and_goings(session, embedded(4)));
    result.unwrap_or_else(|error| panic!("{error:#}"));
}
