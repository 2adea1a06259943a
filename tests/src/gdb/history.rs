//! The ends of history, and what is interrupted on the way.

use super::Session;
use super::client::Why;
use super::subject::Subject;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// How long something runs before it is interrupted.
const MOMENT: Duration = Duration::from_millis(100);

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

/// A run forward is interrupted, and so is one backwards that looks for something that is not there; then all is as
/// before.
pub fn interruptions(session: &mut Session, subject: &Subject) -> Result<()> {
    session.seek("start")?;
    session.begin("continue")?;
    thread::sleep(MOMENT);
    session.interrupt()?;
    let stop = session.wait()?;
    ensure!(stop.why == Why::Interrupted, "{stop:?}");
    let middle = session.position()?;
    ensure!(0 < middle.tick && middle.tick < subject.end, "interrupted at {middle:?}");
    session.seek("end")?;
    let state = session.fingerprint()?;
    session.tell("break *0x123456789")?;
    session.begin("reverse-continue")?;
    thread::sleep(MOMENT);
    session.interrupt()?;
    let stop = session.wait()?;
    ensure!(stop.why == Why::Interrupted, "{stop:?}");
    ensure!(session.position()?.tick == subject.end, "it stays where it began");
    ensure!(session.fingerprint()? == state, "the state is another");
    session.tell("delete")?;
    session.resume("reverse-stepi")?;
    ensure!(session.position()?.tick < subject.end, "it goes no more");
    Ok(())
}
