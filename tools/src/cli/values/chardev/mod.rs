//! `-chardev` and `-serial`: where the bytes of character devices come from and go to.

mod kinds;
mod serial;

pub use kinds::chardev_help;
pub use serial::SERIAL_HELP;

use super::{List, Named};
use crate::usage::UsageError;
use kinds::{KINDS, Kind};
use reprise_backend::chardev::{Address, Role, SocketOptions};
use reprise_core::backend::{BackendKind, ChardevId};
use std::path::PathBuf;
use std::time::Duration;

/// What serves a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChardevBackend {
    /// Standard input and output.
    Stdio {
        /// Whether Ctrl-A begins a command.
        keys: bool,
        /// Whether Ctrl-C, Ctrl-Z and Ctrl-\ are the host's.
        signals: bool,
    },
    /// Nothing.
    Null,
    /// A file for what the guest sends.
    File {
        /// The file.
        path: PathBuf,
        /// Whether to keep what it holds.
        append: bool,
        /// A file whose bytes the guest gets.
        input: Option<PathBuf>,
    },
    /// Named pipes.
    Pipe(PathBuf),
    /// A pseudo-terminal.
    Pty {
        /// A symbolic link to it.
        link: Option<PathBuf>,
    },
    /// A socket.
    Socket(SocketOptions),
}

/// A log of what the guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChardevLog {
    /// The file.
    pub path: PathBuf,
    /// Whether to keep what it holds.
    pub append: bool,
}

/// A character device besides what serves it.
#[derive(Clone, Debug)]
pub struct ChardevDetails {
    /// What messages call it.
    pub label: String,
    /// Where its output is logged.
    pub log: Option<ChardevLog>,
}

/// All character devices, by [`ChardevId`].
#[derive(Clone, Debug)]
pub struct Chardevs {
    named: Named<ChardevBackend>,
    details: Vec<ChardevDetails>,
    /// How many serial ports were named.
    serial_ports: usize,
}

impl Default for Chardevs {
    fn default() -> Self {
        Self { named: Named::new(BackendKind::Chardev), details: Vec::new(), serial_ports: 0 }
    }
}

impl Chardevs {
    /// What serves each.
    pub fn backends(&self) -> &[ChardevBackend] {
        self.named.backends()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ChardevBackend, &ChardevDetails)> {
        self.backends().iter().zip(&self.details)
    }

    /// What messages call one of them.
    pub fn label(&self, chardev: ChardevId) -> &str {
        &self.details[usize::from(chardev.0)].label
    }

    /// Whether standard input and output serve one of them; then whether Ctrl-A begins a command, and whether Ctrl-C is the
    /// host's.
    pub fn stdio(&self) -> Option<(bool, bool)> {
        self.backends().iter().find_map(|backend| match *backend {
            ChardevBackend::Stdio { keys, signals } => Some((keys, signals)),
            ChardevBackend::Null
            | ChardevBackend::File { .. }
            | ChardevBackend::Pipe(_)
            | ChardevBackend::Pty { .. }
            | ChardevBackend::Socket(_) => None,
        })
    }

    /// Adds the one that `-chardev text` describes.
    pub fn add_option(&mut self, text: &str) -> Result<(), UsageError> {
        let mut list = List::parse(text);
        let name = list.first.take().or_else(|| list.take("backend")).unwrap_or_default();
        let names = || KINDS.map(|kind| kind.name);
        let kind = Kind::find(&name).ok_or_else(|| UsageError::unknown("kind of -chardev", &name, &names()))?;
        let id = list.take("id").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| UsageError::new(format!("-chardev '{text}' has no id: add id=NAME")))?;
        self.add_list(&id, id.clone(), kind, list).map_err(|error| error.within(&format!("-chardev '{text}'")))?;
        Ok(())
    }

    /// The character device called `id`.
    pub fn find(&self, id: &str) -> Result<ChardevId, UsageError> {
        self.named.find(id).map(ChardevId)
    }

    /// Adds the one of `kind` that `list` describes.
    fn add_list(&mut self, id: &str, label: String, kind: &Kind, mut list: List) -> Result<ChardevId, Refusal> {
        let log = take_log(&mut list)?;
        let backend = match kind.name {
            "stdio" => {
                let keys = take_switch(&mut list, "mux", false)?;
                ChardevBackend::Stdio { keys, signals: take_switch(&mut list, "signal", true)? }
            }
            "file" => ChardevBackend::File {
                path: take_path(&mut list)?,
                append: take_switch(&mut list, "append", false)?,
                input: list.take("input-path").map(Into::into),
            },
            "pipe" => ChardevBackend::Pipe(take_path(&mut list)?),
            "pty" => ChardevBackend::Pty { link: list.take("path").map(Into::into) },
            "socket" => ChardevBackend::Socket(take_socket(&mut list)?),
            _ => ChardevBackend::Null,
        };
        list.finish(&format!("-chardev {}", kind.name), &kind.properties()).map_err(Refusal::Usage)?;
        self.add(id, label, backend, log).map_err(Refusal::Usage)
    }

    fn add(
        &mut self,
        id: &str,
        label: String,
        backend: ChardevBackend,
        log: Option<ChardevLog>,
    ) -> Result<ChardevId, UsageError> {
        if matches!(backend, ChardevBackend::Stdio { .. }) && self.stdio().is_some() {
            return Err(UsageError::new(
                "standard input and output serve one character device only: use null or file for the others",
            ));
        }
        let number = self.named.add(id, backend)?;
        self.details.push(ChardevDetails { label, log });
        Ok(ChardevId(number))
    }
}

