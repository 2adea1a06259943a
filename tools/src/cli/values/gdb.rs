//! `-gdb`: where the gdb server listens.

use super::List;
use crate::usage::UsageError;
use reprise_backend::chardev::Address;

/// The port of `-s`, as in QEMU.
const DEFAULT_PORT: u16 = 1234;
/// Where a server listens that is told no host: whoever reaches it owns the machine, and much of this process.
const LOOPBACK: &str = "127.0.0.1";
/// The default as a value of `-gdb`.
pub const DEFAULT_GDB: &str = "tcp::1234";
/// What `-gdb` takes.
pub const GDB_HELP: &str = "tcp:[HOST]:PORT, unix:PATH, none";

/// Where `-s`, and `-gdb` without a value, listen.
pub fn default_gdb() -> Address {
    Address::Tcp { host: LOOPBACK.into(), port: DEFAULT_PORT }
}

/// Where `-gdb text` says that the server listens; `None` if there is to be none.
pub fn gdb_address(text: &str) -> Result<Option<Address>, UsageError> {
    let mut list = List::parse(text);
    // QEMU writes unix:path=PATH as well.
    let path = list.take("unix:path").map(|path| format!("unix:{path}"));
    let first = list.first.take().or(path).unwrap_or_default();
    let device = if is_host_and_port(&first) { format!("tcp:{first}") } else { first };
    let address = match device.split_once(':').unwrap_or((&device, "")) {
        ("none", "") => return Ok(None),
        ("tcp", address) => tcp(text, address)?,
        ("unix", path) => unix(text, path)?,
        ("stdio", "") => {
            return Err(UsageError::new("-gdb stdio: the console may be there; use -gdb unix:PATH or tcp::PORT"));
        }
        _ => return Err(UsageError::new(format!("-gdb does not take '{text}'\nvalid choices: {GDB_HELP}"))),
    };
    // A server that waits for nobody, which QEMU has to be told.
    for (name, wanted) in [("server", "on"), ("nowait", "on"), ("wait", "off"), ("nodelay", "on")] {
        if let Some(value) = list.take(name).filter(|value| value != wanted) {
            return Err(UsageError::new(format!(
                "-gdb '{text}': {name}={value} is not how a gdb server works: it waits for gdb, and no machine waits for it \
                 (-S starts stopped)"
            )));
        }
    }
    list.finish("-gdb", &["server", "nowait", "wait", "nodelay"])?;
    Ok(Some(address))
}

/// Whether the next argument is the address of an option that need not have one.
pub fn is_gdb_address(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default();
    ["tcp:", "unix:"].iter().any(|kind| first.starts_with(kind))
        || matches!(first, "none" | "stdio")
        || is_host_and_port(first)
}

/// `HOST:PORT` and `:PORT`, as gdb has them.
fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && !matches!(host, "tcp" | "unix")
            && !host.starts_with("tcp:")
            && !host.starts_with("unix:")
            && !host.contains('/')
    })
}

fn tcp(text: &str, address: &str) -> Result<Address, UsageError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts else {
        return Err(UsageError::new(format!("-gdb '{text}': expected tcp:[HOST]:PORT, such as tcp::{DEFAULT_PORT}")));
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(Address::Tcp { host: if host.is_empty() { LOOPBACK } else { host }.into(), port })
}

fn unix(text: &str, path: &str) -> Result<Address, UsageError> {
    if path.is_empty() {
        return Err(UsageError::new(format!("-gdb '{text}': it has no file: unix:PATH")));
    }
    Ok(Address::Unix(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Option<Address> {
        Some(Address::Tcp { host: host.into(), port })
    }

    #[test]
    fn addresses_as_qemu_writes_them() {
        let unix = Some(Address::Unix("/run/gdb".into()));
        for (text, address) in [
            ("tcp::1234", tcp("127.0.0.1", 1234)),
            ("tcp::1234,server,nowait", tcp("127.0.0.1", 1234)),
            ("tcp:0.0.0.0:9000,server=on,wait=off,nodelay=on", tcp("0.0.0.0", 9000)),
            ("tcp:[::1]:9000", tcp("::1", 9000)),
            ("localhost:9000", tcp("localhost", 9000)),
            (":9000", tcp("127.0.0.1", 9000)),
            ("unix:/run/gdb", unix.clone()),
            ("unix:/run/gdb,server=on,wait=off", unix.clone()),
            ("unix:path=/run/gdb,server=on", unix),
            ("none", None),
        ] {
            assert_eq!(gdb_address(text).unwrap(), address, "{text}");
            assert!(is_gdb_address(text), "{text}");
        }
    }

    #[test]
    fn refusals_name_the_thing_and_the_choices() {
        for (text, start) in [
            ("tcp:1234x", "-gdb 'tcp:1234x': expected tcp:[HOST]:PORT"),
            ("tcp::70000", "-gdb 'tcp::70000': expected"),
            ("unix:", "-gdb 'unix:': it has no file"),
            ("stdio", "-gdb stdio: the console may be there"),
            ("pty", "-gdb does not take 'pty'\nvalid choices: tcp:"),
            ("", "-gdb does not take ''"),
            ("tcp::1,server=off", "-gdb 'tcp::1,server=off': server=off is not how"),
            ("tcp::1,sever=on", "unknown property of -gdb 'sever'; did you mean 'server'?"),
        ] {
            let error = gdb_address(text).expect_err(text).to_string();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_is_no_address() {
        ["linux.rpr", "a:b.rpr", "/tmp/x:1", "-verify", ""]
            .iter()
            .for_each(|text| assert!(!is_gdb_address(text), "{text}"));
    }
}
