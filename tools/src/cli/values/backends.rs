//! All back ends that the command line names.

use super::{ChardevBackend, Chardevs, DriveBackend, DumpOption, Named, NetdevBackend, RngBackend};
use crate::usage::UsageError;
use reprise_core::backend::BackendKind;

/// All back ends, each kind in the order of its numbers.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// Character devices.
    pub chardevs: Chardevs,
    /// Disk images.
    pub drives: Named<DriveBackend>,
    /// Networks.
    pub netdevs: Named<NetdevBackend>,
    /// Files for frames.
    pub dumps: Vec<DumpOption>,
    /// Sources of random numbers.
    pub rngs: Named<RngBackend>,
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self {
            chardevs: Chardevs::default(),
            drives: Named::new(BackendKind::Disk),
            netdevs: Named::new(BackendKind::Netdev),
            dumps: Vec::new(),
            rngs: Named::new(BackendKind::Rng),
        }
    }
}

impl BackendOptions {
    /// The number of the back end of `kind` called `id`.
    pub fn find(&self, kind: BackendKind, id: &str) -> Result<u16, UsageError> {
        match kind {
            BackendKind::Chardev => self.chardevs.find(id).map(|chardev| chardev.0),
            BackendKind::Disk => self.drives.find(id),
            BackendKind::Netdev => self.netdevs.find(id),
            BackendKind::Rng => self.rngs.find(id),
        }
    }

    /// The character devices.
    pub fn chardevs(&self) -> &[ChardevBackend] {
        self.chardevs.backends()
    }
}
