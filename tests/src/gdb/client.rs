//! gdb itself, told what to do.

use super::mi::{Fields, Record, text};
use super::server::Server;
use anyhow::{Context, Result, bail, ensure};
use reprise_core::clock::Tick;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long gdb may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines of the conversation that are shown when something is wrong.
const SHOWN: usize = 30;
/// What gdb says where history ends.
const NO_HISTORY: &str = "No more reverse-execution history";

/// Why the target stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// At a breakpoint.
    Breakpoint,
    /// By a watchpoint.
    Watchpoint,
    /// A step, or a function, is done.
    Done,
    /// Interrupted.
    Interrupted,
    /// Where history begins or ends.
    HistoryEnds,
    /// Anything else, in gdb's words.
    Other(String),
}

/// A stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub why: Why,
    /// The next instruction's address.
    pub pc: u64,
    /// The thread.
    pub thread: u32,
}

/// Where a replay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The tick.
    pub tick: Tick,
    /// The instructions retired so far.
    pub icount: u64,
}

/// A gdb that runs, and is ended when this is dropped.
#[derive(Debug)]
pub struct Gdb {
    child: Child,
    keyboard: ChildStdin,
    lines: Receiver<String>,
    token: u32,
    patience: Duration,
    shown: VecDeque<String>,
}

impl Gdb {
    /// Starts it, with the symbols of that file.
    pub fn start(symbols: Option<&Path>) -> Result<Self> {
        let mut command = Command::new("setpriv");
        // It dies with the test.
        command.args(["--pdeathsig", "KILL", "--", "gdb", "-nx", "-q", "--interpreter=mi3"]);
        command.env_remove("DEBUGINFOD_URLS").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start gdb, of the package gdb")?;
        let keyboard = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut gdb = Self { child, keyboard, lines, token: 0, patience: PATIENCE, shown: VecDeque::new() };
        for setting in ["confirm off", "pagination off", "width 0", "height 0", "print thread-events off"] {
            gdb.tell(&format!("set {setting}"))?;
        }
        if let Some(symbols) = symbols {
            gdb.tell(&format!("file {}", symbols.display()))?;
        }
        Ok(gdb)
    }

    /// Waits no longer than this for anything.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Connects it.
    pub fn connect(&mut self, server: &Server) -> Result<()> {
        self.tell(&format!("target remote {}", server.address())).map(drop)
    }

    /// Carries out a command that does not run the target; what it says.
    pub fn tell(&mut self, command: &str) -> Result<String> {
        let said = self.try_to_tell(command)?;
        said.map_err(|error| self.puzzled(&format!("'{command}' is refused: {error}")))
    }

    /// The same for a command that may be refused, which is the inner error.
    pub fn try_to_tell(&mut self, command: &str) -> Result<Result<String, String>> {
        let token = self.send(command)?;
        let mut said = String::new();
        loop {
            match self.next(command)? {
                Record::Text(text) => said.push_str(&text),
                Record::Result { token: of, class, fields } if of == token => {
                    return Ok(match class.as_str() {
                        "error" => Err(text(&fields, &["msg"]).unwrap_or("error").to_owned()),
                        _ => Ok(said),
                    });
                }
                Record::Result { .. } | Record::Stopped(_) | Record::Other => {}
            }
        }
    }

    /// Sets the target running.
    pub fn begin(&mut self, command: &str) -> Result<()> {
        let token = self.send(command)?;
        loop {
            match self.next(command)? {
                Record::Result { token: of, class, fields } if of == token => {
                    let why = || text(&fields, &["msg"]).unwrap_or(&class).to_owned();
                    ensure!(class == "running", self.puzzled(&format!("'{command}' does not run: {}", why())));
                    return Ok(());
                }
                Record::Result { .. } | Record::Stopped(_) | Record::Text(_) | Record::Other => {}
            }
        }
    }

    /// Waits until it stops.
    pub fn wait(&mut self) -> Result<Stop> {
        let mut said = String::new();
        loop {
            match self.next("the target's run")? {
                Record::Text(text) => said.push_str(&text),
                Record::Stopped(fields) => return self.stop(&fields, &said),
                Record::Result { class, fields, .. } if class == "error" => {
                    bail!(self.puzzled(text(&fields, &["msg"]).unwrap_or("error")));
                }
                Record::Result { .. } | Record::Other => {}
            }
        }
    }

