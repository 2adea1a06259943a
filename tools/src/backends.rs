//! Opens the back ends that a user named.

use crate::cli::RunPlan;
use crate::cli::values::{BackendOptions, ChardevBackend, DumpOption, NetdevBackend, RngBackend};
use crate::drives::{self, Drives};
use anyhow::{Context, Result};
use reprise_backend::Backends;
use reprise_backend::chardev::{Chardev, File, Null, Stdio};
use reprise_backend::netdev::user::User;
use reprise_backend::netdev::{Dgram, Dump, Netdev, Stream, Tap};
use reprise_backend::rng::{Rng, RngFile};

/// All that is open.
pub(crate) struct Opened {
    /// What serves the machine.
    pub(crate) backends: Backends,
    /// The images, for after the run.
    pub(crate) drives: Drives,
}

/// Opens all of them, and completes the machine's configuration with what the images say of its disks.
pub(crate) fn open(plan: &mut RunPlan) -> Result<Opened> {
    let open = drives::open(&plan.backends.drives)?;
    plan.config.disks = open.geometries;
    let options = &plan.backends;
    let backends = Backends {
        chardevs: options.chardevs().iter().map(open_chardev).collect::<Result<_>>()?,
        disks: open.images,
        netdevs: options.netdevs.backends().iter().map(open_netdev).collect::<Result<_>>()?,
        rngs: options.rngs.backends().iter().map(open_rng).collect::<Result<_>>()?,
    };
    Ok(Opened { backends, drives: open.drives })
}

fn open_chardev(backend: &ChardevBackend) -> Result<Box<dyn Chardev>> {
    Ok(match backend {
        ChardevBackend::Stdio { keys } => Box::new(Stdio::open(*keys)?),
        ChardevBackend::Null => Box::new(Null),
        ChardevBackend::File(path) => Box::new(File::create(path)?),
    })
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
pub(crate) fn open_dumps(options: &BackendOptions, base: u64) -> Result<Vec<Dump>> {
    let open = |dump: &DumpOption| Dump::create(dump.netdev, dump.path.clone(), dump.limit, base);
    options.dumps.iter().map(|dump| open(dump).context("-object filter-dump")).collect()
}

fn open_rng(backend: &RngBackend) -> Result<Box<dyn Rng>> {
    let path = &backend.path;
    Ok(Box::new(RngFile::open(path).with_context(|| format!("cannot open '{}'", path.display()))?))
}
