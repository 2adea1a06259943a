//! The kinds of `-chardev`, for checking and for people.

use crate::cli::values::List;
use std::fmt::Write;

/// A property: its name, what it takes, what it means.
type Property = (&'static str, &'static str, &'static str);

/// A kind of character device.
pub(super) struct Kind {
    pub(super) name: &'static str,
    description: &'static str,
    properties: &'static [Property],
}

/// Properties of every kind.
const COMMON: [Property; 3] = [
    ("id", "<text>", "what others call it"),
    ("logfile", "<file>", "log what the guest sends in this file"),
    ("logappend", "<on|off>", "keep what the log holds already (default: off)"),
];

pub(super) const KINDS: [Kind; 6] = [
    Kind {
        name: "stdio",
        description: "standard input and output",
        properties: &[
            ("mux", "<on|off>", "Ctrl-A begins a command of the operator (default: off)"),
            ("signal", "<on|off>", "Ctrl-C, Ctrl-Z and Ctrl-\\ are the host's, not the guest's (default: on)"),
        ],
    },
    Kind { name: "null", description: "nothing comes, and what the guest sends is lost", properties: &[] },
    Kind {
        name: "file",
        description: "a file for what the guest sends",
        properties: &[
            ("path", "<file>", "the file"),
            ("append", "<on|off>", "keep what it holds already (default: off)"),
            ("input-path", "<file>", "a file whose bytes the guest gets"),
        ],
    },
    Kind {
        name: "pipe",
        description: "the named pipes PATH.in and PATH.out",
        properties: &[("path", "<file>", "PATH; if there are no such two, this one pipe")],
    },
    Kind {
        name: "pty",
        description: "a new pseudo-terminal",
        properties: &[("path", "<file>", "make this a symbolic link to it")],
    },
    Kind {
        name: "socket",
        description: "TCP, or a socket of this host",
        properties: &[
            ("path", "<file>", "the socket's file"),
            ("abstract", "<on|off>", "path is a name and no file (default: off)"),
            ("host", "<host>", "TCP: name or number of the host"),
            ("port", "<0..65535>", "TCP: the port; 0 for any"),
            ("server", "<on|off>", "wait for calls, or call (default: off)"),
            ("wait", "<on|off>", "a server's machine starts when the first client is there (default: on)"),
            ("telnet", "<on|off>", "the peer is a telnet program (default: off)"),
            ("nodelay", "<on|off>", "TCP: send small segments at once (default: off)"),
            ("reconnect", "<seconds>", "a client calls again this long after it lost its peer (default: 0, never)"),
            ("reconnect-ms", "<milliseconds>", "the same in milliseconds"),
        ],
    },
];

impl Kind {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Names of its properties.
    pub(super) fn properties(&self) -> Vec<&'static str> {
        COMMON.iter().chain(self.properties).map(|(name, ..)| *name).collect()
    }

    fn help(&self) -> String {
        let mut text = format!("{} options:\n", self.name);
        for (name, values, description) in COMMON.iter().chain(self.properties) {
            let _ = writeln!(text, "  {:<28} - {description}", format!("{name}={values}"));
        }
        text
    }
}

/// What `-chardev text` shows if it asks for help.
pub fn chardev_help(text: &str) -> Option<String> {
    let is_help = |text: &str| matches!(text, "help" | "?");
    let list = List::parse(text);
    let name = list.first.as_deref()?;
    if is_help(name) {
        let line = |kind: &Kind| format!("  {:<8} {}\n", kind.name, kind.description);
        return Some(
            KINDS.iter().map(line).fold("Kinds of character devices:\n".into(), |all: String, line| all + &line),
        );
    }
    let asks = list.items.iter().any(|(name, _)| is_help(name));
    Kind::find(name).filter(|_| asks).map(Kind::help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_every_kind_and_property() {
        let text = chardev_help("help").unwrap();
        for kind in &KINDS {
            assert!(text.contains(&format!("\n  {} ", kind.name)), "{text}");
            let text = chardev_help(&format!("{},help", kind.name)).unwrap();
            kind.properties().iter().for_each(|name| assert!(text.contains(&format!("  {name}=")), "{text}"));
        }
        assert_eq!((chardev_help("socket,id=a"), chardev_help("id=help"), chardev_help("vc,help")), (None, None, None));
    }
}
