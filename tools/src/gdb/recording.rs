//! `reprise replay FILE -gdb`: a server that walks in a recording.

use super::listen::Listener;
use super::replayed::Replayed;
use super::serve;
use super::viewer::Viewer;
use crate::cli::{ReplayGdbPlan, ReplayPlan};
use crate::recorded::{self, RecordedError};
use crate::replay::{check_all, without_machine};
use crate::run::print_identity;
use crate::usage::UsageError;
use crate::{exit_status, say};
use reprise_backend::Signals;
use reprise_replay::Recording;
use reprise_replay::timeline::Timeline;

/// Serves clients that walk in a recording until a signal or a client ends it; the exit status.
pub(crate) fn replay(plan: &ReplayPlan, server: &ReplayGdbPlan) -> Result<u8, UsageError> {
    let refused = |error: &dyn std::fmt::Display| UsageError::new(error.to_string());
    let mut recording = Recording::open(&plan.file).map_err(|error| refused(&RecordedError::from(error)))?;
    let machine = recorded::machine(&mut recording, plan.instruments.make(plan.engine.first())?);
    let (machine, config) = machine.map_err(|error| without_machine(&error, recording.damage()))?;
    let damage = if plan.verify { check_all(&mut recording)? } else { recording.damage().map(ToString::to_string) };
    if let Some(damage) = damage {
        say(&format_args!("'{}' is damaged {damage}", plan.file.display()));
    }
    let timeline = Timeline::new(machine, recording, config.machine.disks.clone(), server.memory);
    let timeline = timeline.map_err(|error| refused(&error))?;
    let signals = Signals::catch().map_err(|error| refused(&error))?;
    let listener = Listener::open(&server.address)?;
    listener.announce();
    let viewer = Viewer::new(config.console, signals);
    let mut replayed = Replayed::new(timeline, viewer.clone());
    serve(&listener, &mut replayed, false);
    viewer.flush();
    drop(listener);
    let mut timeline = replayed.into_timeline();
    if let Some(signal) = viewer.signal() {
        say(&format_args!("the gdb server was ended by signal {signal} at tick {}", timeline.now()));
    }
    if plan.fingerprint {
        print_identity(timeline.machine_mut());
    }
    plan.instruments.report(timeline.machine());
    Ok(exit_status::OK)
}