    /// Sets the target running, and waits until it stops.
    pub fn resume(&mut self, command: &str) -> Result<Stop> {
        self.begin(command)?;
        self.wait()
    }

    /// What Ctrl-C does.
    pub fn interrupt(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::INT)?)
    }

    /// Where the replay is.
    pub fn position(&mut self) -> Result<Position> {
        let said = self.tell("monitor when")?;
        let number = |name| number_after(&said, name).with_context(|| format!("'monitor when' says '{said}'"));
        Ok(Position { tick: number("tick")?, icount: number("icount")? })
    }

    /// The hash of all that the guest can see.
    pub fn fingerprint(&mut self) -> Result<String> {
        let said = self.tell("monitor fingerprint")?;
        let hash = said.split_whitespace().find(|word| word.len() > 20 && word.bytes().all(is_of_hash));
        Ok(hash.with_context(|| format!("'monitor fingerprint' says '{said}'"))?.to_owned())
    }

    /// Goes to a position by the server's own command.
    pub fn seek(&mut self, to: &str) -> Result<()> {
        self.tell(&format!("monitor seek {to}"))?;
        self.tell("maintenance flush register-cache").map(drop)
    }

    /// The value of an expression that is a number.
    pub fn number(&mut self, expression: &str) -> Result<u64> {
        let said = self.tell(&format!("output/u (unsigned long)({expression})"))?;
        // The server may have something to say, too.
        let value = said.lines().last().unwrap_or_default();
        value.trim().parse().with_context(|| format!("'{expression}' is '{said}'"))
    }

    fn send(&mut self, command: &str) -> Result<u32> {
        while let Ok(line) = self.lines.try_recv() {
            self.show(line);
        }
        self.token += 1;
        self.show(format!("> {command}"));
        writeln!(self.keyboard, "{}{command}", self.token).context("gdb is gone")?;
        Ok(self.token)
    }

    fn next(&mut self, waited_for: &str) -> Result<Record> {
        let asked = Instant::now();
        let Ok(line) = self.lines.recv_timeout(self.patience) else {
            let how = if asked.elapsed() < self.patience { "gdb has ended" } else { "gdb says nothing more" };
            bail!(self.puzzled(&format!("{how}, at {waited_for}")));
        };
        let record = Record::read(&line);
        self.show(line);
        Ok(record)
    }

    fn show(&mut self, line: String) {
        self.shown.push_back(line);
        self.shown.drain(..self.shown.len().saturating_sub(SHOWN));
    }

    /// An error with what was said before it.
    fn puzzled(&self, what: &str) -> anyhow::Error {
        let shown: Vec<_> = self.shown.iter().map(String::as_str).collect();
        anyhow::anyhow!("{what}; the last lines of gdb:\n{}", shown.join("\n"))
    }

    fn stop(&self, fields: &Fields, said: &str) -> Result<Stop> {
        let reason = text(fields, &["reason"]).unwrap_or_default();
        let why = match reason {
            "no-history" => Why::HistoryEnds,
            _ if said.contains(NO_HISTORY) => Why::HistoryEnds,
            "breakpoint-hit" => Why::Breakpoint,
            "watchpoint-trigger" | "read-watchpoint-trigger" | "access-watchpoint-trigger" => Why::Watchpoint,
            "end-stepping-range" | "function-finished" | "location-reached" => Why::Done,
            "signal-received" if text(fields, &["signal-name"]) == Some("SIGINT") => Why::Interrupted,
            other => Why::Other(format!("{other} {}", text(fields, &["signal-name"]).unwrap_or_default())),
        };
        let pc =
            text(fields, &["frame", "addr"]).and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        let thread = text(fields, &["thread-id"]).and_then(|text| text.parse().ok());
        match (pc, thread) {
            (Some(pc), Some(thread)) => Ok(Stop { why, pc, thread }),
            _ => Err(self.puzzled("it stopped nowhere")),
        }
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        // Nothing is lost: what it debugs is another process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_of_hash(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

/// The number that follows a word.
pub(crate) fn number_after(text: &str, word: &str) -> Option<u64> {
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.find(|candidate| *candidate == word)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_are_found_by_name() {
        let said = "tick 123, icount 120: 4 % of the recording\n";
        assert_eq!((number_after(said, "tick"), number_after(said, "icount")), (Some(123), Some(120)));
        assert_eq!(number_after(said, "of"), None);
    }
}
