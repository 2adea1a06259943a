//! `-chardev` and `-serial`: where the bytes of character devices come from and go to.

use super::List;
use crate::usage::UsageError;
use reprise_core::backend::ChardevId;
use std::path::PathBuf;

/// What `-serial` takes.
pub const SERIAL_HELP: &str = "stdio, mon:stdio, null, none, file:PATH, chardev:ID";
/// What `-chardev` takes.
const BACKENDS: [&str; 3] = ["stdio", "null", "file"];

/// What serves a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chardevs {
    backends: Vec<Backend>,
    /// Names from `-chardev`; empty for one that `-serial` made.
    names: Vec<String>,
}

impl Chardevs {
    /// What serves each.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Adds the one that `-chardev text` describes.
    pub fn add_option(&mut self, text: &str) -> Result<(), UsageError> {
        let mut list = List::parse(text);
        let (kind, id, path, mux) =
            (list.first.take().unwrap_or_default(), list.take("id"), list.take("path"), list.take("mux"));
        let id = id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| UsageError::new(format!("-chardev '{text}' has no id: add id=NAME")))?;
        list.finish("-chardev", &["id", "path", "mux"])?;
        if self.names.contains(&id) {
            return Err(UsageError::new(format!("-chardev id '{id}' is taken: each id names one character device")));
        }
        let backend = match (kind.as_str(), path, mux.as_deref()) {
            ("stdio", None, None | Some("off")) => Backend::Stdio { keys: false },
            ("stdio", None, Some("on")) => Backend::Stdio { keys: true },
            ("null", None, None) => Backend::Null,
            ("file", Some(path), None) => Backend::File(path.into()),
            ("file", None, _) => return Err(UsageError::new(format!("-chardev '{text}' has no file: add path=FILE"))),
            ("stdio" | "null" | "file", ..) => {
                return Err(UsageError::new(format!("-chardev '{text}': path= is for file, mux=on|off for stdio")));
            }
            _ => return Err(UsageError::unknown("kind of -chardev", &kind, &BACKENDS)),
        };
        self.add(id, backend).map(drop)
    }

    /// The character device of `-serial text`: `None` leaves the serial port out of the machine.
    pub fn serial(&mut self, text: &str) -> Result<Option<ChardevId>, UsageError> {
        if let Some(id) = text.strip_prefix("chardev:") {
            return self.find(id).map(Some);
        }
        let backend = match text {
            "none" => return Ok(None),
            "stdio" => Backend::Stdio { keys: false },
            "mon:stdio" => Backend::Stdio { keys: true },
            "null" => Backend::Null,
            _ => match text.strip_prefix("file:").filter(|path| !path.is_empty()) {
                Some(path) => Backend::File(path.into()),
                None => {
                    let text = format!("-serial does not take '{text}'\nvalid choices: {SERIAL_HELP}");
                    return Err(UsageError::new(text));
                }
            },
        };
        self.add(String::new(), backend).map(Some)
    }

    /// The character device called `id`.
    pub fn find(&self, id: &str) -> Result<ChardevId, UsageError> {
        let names: Vec<_> = self.names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        match self.names.iter().position(|name| !id.is_empty() && name == id) {
            Some(index) => Ok(ChardevId(index as u16)),
            None if names.is_empty() => {
                Err(UsageError::new(format!("there is no character device '{id}': add -chardev null,id={id}, say")))
            }
            None => Err(UsageError::unknown("character device", id, &names)),
        }
    }

    fn add(&mut self, name: String, backend: Backend) -> Result<ChardevId, UsageError> {
        let is_stdio = |backend: &Backend| matches!(backend, Backend::Stdio { .. });
        if is_stdio(&backend) && self.backends.iter().any(is_stdio) {
            return Err(UsageError::new(
                "standard input and output serve one character device only: use null or file for the others",
            ));
        }
        self.names.push(name);
        self.backends.push(backend);
        Ok(ChardevId(self.backends.len() as u16 - 1))
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
            Backend::File("a,b".into()),
            Backend::Stdio { keys: true },
            Backend::Null,
            Backend::File("out.txt".into()),
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
