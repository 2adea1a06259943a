//! `reprise run`: a machine with the host at its door.

use crate::boot::files::{NotedFiles, SameFiles};
use crate::cli::values::Chardevs;
use crate::cli::{RecordTarget, RunPlan};
use crate::drives::{self, OpenDrives};
use crate::gdb::{Around, Listener};
use crate::lockstep::Runner;
use crate::record::{self, Ready};
use crate::usage::UsageError;
use crate::{backends, exit_status, gdb, log_file, machine, say, standard_streams};
use reprise_backend::netdev::DumpDoor;
use reprise_backend::{Backends, Ending, LiveDoor, Pace, RawTerminal, SharedDoor, SignalKeys, Signals, die_of};
use reprise_core::cpu::{Activity, CpuState};
use reprise_core::machine::{End, Machine};
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// Runs the machine of `plan` to its end; the exit status.
///
/// It is recorded if `record` says where to.
pub(crate) fn run(plan: &mut RunPlan, record: Option<&RecordTarget>) -> Result<u8, UsageError> {
    let refused = |error: &dyn std::fmt::Display| UsageError::new(error.to_string());
    if let Some(record) = record {
        record::check(record, &plan.backends)?;
    }
    let OpenDrives { images, geometries, drives } =
        drives::open(&plan.backends.drives).map_err(|error| UsageError::of(&error))?;
    plan.config.disks = geometries;
    // Every error says its own cause.
    let mut files = NotedFiles::default();
    let engine = plan.instruments.make(plan.engine.first())?;
    let machine = machine::build_from(&plan.config, engine, &mut files);
    let mut machine = machine.map_err(|error| refused(&error))?;
    let runner = Runner::new(plan.engine, &mut machine, &plan.config, &mut SameFiles(&files), plan.perturb_caches);
    let mut runner = runner.map_err(|error| refused(&error))?;
    if let Some(record) = record {
        record::check_unused(record, &files)?;
    }
    let listener = plan.gdb.as_ref().map(Listener::open).transpose()?;
    // A log of the guest is not begun anew for a run that is refused.
    let backends = backends::open(&plan.backends, images).map_err(|error| UsageError::of(&error))?;
    let dumps = backends::open_dumps(&plan.backends.dumps, plan.config.rtc_base);
    let dumps = dumps.map_err(|error| UsageError::of(&error))?;
    check_stdout(&plan.backends.chardevs)?;
    log_file::start(plan.log_items.clone(), plan.log_file.as_deref())?;
    let door = RefCell::new(open_door(plan, backends).map_err(|error| refused(&error))?);
    let ready = record.map(|record| Ready::new(record, plan, &files)).transpose()?;
    drop(files);
    listener.iter().for_each(Listener::announce);
    let mut shared = SharedDoor(&door);
    let mut dumped = DumpDoor::new(&mut shared, dumps);
    let mut run = |around: &mut dyn Around| match &listener {
        None => runner.run(&mut machine, around, plan.until),
        Some(listener) => gdb::serve_live(&mut machine, around, &door, listener, plan),
    };
    let (end, made) = match ready {
        None => (run(&mut dumped), None),
        Some(ready) => {
            let (end, made) = ready.run(&mut dumped, run);
            (end, Some(made))
        }
    };
    drop((dumped, listener));
    let ending = door.into_inner().finish();
    if runner.is_different() {
        // The recorded run is that of the first machine, to where it was told to end.
        let made = made.map_or(Ok(()), |made| made.finish(&mut machine, End::Until, false, exit_status::OK));
        drives.finish(&machine.board, true);
        let status = tell_difference(plan, record, &mut runner, &mut machine);
        return Ok(made.inspect_err(|error| say(error)).map_or(exit_status::HOST, |()| status));
    }
    let mut status = report(plan, &machine, end, ending.as_ref());
    let by_host = ending.as_ref().is_some_and(|ending| !matches!(ending, Ending::Key | Ending::Debugger));
    if let Some(made) = made
        && let Err(error) = made.finish(&mut machine, end, by_host, status)
    {
        say(&error);
        status = exit_status::HOST;
    }
    if !drives.finish(&machine.board, ending.as_ref().is_some_and(is_failure)) {
        status = exit_status::HOST;
    }
    if plan.fingerprint {
        print_identity(&mut machine);
    }
    plan.instruments.report(&machine);
    if let Some(Ending::Signal(signal)) = ending {
        log::logger().flush();
        die_of(signal).map_err(|error| refused(&error))?;
    }
    Ok(status)
}

/// Says how the engines differ, and how to see it again: inputs that came from the host come again from a recording only.
fn tell_difference(plan: &RunPlan, record: Option<&RecordTarget>, runner: &mut Runner, machine: &mut Machine) -> u8 {
    let (engine, until) = (plan.engine.spelling(), machine.now());
    let command = match record {
        Some(record) => format!("reprise replay {} -engine {engine} -until {until}", record.file.display()),
        None => {
            let arguments: Vec<_> = std::env::args().collect();
            format!(
                "{}, if nothing came from outside; or record it and replay that with -engine {engine}",
                arguments.join(" ")
            )
        }
    };
    runner.tell(machine, &command).unwrap_or(exit_status::DIVERGED)
}

