//! A machine that runs, and that a debugger comes to, goes from, and comes back to.

use super::Session;
use super::client::{Gdb, Why};
use super::server::Server;
use crate::guests;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Something that the guest without a disk never looks at.
const VARIABLE: &str = "'virtio_blk.c'::has_flush";

/// What gdb writes while a run is recorded is in the recording.
pub fn recorded(program: &Path, folder: &Path) -> Result<()> {
    let file = folder.join("changed.rpr");
    let arguments = ["-S", "-kernel", guests::DEBUGGEE, "-no-reboot", "-pace", "fast"];
    let record = ["record", "-force", "-o", &file.to_string_lossy()];
    let mut session = Session::with(
        Server::start(program, &[&record[..], &arguments].concat())?,
        Some(Path::new(guests::DEBUGGEE_SYMBOLS)),
    )?;
    session.tell("break check_sort")?;
    session.resume("continue")?;
    session.tell(&format!("set var {VARIABLE} = 1"))?;
    session.tell("detach")?;
    let Session { mut server, gdb } = session;
    drop(gdb);
    let status = server.wait()?;
    ensure!(status.success(), "it ends with {status}: {}{}", server.console(), server.messages());
    let server = Server::replay(program, &file, &[])?;
    let mut session = Session::with(server, Some(Path::new(guests::DEBUGGEE_SYMBOLS)))?;
    ensure!(session.number(VARIABLE)? == 0, "it is changed from the start");
    let stop = session.resume("continue")?;
    ensure!(stop.why == Why::HistoryEnds && session.number(VARIABLE)? == 1, "the change is not replayed: {stop:?}");
    session.seek("start")?;
    session.tell("break check_sort")?;
    session.resume("continue")?;
    ensure!(session.number(VARIABLE)? == 1, "it is not changed where it was");
    session.resume("reverse-stepi")?;
    ensure!(session.number(VARIABLE)? == 0, "it is changed before it was");
    Ok(())
}

/// Starts the embedded guest stopped, looks into it, leaves it, comes back, and lets it end.
pub fn check(program: &Path, cpus: u32) -> Result<()> {
    let cpus = cpus.to_string();
    let arguments = ["run", "-S", "-kernel", guests::DEBUGGEE, "-no-reboot", "-pace", "fast", "-smp", &cpus];
    let server = Server::start(program, &arguments)?;
    let mut session = Session::with(server, Some(Path::new(guests::DEBUGGEE_SYMBOLS)))?;
    ensure!(session.server.console().is_empty(), "it has not waited: {}", session.server.console());
    look(&mut session)?;
    session.tell("detach")?;
    let Session { mut server, gdb } = session;
    drop(gdb);
    come_back(&server)?;
    let status = server.wait()?;
    let (console, messages) = (server.console(), server.messages());
    ensure!(status.success(), "it ends with {status}: {console}{messages}");
    let bad = console.lines().find(|line| line.contains("FAIL"));
    ensure!(bad.is_none() && console.contains("smp: ok"), "the guest has noticed: {console}");
    Ok(())
}

fn look(session: &mut Session) -> Result<()> {
    session.tell("hbreak kernel_main")?;
    let stop = session.resume("continue")?;
    ensure!(stop.why == Why::Breakpoint, "{stop:?}");
    session.tell("delete")?;
    let stop = session.resume("next")?;
    ensure!(stop.why == Why::Done, "{stop:?}");
    session.tell("watch memory_map.count")?;
    let stop = session.resume("continue")?;
    ensure!(stop.why == Why::Watchpoint && session.number("memory_map.count")? == 1, "{stop:?}");
    session.tell("delete")?;
    // What cannot be done is said, and nothing is lost.
    let backwards = session.try_to_tell("reverse-stepi")?;
    ensure!(backwards.is_err(), "a machine that runs goes backwards: {backwards:?}");
    session.tell("break check_sort")?;
    let stop = session.resume("continue")?;
    ensure!(stop.why == Why::Breakpoint && session.server.console().contains("primes: ok"), "{stop:?}");
    session.tell("delete").map(drop)
}

/// Another gdb, while the machine runs on; or it has ended by then.
fn come_back(server: &Server) -> Result<()> {
    let mut gdb = Gdb::start(Some(Path::new(guests::DEBUGGEE_SYMBOLS)))?;
    if gdb.connect(server).is_ok() {
        gdb.number("$pc").context("the second gdb sees nothing")?;
        gdb.tell("detach")?;
    }
    Ok(())
}
