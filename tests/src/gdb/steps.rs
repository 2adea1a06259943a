//! Steps there and back: by instruction, by line, by function.

use super::Session;
use super::client::Why;
use super::matrix::Place;
use anyhow::{Result, ensure};

/// Steps of one instruction back and then forward again end in the same state.
pub fn there_and_back(session: &mut Session, Place { from, thread }: Place, count: u32) -> Result<()> {
    session.seek(&from.to_string())?;
    session.tell(&format!("thread {thread}"))?;
    // The others run meanwhile: its steps end where it has just executed an instruction.
    session.resume("stepi")?;
    let (at, state) = (session.position()?, session.fingerprint()?);
    session.resume(&format!("reverse-stepi {count}"))?;
    let earlier = session.position()?;
    let gone = at.icount - earlier.icount;
    ensure!(gone >= u64::from(count), "{count} steps back are {gone} instructions, from {at:?} to {earlier:?}");
    let stop = session.resume(&format!("stepi {count}"))?;
    ensure!(stop.why == Why::Done && stop.thread == thread, "{stop:?}");
    let back = session.position()?;
    ensure!(back == at, "{count} steps from {earlier:?} lead to {back:?}, not to {at:?}");
    let again = session.fingerprint()?;
    ensure!(again == state, "the state at {at:?} is {again}, and was {state}");
    Ok(())
}

/// A call is entered, left, stepped over, and all of it backwards.
pub fn over_a_call(session: &mut Session, function: &str) -> Result<()> {
    session.seek("start")?;
    session.tell(&format!("tbreak {function}"))?;
    let entry = session.resume("continue")?;
    let inside = session.position()?;
    session.resume("finish")?;
    let (left, after) = (session.position()?, session.number("$pc")?);
    session.seek(&inside.tick.to_string())?;
    session.resume("stepi")?;
    let call = session.resume("reverse-finish")?;
    let before = session.position()?;
    ensure!(before.tick + 1 == inside.tick, "the call is at {before:?}, and the function begins at {inside:?}");
    session.resume("nexti")?;
    ensure!((session.position()?, session.number("$pc")?) == (left, after), "a step over the call is not its end");
    let back = session.resume("reverse-nexti")?;
    ensure!((session.position()?, back.pc) == (before, call.pc), "a step back over the call is not its beginning");
    session.resume("stepi")?;
    ensure!((session.position()?, session.number("$pc")?) == (inside, entry.pc), "the call leads elsewhere");
    Ok(())
}

/// Lines forward are as many with ranges as with single steps, and the same.
pub fn by_line(session: &mut Session, function: &str, count: usize) -> Result<()> {
    session.seek("start")?;
    session.tell(&format!("tbreak {function}"))?;
    session.resume("continue")?;
    let start = session.position()?;
    let mut walks = Vec::new();
    for ranges in ["on", "off"] {
        session.tell(&format!("set range-stepping {ranges}"))?;
        session.seek(&start.tick.to_string())?;
        let mut walk = Vec::new();
        for _ in 0..count {
            let stop = session.resume("next")?;
            ensure!(stop.why == Why::Done, "{stop:?}");
            walk.push((session.position()?, stop.pc));
        }
        walks.push(walk);
    }
    ensure!(walks[0] == walks[1], "with ranges and without: {walks:#?}");
    session.tell("set range-stepping on")?;
    let places: Vec<_> = walks[0].iter().map(|(position, _)| position.tick).chain([start.tick]).collect();
    let mut last = session.position()?.tick;
    while last > start.tick {
        let stop = session.resume("reverse-next")?;
        let now = session.position()?.tick;
        ensure!(stop.why == Why::Done && now < last, "{stop:?} at {now} after {last}, of {places:?}");
        last = now;
    }
    Ok(())
}
