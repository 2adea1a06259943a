//! What is met forward n times is met backwards n times, in mirror order.

use super::Session;
use super::client::{Position, Stop, Why};
use anyhow::{Result, bail, ensure};
use reprise_core::clock::Tick;

/// A place, and what is waited for there.
#[derive(Clone, Debug)]
pub struct Case {
    /// From where on; what is met before is another matter.
    pub from: Tick,
    /// gdb's commands that set breakpoints and watchpoints.
    pub probes: Vec<String>,
    /// Whether addresses are physical.
    pub physical: bool,
    /// How many are met at most.
    pub most: usize,
    /// How many are met at least.
    pub least: usize,
}

/// Something that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Met {
    stop: Stop,
    at: Position,
}

impl Met {
    /// Where a run backwards stops for it: a watchpoint is met between two positions.
    fn before(&self) -> Tick {
        self.at.tick - u64::from(self.stop.why == Why::Watchpoint)
    }
}

/// Goes forward, back and forward again; how many were met.
pub fn check(session: &mut Session, case: &Case) -> Result<usize> {
    session.seek(&case.from.to_string())?;
    // The packet that makes all addresses physical, as QEMU has it.
    session.tell(&format!("maintenance packet Qqemu.PhyMemMode:{}", u8::from(case.physical)))?;
    for probe in &case.probes {
        session.tell(probe)?;
    }
    let forward = forward(session, case.most)?;
    ensure!(forward.len() >= case.least, "only {} are met: {forward:#?}", forward.len());
    backward(session, &forward, case.from)?;
    again(session, &forward, case.from)?;
    session.tell("delete")?;
    session.tell("maintenance packet Qqemu.PhyMemMode:0")?;
    Ok(forward.len())
}

/// Up to so many as they are met from here.
fn forward(session: &mut Session, most: usize) -> Result<Vec<Met>> {
    let mut all = Vec::new();
    while all.len() < most {
        match go(session, "continue")? {
            Some(met) => all.push(met),
            None => break,
        }
    }
    let rising = all.windows(2).all(|pair| pair[0].at.tick < pair[1].at.tick);
    ensure!(rising, "some are met twice, or in no order: {all:#?}");
    Ok(all)
}

/// The same ones backwards. The last is not met if it is a breakpoint at which one stands.
fn backward(session: &mut Session, forward: &[Met], from: Tick) -> Result<()> {
    let now = session.position()?.tick;
    for expected in forward.iter().rev().filter(|met| met.before() < now) {
        let Some(met) = go(session, "reverse-continue")? else {
            bail!("history begins before {expected:?} is met again, of {forward:#?}");
        };
        ensure!(met.at.tick == expected.before(), "{met:?} is met instead of {expected:?}, of {forward:#?}");
        ensure!(met.stop.why == expected.stop.why, "{met:?} is another than {expected:?}");
        if met.stop.why == Why::Breakpoint {
            ensure!(met == *expected, "{met:?} is not {expected:?}");
        }
    }
    if from == 0 {
        let met = go(session, "reverse-continue")?;
        ensure!(met.is_none(), "{met:?} is met backwards only");
        ensure!(session.position()?.tick == 0, "history begins later");
    }
    Ok(())
}

/// And forward once more, from the start.
fn again(session: &mut Session, expected: &[Met], from: Tick) -> Result<()> {
    session.seek(&from.to_string())?;
    let met = forward(session, expected.len())?;
    ensure!(met == expected, "the second time there are {met:#?} instead of {expected:#?}");
    Ok(())
}

/// One of them, or nothing if history ends.
fn go(session: &mut Session, command: &str) -> Result<Option<Met>> {
    let stop = session.resume(command)?;
    match stop.why {
        Why::Breakpoint | Why::Watchpoint => Ok(Some(Met { at: session.position()?, stop })),
        Why::HistoryEnds => Ok(None),
        Why::Done | Why::Interrupted | Why::Other(_) => bail!("'{command}' stops by {stop:?}"),
    }
}
