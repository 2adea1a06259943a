//! Checkpoints of whole guests: the guests, who stands at their door, and what it costs.

pub mod cost;

use crate::debian::{self, Suite};
use crate::machines;
use reprise::machine::{DeviceConfig, MachineConfig};
use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::disk::{CLUSTER_SIZE, DiskGeometry};
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;

/// A guest without arrivals.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it is called.
    pub name: String,
    /// Its machine.
    pub config: MachineConfig,
    /// Who answers it.
    pub door: Steady,
}

impl Guest {
    /// The embedded guest, which writes to its disk.
    #[must_use]
    pub fn embedded(cpus: u32) -> Self {
        let disk = (0..1 << 20).map(|n: u32| (n >> 9) as u8).collect();
        Self::with_disk(format!("embedded guest, {cpus} vCPUs"), machines::embedded(cpus), disk)
    }

    fn with_disk(name: String, mut config: MachineConfig, disk: Vec<u8>) -> Self {
        config.disks = vec![DiskGeometry { size: disk.len() as u64, read_only: false }];
        let device = |name: &str, backend: &str| {
            let properties = vec![(backend.to_owned(), "0".to_owned())];
            DeviceConfig { name: name.into(), id: None, properties }
        };
        let devices = [("virtio-blk-pci", "drive"), ("virtio-net-pci", "netdev"), ("virtio-rng-pci", "rng")];
        config.devices = devices.map(|(name, backend)| device(name, backend)).to_vec();
        Self { name, config, door: Steady { images: vec![disk], ..Steady::default() } }
    }

    /// Debian's kernel and a root disk, on which its first process reads and writes; with a network adapter and a source of
    /// random numbers.
    ///
    /// # Panics
    ///
    /// If it cannot be fetched.
    #[must_use]
    pub fn debian(cpus: u32) -> Self {
        let disk = std::fs::read(debian::root_disk()).expect("the disk was made a moment ago");
        let mut config = debian::machine(Suite::Stable, cpus);
        let initrd = debian::initramfs_with_modules(Suite::Stable);
        config.boot.initrd = Some(initrd.into_os_string().into_string().expect("the path is text"));
        config.boot.command_line = "console=ttyS0 quiet panic=-1 reprise.root".into();
        Self::with_disk(format!("Debian, {cpus} vCPUs"), config, disk)
    }
}

/// A door that brings nothing, and whose answers depend on the question and the tick only: it has nothing to go back to.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    /// What each disk's image holds.
    pub images: Vec<Vec<u8>>,
    /// What the first serial port sent; what it sent twice, twice.
    pub console: Vec<u8>,
}

impl Door for Steady {
    fn poll(&mut self, _now: Tick, _room: &dyn Room) -> Option<HostInput> {
        None
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        match *question {
            Question::Cluster { disk, cluster } => {
                let mut clusters = self.images[usize::from(disk.0)].chunks(CLUSTER_SIZE as usize);
                let data = clusters.nth(cluster as usize).expect("the disk is as long as its image");
                HostInput::Cluster { disk, cluster, data: data.to_vec() }
            }
            Question::Random { rng, length } => {
                let byte = |n: u32| (now.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 57)) as u8 ^ n as u8;
                HostInput::Random { rng, bytes: (0..length).map(byte).collect() }
            }
        }
    }

    fn next_due(&self) -> Option<Tick> {
        None
    }

    fn poll_interval(&self) -> Tick {
        Tick::MAX
    }

    fn idle(&mut self, _now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        deadline
    }

    fn output(&mut self, _now: Tick, output: Output) {
        if let Output::Bytes { chardev: ChardevId(0), bytes } = output {
            self.console.extend(bytes);
        }
    }

    /// Nobody compares digests here.
    fn next_digest(&self) -> Option<Tick> {
        None
    }

    fn digest(&mut self, _tick: Tick, _digest: Digest, _machine: &Machine) {}
}
