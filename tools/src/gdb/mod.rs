//! The gdb server: gdb, or whoever speaks its protocol, looks at a machine, stops it, walks in its recording.
//!
//! Document: Debugging with GDB, appendix E Remote Serial Protocol. What is not here: non-stop mode, tracepoints, files of
//! the host.
//!
//! One thread serves one client at a time. A machine that runs is looked after every few milliseconds: with no client it
//! runs at full speed. As in QEMU a client that comes stops the machine; one that detaches lets it go on, one that kills
//! it ends the run, and one that only vanishes leaves it running or stopped as it was, without its breakpoints. The server
//! of a recording stays where it is, and takes the next client.

mod agent;
mod attention;
mod breakpoints;
mod client;
mod debuggee;
mod features;
mod frames;
mod listen;
mod live;
mod monitor;
mod packets;
mod recording;
mod registers;
mod replayed;
mod resume;
mod session;
mod stops;
mod target;
#[cfg(test)]
mod tests;
mod viewer;

pub(crate) use listen::Listener;
pub(crate) use live::Around;
pub(crate) use recording::replay;

use crate::cli::RunPlan;
use attention::Unattended;
use debuggee::{Host, Wake};
use live::Live;
use reprise_backend::LiveDoor;
use reprise_core::machine::{End, Machine};
use reprise_core::probe::Probes;
use reprise_replay::timeline::{Direction, Stop};
use session::{Leave, Session};
use std::cell::RefCell;
use std::os::fd::AsFd;

/// Runs a live machine with a server beside it; how it ended.
pub(crate) fn serve_live(
    machine: &mut Machine,
    door: &mut dyn Around,
    host: &RefCell<LiveDoor>,
    listener: &Listener,
    plan: &RunPlan,
) -> End {
    let mut live = Live::new(machine, door, host, plan.until);
    serve(listener, &mut live, !plan.paused);
    live.finish()
}

/// Serves one client after the other until the machine or the server ends; meanwhile the machine runs, or stands still.
fn serve(listener: &Listener, host: &mut dyn Host, mut running: bool) {
    loop {
        host.watch(listener.as_fd().try_clone_to_owned().into_iter().collect());
        let wake = if running { run(listener, host) } else { host.wait() };
        match wake {
            Wake::Called => {}
            Wake::Started => running = true,
            Wake::Ended => return,
        }
        let Some(socket) = listener.accept() else { continue };
        host.attach(true, false);
        let leave = Session::new(host, listener, socket).serve();
        running = match leave {
            Leave::Detached => host.timeline().is_none(),
            Leave::Vanished { running } => running && host.timeline().is_none(),
            Leave::Killed | Leave::Over => return,
        };
        host.attach(false, running);
    }
}

/// Lets the machine run until somebody calls.
fn run(listener: &Listener, host: &mut dyn Host) -> Wake {
    match host.run(&Probes::default(), Direction::Forward, &mut Unattended(listener)) {
        Stop::Interrupted => Wake::Called,
        Stop::Hits(_) | Stop::Reached | Stop::Start | Stop::End(_) | Stop::Broken(_) => Wake::Ended,
    }
}
