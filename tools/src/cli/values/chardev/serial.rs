//! What `-serial` takes: a character device in short.

use super::kinds::Kind;
use super::{ChardevBackend, Chardevs, Refusal};
use crate::cli::values::List;
use crate::usage::UsageError;
use reprise_core::backend::ChardevId;

/// What `-serial` takes.
pub const SERIAL_HELP: &str = "stdio, mon:stdio, null, none, file:PATH, pipe:PATH, pty[:LINK], \
     tcp:HOST:PORT[,PROPERTY=VALUE]..., telnet:HOST:PORT[,...], unix:PATH[,...], chardev:ID";

impl Chardevs {
    /// The character device of `-serial text`: `None` leaves the serial port out of the machine.
    pub fn serial(&mut self, text: &str) -> Result<Option<ChardevId>, UsageError> {
        let label = format!("serial{}", self.serial_ports);
        self.serial_ports += 1;
        let refused = || UsageError::new(format!("-serial does not take '{text}'\nvalid choices: {SERIAL_HELP}"));
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let path = |rest: Option<&str>| rest.filter(|path| !path.is_empty()).map(Into::into).ok_or_else(refused);
        let backend = match (kind, rest) {
            ("chardev", Some(id)) => return self.find(id).map(Some),
            ("none", None) => return Ok(None),
            ("stdio", None) => ChardevBackend::Stdio { keys: false, signals: true },
            ("mon", Some("stdio")) => ChardevBackend::Stdio { keys: true, signals: false },
            ("null", None) => ChardevBackend::Null,
            ("file", path_of) => ChardevBackend::File { path: path(path_of)?, append: false, input: None },
            ("pipe", path_of) => ChardevBackend::Pipe(path(path_of)?),
            ("pty", None) => ChardevBackend::Pty { link: None },
            ("pty", link) => ChardevBackend::Pty { link: Some(path(link)?) },
            ("tcp" | "telnet" | "unix", Some(rest)) => {
                return self
                    .add_socket(label, kind, rest)
                    .map(Some)
                    .map_err(|e| e.within(&format!("-serial '{text}'")));
            }
            _ => return Err(refused()),
        };
        self.add("", label, backend, None).map(Some)
    }

    fn add_socket(&mut self, label: String, kind: &str, rest: &str) -> Result<ChardevId, Refusal> {
        let mut list = List::parse(&format!("{kind}:{rest}"));
        let address = list.first.take().unwrap_or_default();
        let address = address.split_once(':').map_or("", |(_, address)| address);
        let mut given = |name: &str, value: &str| list.items.push((name.into(), value.into()));
        if kind == "unix" {
            given("path", address);
        } else {
            let Some((host, port)) = address.rsplit_once(':') else { return Refusal::new("expected HOST:PORT") };
            given("host", host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host));
            given("port", port);
            if kind == "telnet" {
                given("telnet", "on");
            }
        }
        let kind = Kind::find("socket").expect("there is that kind");
        self.add_list("", label, kind, list)
    }
}