fn check_stdout(chardevs: &Chardevs) -> Result<(), UsageError> {
    if chardevs.stdio().is_some() && standard_streams::stdout_was_closed() {
        return Err(UsageError::new(
            "standard output is closed, and the console is on it: use -serial file:PATH, null or none",
        ));
    }
    Ok(())
}

fn open_door(plan: &RunPlan, backends: Backends) -> io::Result<LiveDoor> {
    let stdin = io::stdin();
    let pace = plan.pace.unwrap_or(if stdin.is_terminal() { Pace::Real } else { Pace::Fast });
    let mut door = LiveDoor::new(pace, backends);
    door.obey(Signals::catch()?);
    if let Some((_, host_has_signals)) = plan.backends.chardevs.stdio() {
        let keys = if host_has_signals { SignalKeys::Host } else { SignalKeys::Guest };
        RawTerminal::enter(stdin.as_fd(), keys)?.into_iter().for_each(|terminal| door.own(terminal));
    }
    if plan.paused {
        door.pause();
    }
    Ok(door)
}

/// Says why the run ended, unless the guest just switched the machine off; the exit status.
fn report(plan: &RunPlan, machine: &Machine, end: End, ending: Option<&Ending>) -> u8 {
    let (status, reason) = outcome(machine, end, ending);
    if let Some(reason) = reason {
        let name = plan.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        say(&format_args!("{name}{reason}"));
    }
    status
}

/// The exit status, and why the run ended.
fn outcome(machine: &Machine, end: End, ending: Option<&Ending>) -> (u8, Option<String>) {
    match ending {
        Some(ending) => of_host(ending),
        None => of_machine(machine, end),
    }
}

/// The exit status of a run that ended.
pub(crate) fn status(machine: &Machine, end: End, ending: Option<&Ending>) -> u8 {
    outcome(machine, end, ending).0
}

/// Whether the host failed, rather than that somebody ended the run.
fn is_failure(ending: &Ending) -> bool {
    match ending {
        Ending::Chardev(_) | Ending::Rng(_) => true,
        Ending::Key | Ending::Signal(_) | Ending::PausedForEver | Ending::Debugger => false,
    }
}

fn of_host(ending: &Ending) -> (u8, Option<String>) {
    match ending {
        Ending::Key => (exit_status::OK, Some("ended by Ctrl-A x".into())),
        Ending::Debugger => (exit_status::OK, Some("ended by gdb".into())),
        Ending::Signal(signal) => (exit_status::HOST, Some(format!("ended by signal {signal}"))),
        Ending::Chardev(error) => (exit_status::HOST, Some(error.to_string())),
        Ending::Rng(error) => (exit_status::HOST, Some(error.to_string())),
        Ending::PausedForEver => {
            (exit_status::DEAD, Some("the machine is paused, and no key can come any more that starts it".into()))
        }
    }
}

fn of_machine(machine: &Machine, end: End) -> (u8, Option<String>) {
    let at = format!("icount {}, tick {}", machine.icount(), machine.now());
    match end {
        End::Off | End::Quit => (exit_status::OK, None),
        End::Reset => (exit_status::RESET, Some(format!("guest reset; -no-reboot given; {at}"))),
        End::TripleFault => {
            let cpu = machine.cpus.iter().find(|cpu| cpu.activity == Activity::Shutdown);
            let place = cpu.map(|cpu: &CpuState| format!(" at rip {:#018x} (cpu {})", cpu.regs.rip(), cpu.index));
            let place = place.unwrap_or_default();
            (exit_status::TRIPLE_FAULT, Some(format!("triple fault{place}; -no-reboot given; {at}")))
        }
        End::Panicked => (exit_status::PANICKED, Some(format!("guest panicked (pvpanic); {at}"))),
        End::DebugExit(status) => (status, Some(format!("guest ended the run with status {status} (isa-debug-exit)"))),
        End::Dead => {
            let why = "every vCPU is idle, no timer is armed and no input can come";
            (exit_status::DEAD, Some(format!("nothing can ever happen again: {why}; {at}")))
        }
        End::Probe => (exit_status::OK, Some(format!("stopped by a debugger; {at}"))),
        End::Until => (exit_status::OK, Some(format!("reached -until; {at}"))),
    }
}

pub(crate) fn print_identity(machine: &mut Machine) {
    let (fingerprint, icount, tick) = (machine.fingerprint(), machine.icount(), machine.now());
    let touched = machine.board.ram.touched_bytes();
    let _ = writeln!(io::stderr(), "fingerprint {fingerprint}\nicount {icount}\ntick {tick}\ntouched {touched}");
}
