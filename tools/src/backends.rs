//! Opens the back ends that a user named.

use crate::cli::values::{BackendOptions, ChardevBackend, RngBackend};
use anyhow::{Context, Result};
use reprise_backend::Backends;
use reprise_backend::blockdev::Image;
use reprise_backend::chardev::{Chardev, File, Null, Stdio};
use reprise_backend::rng::{Rng, RngFile};

/// Opens all of them but the images, which are open already: the machine is built with what they say.
pub(crate) fn open(options: &BackendOptions, images: Vec<Box<dyn Image>>) -> Result<Backends> {
    Ok(Backends {
        chardevs: options.chardevs().iter().map(open_chardev).collect::<Result<_>>()?,
        disks: images,
        netdevs: Vec::new(),
        rngs: options.rngs.backends().iter().map(open_rng).collect::<Result<_>>()?,
    })
}

fn open_chardev(backend: &ChardevBackend) -> Result<Box<dyn Chardev>> {
    Ok(match backend {
        ChardevBackend::Stdio { keys } => Box::new(Stdio::open(*keys)?),
        ChardevBackend::Null => Box::new(Null),
        ChardevBackend::File(path) => Box::new(File::create(path)?),
    })
}

fn open_rng(backend: &RngBackend) -> Result<Box<dyn Rng>> {
    let path = &backend.path;
    Ok(Box::new(RngFile::open(path).with_context(|| format!("cannot open '{}'", path.display()))?))
}
