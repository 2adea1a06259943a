//! Messages for people: warnings, and what `-d` asks for, to standard error or a file.

use crate::usage::UsageError;
use log::{LevelFilter, Log, Metadata, Record};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

struct Logger {
    /// Targets of which everything is wanted.
    items: Vec<&'static str>,
    out: Mutex<Box<dyn Write + Send>>,
}

/// Starts logging warnings and `items` to `file`, or to standard error.
pub(crate) fn start(items: Vec<&'static str>, file: Option<&Path>) -> Result<(), UsageError> {
    let out: Box<dyn Write + Send> = match file {
        Some(path) => {
            let opened = File::create(path);
            let refused = |error| UsageError::new(format!("-D: cannot open '{}': {error}", path.display()));
            Box::new(BufWriter::new(opened.map_err(refused)?))
        }
        None => Box::new(io::stderr()),
    };
    log::set_max_level(if items.is_empty() { LevelFilter::Warn } else { LevelFilter::Trace });
    let logger = Logger { items, out: Mutex::new(out) };
    log::set_boxed_logger(Box::new(logger)).map_err(|error| UsageError::new(error.to_string()))
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What gdb's clients do wrong is their affair: they are told.
        let is_of_clients = metadata.target().starts_with("gdbstub");
        let target = if is_of_clients { "gdb" } else { metadata.target() };
        (metadata.level() <= LevelFilter::Warn && !is_of_clients) || self.items.contains(&target)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // A log that cannot be written must not change the run.
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(out, "{}: {}", record.target(), record.args());
        }
    }

    fn flush(&self) {
        let _ = self.out.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}
