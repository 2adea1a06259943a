//! Which back ends can be recorded: those of which every byte that reaches the guest comes by the door. A back end that is
//! not declared here does not compile; one that cannot be recorded is refused by `reprise record` before anything starts.

use crate::cli::values::{BackendOptions, ChardevBackend, DriveBackend, NetdevBackend, RngBackend};

/// A back end whose input is written down, or the reason why it cannot be.
pub trait Recordable {
    /// `Err` with the reason.
    fn recordable(&self) -> Result<(), &'static str>;
}

impl Recordable for ChardevBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        match self {
            // Bytes and their ticks.
            Self::Stdio { keys: _, signals: _ } | Self::File { path: _, append: _, input: Some(_) } | Self::Pipe(_) => {
                Ok(())
            }
            // The same, and who comes and goes.
            Self::Pty { link: _ } | Self::Socket(_) => Ok(()),
            // Nothing comes in.
            Self::Null | Self::File { path: _, append: _, input: None } => Ok(()),
        }
    }
}

impl Recordable for DriveBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        // Each cluster, as it was first read.
        let Self { image: _, read_only: _, keep: _ } = self;
        if self.share_rw() {
            return Err("share-rw=on lets others change the image under the recording: leave it out");
        }
        Ok(())
    }
}

impl Recordable for NetdevBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        match self {
            // Frames and their ticks.
            Self::User(_) | Self::Tap(_) | Self::Stream(_) | Self::Dgram(_) => Ok(()),
        }
    }
}

impl Recordable for RngBackend {
    fn recordable(&self) -> Result<(), &'static str> {
        // The bytes.
        let Self { path: _ } = self;
        Ok(())
    }
}

/// The first back end that cannot be recorded, and why.
pub fn unrecordable(backends: &BackendOptions) -> Option<(String, &'static str)> {
    // Nothing comes in from a file of frames.
    let BackendOptions { chardevs, drives, netdevs, rngs, dumps: _ } = backends;
    let chardevs = refused("character device", chardevs.backends());
    let rest = || {
        let drives = refused("disk", drives.backends());
        drives
            .or_else(|| refused("network", netdevs.backends()))
            .or_else(|| refused("source of random numbers", rngs.backends()))
    };
    chardevs.or_else(rest)
}

fn refused<T: Recordable>(kind: &str, backends: &[T]) -> Option<(String, &'static str)> {
    let mut all = backends.iter().enumerate();
    all.find_map(|(number, backend)| Some((format!("{kind} {number}"), backend.recordable().err()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot;
    use crate::machine::creatable_devices;
    use reprise_core::backend::{BackendKind, ChardevId, DiskId, NetdevId, RngId};
    use reprise_core::door::HostInput;
    use reprise_core::property::PropertyKind;
    use reprise_replay::{Event, Header, Recording, Writer};

    /// What comes in by a back end of that kind; a new kind has to be named here.
    fn inputs(kind: BackendKind) -> Vec<HostInput> {
        match kind {
            BackendKind::Chardev => vec![
                HostInput::Chardev { chardev: ChardevId(1), bytes: vec![1] },
                HostInput::Connected { chardev: ChardevId(2), connected: true },
            ],
            BackendKind::Disk => vec![HostInput::ClusterFailed { disk: DiskId(3), cluster: 4 }],
            BackendKind::Netdev => vec![HostInput::Frame { netdev: NetdevId(5), frame: vec![6] }],
            BackendKind::Rng => vec![HostInput::Random { rng: RngId(7), bytes: vec![8] }],
        }
    }

    /// Whatever a device takes from the host comes by a back end, all of whose inputs a recording gives back; or it is a
    /// file that is read before the machine starts, and is in the recording. A back end that cannot be recorded says so in
    /// [`Recordable`].
    #[test]
    fn every_device_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inputs");
        for spec in creatable_devices() {
            let mut expected = Vec::new();
            for property in spec.properties {
                match property.kind {
                    PropertyKind::Backend(kind) => expected.extend(inputs(kind)),
                    PropertyKind::Bool | PropertyKind::Number(_) | PropertyKind::Choice(_) => {}
                    PropertyKind::Text => {
                        let names_a_file =
                            ["file", "path", "dev", "host"].iter().any(|word| property.name.contains(word));
                        let is_loader = spec.name == boot::loader::SPEC.name;
                        assert!(!names_a_file || is_loader, "{}.{}: what is read there?", spec.name, property.name);
                    }
                }
            }
            let mut writer = Writer::create(&file, &Header { build: String::new(), config: String::new() }).unwrap();
            expected.iter().for_each(|input| writer.event(5, &Event::Input(input.clone())).unwrap());
            writer.finish().unwrap();
            let mut recording = Recording::open(&file).unwrap();
            let found: Vec<_> = recording.events(0).map(|event| event.unwrap()).collect();
            let expected: Vec<_> = expected.into_iter().map(|input| (5, Event::Input(input))).collect();
            assert_eq!(found, expected, "{}", spec.name);
        }
    }

    /// A back end that cannot be recorded.
    struct Unrecordable;

    impl Recordable for Unrecordable {
        fn recordable(&self) -> Result<(), &'static str> {
            Err("nobody knows what it says")
        }
    }

    #[test]
    fn the_first_that_cannot_be_recorded_is_named() {
        assert_eq!(refused::<Unrecordable>("thing", &[]), None);
        assert_eq!(refused("thing", &[Unrecordable]), Some(("thing 0".into(), "nobody knows what it says")));
    }
}
