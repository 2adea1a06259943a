//! The ends of history, and what is interrupted on the way.

use super::Session;
use super::client::{Gdb, Why};
use super::subject::Subject;
use anyhow::{Result, bail, ensure};
use std::thread;
use std::time::Duration;

/// How long something runs before it is interrupted, at first: not long, for gdb loses a stop at which it is interrupted.
const MOMENT: Duration = Duration::from_millis(2);
/// How often that is tried, each time after twice as long: on a slow host nothing may have happened yet.
const TRIES: usize = 12;

/// Begins `command` at `start`, and interrupts it before it ends by itself, and once `is_under_way`.
fn interrupted(session: &mut Session, start: &str, command: &str, is_under_way: impl Fn(u64) -> bool) -> Result<()> {
    let mut moment = MOMENT;
    for _ in 0..TRIES {
        session.seek(start)?;
        session.begin(command)?;
        thread::sleep(moment);
        session.interrupt()?;
        let stop = session.wait()?;
        match stop.why {
            Why::Interrupted if is_under_way(session.position()?.tick) => return Ok(()),
            Why::Interrupted => moment *= 2,
            _ => bail!("'{command}' stops by {stop:?}"),
        }
    }
    bail!("'{command}' was not interrupted on its way in {TRIES} tries")
}

/// A run to each end stops there, twice, and the state there is always the same.
pub fn ends(session: &mut Session, subject: &Subject) -> Result<()> {
    let mut states = Vec::new();
    for _ in 0..2 {
        for (command, tick) in [("continue", subject.end), ("reverse-continue", 0)] {
            for _ in 0..2 {
                let stop = session.resume(command)?;
                ensure!(stop.why == Why::HistoryEnds, "'{command}' stops by {stop:?}");
                let now = session.position()?.tick;
                ensure!(now == tick, "'{command}' ends at {now}, and history at {tick}");
            }
            states.push(session.fingerprint()?);
        }
    }
    ensure!(states[..2] == states[2..] && states[0] != states[1], "the states at the ends: {states:?}");
    Ok(())
}

/// A debugger that leaves, or is gone all of a sudden, leaves the server where it was for the next one.
pub fn comings_and_goings(session: Session, subject: &Subject) -> Result<()> {
    let Session { mut gdb, server } = session;
    gdb.seek(&(subject.end / 2).to_string())?;
    gdb.resume("stepi 10")?;
    let at = gdb.position()?;
    gdb.tell("detach")?;
    drop(gdb);
    let mut second = Gdb::start(subject.symbols)?;
    second.connect(&server)?;
    ensure!(second.position()? == at, "after a detach it is elsewhere");
    // It is killed.
    drop(second);
    let mut third = Gdb::start(subject.symbols)?;
    third.connect(&server)?;
    ensure!(third.position()? == at, "after a client that vanished it is elsewhere");
    third.resume("reverse-stepi 10").map(drop)
}

/// A run forward is interrupted, and so is one backwards that looks for something that is not there; then all is as
/// before.
pub fn interruptions(session: &mut Session, subject: &Subject) -> Result<()> {
    interrupted(session, "start", "continue", |tick| 0 < tick && tick < subject.end)?;
    session.seek("end")?;
    let state = session.fingerprint()?;
    session.tell("break *0x123456789")?;
    interrupted(session, "end", "reverse-continue", |_| true)?;
    ensure!(session.position()?.tick == subject.end, "it stays where it began");
    ensure!(session.fingerprint()? == state, "the state is another");
    session.tell("delete")?;
    session.resume("reverse-stepi")?;
    ensure!(session.position()?.tick < subject.end, "it goes no more");
    Ok(())
}
