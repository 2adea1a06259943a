//! `-chardev` and `-serial`: where the bytes of character devices come from and go to.

use super::{List, Named};
use crate::usage::UsageError;
use reprise_core::backend::{BackendKind, ChardevId};
use std::path::PathBuf;

/// What `-serial` takes.
pub const SERIAL_HELP: &str = "stdio, mon:stdio, null, none, file:PATH, chardev:ID";
/// What `-chardev` takes.
const BACKENDS: [&str; 3] = ["stdio", "null", "file"];

/// What serves a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChardevBackend {
    /// Standard input and output; with `keys`, Ctrl-A begins a command.
    Stdio {
        /// Whether it does.
        keys: bool,
    },
    /// Nothing.
    Null,
    /// A file for what the guest sends.
    File(PathBuf),
}

/// All character devices, by [`ChardevId`].
#[derive(Clone, Debug)]
pub struct Chardevs {
    named: Named<ChardevBackend>,
}

impl Default for Chardevs {
    fn default() -> Self {
        Self { named: Named::new(BackendKind::Chardev) }
    }
}

impl Chardevs {
    /// What serves each.
    pub fn backends(&self) -> &[ChardevBackend] {
        self.named.backends()
    }

    /// Adds the one that `-chardev text` describes.
    pub fn add_option(&mut self, text: &str) -> Result<(), UsageError> {
        let mut list = List::parse(text);
        let (kind, id, path, mux) =
            (list.first.take().unwrap_or_default(), list.take("id"), list.take("path"), list.take("mux"));
        let id = id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| UsageError::new(format!("-chardev '{text}' has no id: add id=NAME")))?;
        list.finish("-chardev", &["id", "path", "mux"])?;
        let backend = match (kind.as_str(), path, mux.as_deref()) {
            ("stdio", None, None | Some("off")) => ChardevBackend::Stdio { keys: false },
            ("stdio", None, Some("on")) => ChardevBackend::Stdio { keys: true },
            ("null", None, None) => ChardevBackend::Null,
            ("file", Some(path), None) => ChardevBackend::File(path.into()),
            ("file", None, _) => return Err(UsageError::new(format!("-chardev '{text}' has no file: add path=FILE"))),
            ("stdio" | "null" | "file", ..) => {
                return Err(UsageError::new(format!("-chardev '{text}': path= is for file, mux=on|off for stdio")));
            }
            _ => return Err(UsageError::unknown("kind of -chardev", &kind, &BACKENDS)),
        };
        self.add(&id, backend).map(drop)
    }

    /// The character device of `-serial text`: `None` leaves the serial port out of the machine.
    pub fn serial(&mut self, text: &str) -> Result<Option<ChardevId>, UsageError> {
        if let Some(id) = text.strip_prefix("chardev:") {
            return self.find(id).map(Some);
        }
        let backend = match text {
            "none" => return Ok(None),
            "stdio" => ChardevBackend::Stdio { keys: false },
            "mon:stdio" => ChardevBackend::Stdio { keys: true },
            "null" => ChardevBackend::Null,
            _ => match text.strip_prefix("file:").filter(|path| !path.is_empty()) {
                Some(path) => ChardevBackend::File(path.into()),
                None => {
                    let text = format!("-serial does not take '{text}'\nvalid choices: {SERIAL_HELP}");
                    return Err(UsageError::new(text));
                }
            },
        };
        self.add("", backend).map(Some)
    }

    /// The character device called `id`.
    pub fn find(&self, id: &str) -> Result<ChardevId, UsageError> {
        self.named.find(id).map(ChardevId)
    }

    fn add(&mut self, id: &str, backend: ChardevBackend) -> Result<ChardevId, UsageError> {
        let is_stdio = |backend: &ChardevBackend| matches!(backend, ChardevBackend::Stdio { .. });
        if is_stdio(&backend) && self.backends().iter().any(is_stdio) {
            return Err(UsageError::new(
                "standard input and output serve one character device only: use null or file for the others",
            ));
        }
        self.named.add(id, backend).map(ChardevId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_ports_as_qemu_writes_them() {
        let mut chardevs = Chardevs::default();
        chardevs.add_option("file,id=log,path=a,,b").unwrap();
        let ports = ["mon:stdio", "none", "null", "file:out.txt", "chardev:log"].map(|t| chardevs.serial(t).unwrap());
        assert_eq!(ports, [Some(1), None, Some(2), Some(3), Some(0)].map(|port| port.map(ChardevId)));
        let expected = [
            ChardevBackend::File("a,b".into()),
            ChardevBackend::Stdio { keys: true },
            ChardevBackend::Null,
            ChardevBackend::File("out.txt".into()),
        ];
        assert_eq!(chardevs.backends(), expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut chardevs = Chardevs::default();
        chardevs.add_option("stdio,id=c").unwrap();
        let error = chardevs.serial("stdio").unwrap_err().to_string();
        assert!(error.contains("one character device only"), "{error}");
        let error = chardevs.serial("vc").unwrap_err().to_string();
        assert!(error.contains("'vc'") && error.contains(SERIAL_HELP), "{error}");
        let error = chardevs.serial("chardev:d").unwrap_err().to_string();
        assert!(error.contains("unknown character device 'd'") && error.contains("choices: c"), "{error}");
        for text in ["null", "null,id=c", "file,id=x", "pty,id=x", "null,id=x,mux=on", "null,id=x,logfile=y"] {
            assert!(chardevs.add_option(text).is_err(), "{text}");
        }
    }
}