/// Why a description is refused.
enum Refusal {
    /// That says it all.
    Usage(UsageError),
    /// What is wrong with it.
    Reason(String),
}

impl Refusal {
    fn new<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self::Reason(reason.into()))
    }

    /// As a refusal of `what`.
    fn within(self, what: &str) -> UsageError {
        match self {
            Self::Usage(error) => error,
            Self::Reason(reason) => UsageError::new(format!("{what}: {reason}")),
        }
    }
}

/// Takes the switch `name` out of `list`. `noNAME` is QEMU's older way to write it.
fn take_switch(list: &mut List, name: &str, default: bool) -> Result<bool, Refusal> {
    if list.take(&format!("no{name}")).is_some_and(|value| value == "on") {
        return Ok(false);
    }
    match list.take(name).as_deref() {
        None => Ok(default),
        Some("on" | "yes" | "true" | "y") => Ok(true),
        Some("off" | "no" | "false" | "n") => Ok(false),
        Some(value) => Refusal::new(format!("{name} does not take '{value}': expected on or off")),
    }
}

fn take_number(list: &mut List, name: &str, max: u64) -> Result<Option<u64>, Refusal> {
    let Some(value) = list.take(name) else { return Ok(None) };
    match value.parse() {
        Ok(number) if number <= max => Ok(Some(number)),
        _ => Refusal::new(format!("{name} does not take '{value}': expected a number up to {max}")),
    }
}

fn take_path(list: &mut List) -> Result<PathBuf, Refusal> {
    match list.take("path").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Refusal::new("it has no file: add path=FILE"),
    }
}

fn take_log(list: &mut List) -> Result<Option<ChardevLog>, Refusal> {
    let append = take_switch(list, "logappend", false)?;
    match list.take("logfile") {
        None if append => Refusal::new("logappend is for a log: add logfile=FILE"),
        None => Ok(None),
        Some(path) => Ok(Some(ChardevLog { path: path.into(), append })),
    }
}

fn take_socket(list: &mut List) -> Result<SocketOptions, Refusal> {
    let server = take_switch(list, "server", false)?;
    Ok(SocketOptions {
        address: take_address(list, server)?,
        role: if server { take_server(list)? } else { take_client(list)? },
        telnet: take_switch(list, "telnet", false)?,
        nodelay: list.take("nodelay").is_some_and(|value| value == "on"),
    })
}

fn take_address(list: &mut List, server: bool) -> Result<Address, Refusal> {
    let (path, is_abstract) = (list.take("path"), take_switch(list, "abstract", false)?);
    let (host, port) = (list.take("host"), take_number(list, "port", u64::from(u16::MAX))?);
    match (path, host, port) {
        (Some(path), None, None) if is_abstract => Ok(Address::Abstract(path)),
        (Some(path), None, None) if !path.is_empty() => Ok(Address::Unix(path.into())),
        (None, _, Some(0)) if !server => Refusal::new("port=0, any port, is for a server: add server=on"),
        (None, host, Some(port)) => Ok(Address::Tcp { host: host.unwrap_or_default(), port: port as u16 }),
        (None, Some(_), None) => Refusal::new("it has no port: add port=NUMBER"),
        (Some(_), ..) => Refusal::new("path=FILE is for a socket of this host, host= and port= are for TCP"),
        (None, None, None) => Refusal::new("it has no address: add path=FILE, or host=HOST,port=NUMBER"),
    }
}

fn take_server(list: &mut List) -> Result<Role, Refusal> {
    if take_pause(list)?.is_some() {
        return Refusal::new("reconnect is for a client: a server waits for the next call anyhow");
    }
    Ok(Role::Server { wait: take_switch(list, "wait", true)? })
}

fn take_client(list: &mut List) -> Result<Role, Refusal> {
    if take_switch(list, "wait", false)? {
        return Refusal::new("wait is for a server: add server=on");
    }
    Ok(Role::Client { reconnect: take_pause(list)? })
}

fn take_pause(list: &mut List) -> Result<Option<Duration>, Refusal> {
    let limit = u64::from(u32::MAX);
    let pause = match (take_number(list, "reconnect", limit)?, take_number(list, "reconnect-ms", limit)?) {
        (Some(_), Some(_)) => return Refusal::new("reconnect and reconnect-ms are the same: give one of them"),
        (seconds, None) => Duration::from_secs(seconds.unwrap_or(0)),
        (None, Some(milliseconds)) => Duration::from_millis(milliseconds),
    };
    Ok(Some(pause).filter(|pause| !pause.is_zero()))
}

#[cfg(test)]
mod tests;
