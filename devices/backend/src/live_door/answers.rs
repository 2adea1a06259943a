//! Answers to what front ends ask: the host may take its time, the guest does not notice.

use super::{Ending, LiveDoor};
use crate::blockdev::{Image, ImageError};
use reprise_core::backend::{DiskId, RngId};
use reprise_core::disk::CLUSTER_SIZE;
use reprise_core::door::HostInput;
use std::time::{Duration, Instant};

/// Failures closer together than this are one burst, of which the operator is told once.
const BURST: Duration = Duration::from_secs(10);

/// A disk image at the door.
pub(super) struct Disk {
    image: Box<dyn Image>,
    /// When reading it failed last.
    failed: Option<Instant>,
}

impl Disk {
    pub(super) fn new(image: Box<dyn Image>) -> Self {
        Self { image, failed: None }
    }

    /// The bytes of `cluster`, of which the last of an image may be short.
    fn read(&mut self, cluster: u64) -> Result<Vec<u8>, ImageError> {
        let offset = cluster * CLUSTER_SIZE;
        let mut data = vec![0; CLUSTER_SIZE.min(self.image.size().saturating_sub(offset)) as usize];
        self.image.read(offset, &mut data)?;
        Ok(data)
    }

    /// Notes a failure; whether it begins a burst.
    fn fail(&mut self, now: Instant) -> bool {
        self.failed.replace(now).is_none_or(|before| now - before >= BURST)
    }
}

impl LiveDoor {
    pub(super) fn read_cluster(&mut self, id: DiskId, cluster: u64) -> HostInput {
        let disk = &mut self.disks[usize::from(id.0)];
        match disk.read(cluster) {
            Ok(data) => HostInput::Cluster { disk: id, cluster, data },
            Err(error) => {
                if disk.fail(Instant::now()) {
                    log::error!(target: "drive", "{error}");
                }
                HostInput::ClusterFailed { disk: id, cluster }
            }
        }
    }

    /// Random bytes. Those that the host does not give are zeros, and the run ends before the guest can tell.
    pub(super) fn random(&mut self, id: RngId, length: u32) -> HostInput {
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        while filled < bytes.len() && self.ending.is_none() {
            match self.rngs[usize::from(id.0)].read(&mut bytes[filled..]) {
                Ok(0) => {
                    self.wait(None, Some(id));
                    self.look();
                }
                Ok(count) => filled += count,
                Err(error) => self.end(Ending::Rng(error)),
            }
        }
        HostInput::Random { rng: id, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Image for Broken {
        fn size(&self) -> u64 {
            512
        }

        fn read(&mut self, _offset: u64, _data: &mut [u8]) -> Result<(), ImageError> {
            Err(ImageError { path: "disk.img".into(), reason: "worn out".into() })
        }
    }

    #[test]
    fn the_operator_is_told_once_of_a_burst_of_failures() {
        let (mut disk, start) = (Disk::new(Box::new(Broken)), Instant::now());
        let told = [0, 1, 10, 21].map(|second| disk.fail(start + Duration::from_secs(second)));
        assert_eq!(told, [true, false, false, true]);
    }
}
