//! Opens the back ends that a user named.

use crate::cli::values::{BackendOptions, ChardevBackend, ChardevDetails, DumpOption, NetdevBackend, RngBackend};
use crate::say;
use anyhow::{Context, Result};
use reprise_backend::Backends;
use reprise_backend::blockdev::Image;
use reprise_backend::chardev::{
    Address, Chardev, ChardevError, File, Logged, Null, Pty, Role, Socket, SocketOptions, Stdio,
};
use reprise_backend::netdev::user::User;
use reprise_backend::netdev::{Dgram, Dump, Netdev, Stream, Tap};
use reprise_backend::rng::{Rng, RngFile};

/// Opens all of them but the images, which are open already: the machine is built with what they say. Servers that wait
/// for a client do so here, when everything that can be refused was.
pub(crate) fn open(options: &BackendOptions, images: Vec<Box<dyn Image>>) -> Result<Backends> {
    Ok(Backends {
        disks: images,
        netdevs: options.netdevs.backends().iter().map(open_netdev).collect::<Result<_>>()?,
        rngs: options.rngs.backends().iter().map(open_rng).collect::<Result<_>>()?,
        chardevs: options.chardevs.iter().map(open_chardev).collect::<Result<_, _>>().map_err(said)?,
    })
}

/// An error that says its own cause.
fn said(error: ChardevError) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

fn open_chardev((backend, details): (&ChardevBackend, &ChardevDetails)) -> Result<Box<dyn Chardev>, ChardevError> {
    let chardev: Box<dyn Chardev> = match backend {
        ChardevBackend::Stdio { keys, .. } => Box::new(Stdio::open(*keys)?),
        ChardevBackend::Null => Box::new(Null),
        ChardevBackend::File { path, append, input: None } => Box::new(File::create(path, *append)?),
        ChardevBackend::File { path, append, input: Some(input) } => {
            Box::new(File::create(path, *append)?.with_input(input)?)
        }
        ChardevBackend::Pipe(path) => Box::new(File::pipe(path)?),
        ChardevBackend::Pty { link } => {
            let pty = Pty::open(link.as_deref())?;
            say(&format_args!("char device redirected to {} (label {})", pty.user_side(), details.label));
            Box::new(pty)
        }
        ChardevBackend::Socket(options) => Box::new(open_socket(options, &details.label)?),
    };
    Ok(match &details.log {
        None => chardev,
        Some(log) => Box::new(Logged::open(chardev, &log.path, log.append)?),
    })
}

fn open_socket(options: &SocketOptions, label: &str) -> Result<Socket, ChardevError> {
    let mut socket = Socket::open(options)?;
    let wait = matches!(options.role, Role::Server { wait: true });
    if wait {
        say(&format_args!("waiting for connection on: {} (label {label})", socket.address()));
        socket.wait()?;
    } else if matches!(options.address, Address::Tcp { port: 0, .. }) {
        say(&format_args!("listening on: {} (label {label})", socket.address()));
    }
    Ok(socket)
}

fn open_netdev(backend: &NetdevBackend) -> Result<Box<dyn Netdev>> {
    Ok(match backend.clone() {
        NetdevBackend::User(options) => Box::new(User::new(options).context("-netdev user")?),
        NetdevBackend::Tap(options) => Box::new(Tap::open(options).context("-netdev tap")?),
        NetdevBackend::Stream(options) => Box::new(Stream::open(options).context("-netdev stream")?),
        NetdevBackend::Dgram(options) => Box::new(Dgram::open(options).context("-netdev dgram")?),
    })
}

/// Makes the files for frames; `base` is what the real-time clock shows at tick 0.
pub(crate) fn open_dumps(dumps: &[DumpOption], base: u64) -> Result<Vec<Dump>> {
    let open = |dump: &DumpOption| Dump::create(dump.netdev, dump.path.clone(), dump.limit, base);
    dumps.iter().map(|dump| open(dump).context("-object filter-dump")).collect()
}

fn open_rng(backend: &RngBackend) -> Result<Box<dyn Rng>> {
    let path = &backend.path;
    Ok(Box::new(RngFile::open(path).with_context(|| format!("cannot open '{}'", path.display()))?))
}
