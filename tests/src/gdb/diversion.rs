//! What becomes of a recording when gdb changes something: a diversion, in which one can walk, and which is dropped.

use super::Session;
use anyhow::{Result, ensure};

/// The guest's counter of ticks; a function returns it.
const CALL: &str = "pit_ticks()";
/// Something that the guest never changes.
const VARIABLE: &str = "'virtio_blk.c'::has_flush";

/// Memory and a function: both lead astray, and the recording is as it was.
pub fn check(session: &mut Session, function: &str) -> Result<()> {
    session.seek("start")?;
    session.tell(&format!("tbreak {function}"))?;
    session.resume("continue")?;
    let (at, state) = (session.position()?, session.fingerprint()?);
    write(session)?;
    drop_it(session)?;
    ensure!((session.position()?, session.fingerprint()?) == (at.clone(), state.clone()), "the recording has changed");
    ensure!(session.number(VARIABLE)? == 0, "what was written is still there");
    call(session)?;
    drop_it(session)?;
    ensure!((session.position()?, session.fingerprint()?) == (at, state), "the recording has changed");
    Ok(())
}

fn write(session: &mut Session) -> Result<()> {
    let original = session.fingerprint()?;
    ensure!(session.number(VARIABLE)? == 0, "nothing is to be changed");
    session.tell(&format!("set var {VARIABLE} = 1"))?;
    ensure!(session.number(VARIABLE)? == 1, "what was written is not there");
    ensure!(session.fingerprint()? != original, "nothing has changed");
    let said = session.tell("monitor when")?;
    ensure!(said.contains("diversion"), "it does not say that this is a diversion: {said}");
    session.resume("stepi 50")?;
    let (there, state) = (session.position()?, session.fingerprint()?);
    session.resume("reverse-stepi 20")?;
    ensure!(session.number(VARIABLE)? == 1, "what was written is gone");
    session.resume("stepi 20")?;
    ensure!((session.position()?, session.fingerprint()?) == (there.clone(), state.clone()), "another diversion");
    session.resume("reverse-stepi 100")?;
    ensure!(session.number(VARIABLE)? == 0, "what was written is there before it was");
    session.resume("stepi 100")?;
    ensure!((session.position()?, session.fingerprint()?) == (there, state), "another diversion");
    Ok(())
}

fn call(session: &mut Session) -> Result<()> {
    let ticks = session.number("'pit.c'::ticks")?;
    let (pc, sp) = (session.number("$pc")?, session.number("$sp")?);
    ensure!(session.number(CALL)? == ticks, "the function does not return what it should");
    ensure!((session.number("$pc")?, session.number("$sp")?) == (pc, sp), "registers are not as before the call");
    session.resume("stepi 10")?;
    session.resume("reverse-stepi 10")?;
    ensure!(session.number("$pc")? == pc, "the diversion cannot be stepped back");
    Ok(())
}

fn drop_it(session: &mut Session) -> Result<()> {
    session.tell("monitor diversion drop")?;
    session.tell("maintenance flush register-cache")?;
    let said = session.tell("monitor when")?;
    ensure!(!said.contains("diversion"), "it is still there: {said}");
    Ok(())
}
