//! What may be seen of the JIT at work: counts and times, and names of translated code for `perf`.
//!
//! All of it flows from the engine outwards; no run depends on whether anyone looks.

use crate::engine::{EngineKind, new_jit};
use crate::usage::UsageError;
use reprise_core::cpu::Model;
use reprise_core::engine::Engine;
use reprise_core::machine::Machine;
use reprise_jit::instruments::Instruments;
use reprise_jit::profile::jitdump::JitDump;
use reprise_jit::profile::symbols::Symbols;
use reprise_jit::profile::{Format, Profile, Sink};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How translated code is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `/tmp/perf-PID.map`, which `perf report` reads.
    Map,
    /// `jit-PID.dump` in the current directory, which `perf inject --jit` reads.
    Dump,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstrumentChoice {
    /// Print counts and times at the end.
    pub stats: bool,
    /// Name translated code.
    pub naming: Option<Naming>,
    /// Names of guest addresses, as `nm` writes them.
    pub symbols: Option<PathBuf>,
}

impl InstrumentChoice {
    /// Makes the engine that is asked for, with instruments.
    pub fn make(&self, kind: EngineKind) -> Result<impl FnOnce(&'static Model) -> Box<dyn Engine>, UsageError> {
        let profile = self.naming.map(|naming| self.profile(naming)).transpose()?;
        let stopwatch = self.stats.then_some(now as fn() -> Duration);
        Ok(move |model| match kind {
            EngineKind::Interp => kind.make()(model),
            EngineKind::Jit => {
                let mut jit = new_jit(model);
                jit.instrument(Instruments { stopwatch, profile, ..Instruments::default() });
                Box::new(jit)
            }
        })
    }

    /// Prints what is asked for of what the engine of a machine has counted.
    pub fn report(&self, machine: &Machine) {
        if let Some(text) = machine.engine_statistics().filter(|_| self.stats) {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn profile(&self, naming: Naming) -> Result<Profile, UsageError> {
        let symbols = self.symbols.as_deref().map_or(Ok(Symbols::default()), symbols)?;
        let process = std::process::id();
        let (path, format) = match naming {
            Naming::Map => (format!("/tmp/perf-{process}.map"), Format::PerfMap),
            Naming::Dump => (format!("jit-{process}.dump"), Format::JitDump(JitDump::new(process, now))),
        };
        let refused = |error: std::io::Error| UsageError::new(format!("cannot write {path}: {error}"));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(refused)?;
        if naming == Naming::Dump {
            mark(&file).map_err(refused)?;
        }
        Ok(Profile::new(format, symbols, sink(file)))
    }
}

/// Time on the clock that `perf record -k mono` reads too.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn symbols(path: &Path) -> Result<Symbols, UsageError> {
    let refused = |error| UsageError::new(format!("cannot read {}: {error}", path.display()));
    std::fs::read(path).map(|text| Symbols::parse(&String::from_utf8_lossy(&text))).map_err(refused)
}

/// Writes until it fails, once: names that are missing harm nobody.
fn sink(file: File) -> Sink {
    let mut file = Some(file);
    Box::new(move |bytes| {
        if let Some(error) = file.as_mut().and_then(|file| file.write_all(bytes).err()) {
            log::warn!("names of translated code end here: {error}");
            file = None;
        }
    })
}

/// perf learns of a dump by a mapping of it that may be executed (Linux, tools/perf/Documentation/jitdump-specification.txt).
#[allow(unsafe_code)] // mapping a file
fn mark(file: &File) -> std::io::Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    // SAFETY: with a null hint and without MAP_FIXED, mmap takes addresses that nothing else uses. Nothing ever reads there.
    unsafe { mmap(std::ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE, file, 0) }?;
    Ok(())
}
