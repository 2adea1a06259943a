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
    use crate::cli::{self, Request};
    use reprise_core::backend::{BackendKind, ChardevId, DiskId, NetdevId, RngId};
    use reprise_core::clock::Tick;
    use reprise_core::device::{KeyEvent, PointerEvent};
    use reprise_core::disk::DiskGeometry;
    use reprise_core::door::{Door, HostInput, Room, Script};
    use reprise_core::edit::{Edit, EditError};
    use reprise_core::machine::Fingerprint;
    use reprise_core::output::Output;
    use reprise_core::property::{DeviceSpec, PropertyKind};
    use reprise_core::request::Question;
    use reprise_frontend::DEVICES;
    use reprise_replay::{Audience, Ended, Header, Recorder, Recording, Replayer, Writer};

    /// Room for everything, and nobody who watches.
    struct Anyone;

    impl Room for Anyone {
        fn chardev(&self, _chardev: ChardevId) -> usize {
            usize::MAX
        }

        fn netdev(&self, _netdev: NetdevId) -> bool {
            true
        }

        fn edit(&self, _edit: &Edit) -> Result<(), EditError> {
            Ok(())
        }
    }

    impl Audience for Anyone {
        fn output(&mut self, _now: Tick, _output: Output) {}

        fn pass(&mut self, _now: Tick) -> bool {
            true
        }

        fn idle(&mut self, _now: Tick, _until: Tick) {}
    }

    /// What comes in, and by a back end of what kind; the person at the machine and a debugger have none.
    fn arrivals() -> Vec<(Option<BackendKind>, HostInput)> {
        let inputs = [
            HostInput::Chardev { chardev: ChardevId(1), bytes: vec![1] },
            HostInput::Connected { chardev: ChardevId(2), connected: true },
            HostInput::Frame { netdev: NetdevId(5), frame: vec![6] },
            HostInput::Key(KeyEvent { code: 30, down: true }),
            HostInput::Pointer(PointerEvent { dx: 1, dy: -1, wheel: 0, buttons: 1 }),
            HostInput::PowerButton,
            HostInput::Reset,
            HostInput::Quit,
            HostInput::Edit(Edit::Memory { address: 0x1000, bytes: vec![0xcc] }),
        ];
        // A new kind of input has to be named here and above, or among the questions.
        let way = |input: &HostInput| match input {
            HostInput::Chardev { .. } | HostInput::Connected { .. } => Some(BackendKind::Chardev),
            HostInput::Frame { .. } => Some(BackendKind::Netdev),
            HostInput::Cluster { .. } | HostInput::ClusterFailed { .. } => Some(BackendKind::Disk),
            HostInput::Random { .. } => Some(BackendKind::Rng),
            HostInput::Key(_)
            | HostInput::Pointer(_)
            | HostInput::PowerButton
            | HostInput::Reset
            | HostInput::Quit
            | HostInput::Edit(_) => None,
        };
        inputs.into_iter().map(|input| (way(&input), input)).collect()
    }

    /// What is asked of a back end of that kind: of a disk, what there is and what cannot be read.
    fn questions(kind: BackendKind) -> Vec<Question> {
        match kind {
            BackendKind::Chardev | BackendKind::Netdev => Vec::new(),
            BackendKind::Disk => [0, 1].map(|cluster| Question::Cluster { disk: DiskId(0), cluster }).into(),
            BackendKind::Rng => vec![Question::Random { rng: RngId(7), length: 8 }],
        }
    }

    /// What comes by `door` at tick 5, and what it answers at tick 6.
    fn everything(door: &mut dyn Door, questions: &[Question]) -> Vec<HostInput> {
        let mut inputs: Vec<_> = std::iter::from_fn(|| door.poll(5, &Anyone)).collect();
        inputs.extend(questions.iter().map(|question| door.answer(6, question)));
        inputs
    }

    /// Checks that what comes by a recorded door comes again from the recording.
    #[track_caller]
    fn check_logged(what: &str, arrivals: Vec<HostInput>, questions: &[Question]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inputs.rpr");
        let mut live = Script::new(arrivals.iter().map(|input| (5, input.clone())).collect());
        live.images = vec![vec![9; 1 << 16]];
        let writer = Writer::create(&file, &Header { build: String::new(), config: String::new() }).unwrap();
        let mut recorder = Recorder::new(live, writer);
        let came = everything(&mut recorder, questions);
        assert_eq!((came.len(), &came[..arrivals.len()]), (arrivals.len() + questions.len(), &arrivals[..]), "{what}");
        let fingerprint = Fingerprint { parts: 0, memory: 0 };
        let ended = Ended { reason: "off".into(), status: 0, icount: 0, fingerprint };
        recorder.into_parts().1.finish(9, ended).unwrap();
        let (mut log, mut contents) = (Recording::open(&file).unwrap(), Recording::open(&file).unwrap());
        let disks = [DiskGeometry { size: 1 << 20, read_only: false }];
        let mut replayer = Replayer::new(log.events(0), &mut contents, &disks, Anyone);
        assert_eq!(everything(&mut replayer, questions), came, "{what}");
    }

    /// Whatever a device takes from the host comes by a back end; or it is a file that is read before the machine starts,
    /// and is in the recording.
    fn kinds_of(spec: &DeviceSpec) -> Vec<BackendKind> {
        let mut kinds = Vec::new();
        for property in spec.properties {
            match property.kind {
                PropertyKind::Backend(kind) => kinds.push(kind),
                PropertyKind::Bool | PropertyKind::Number(_) | PropertyKind::Choice(_) => {}
                PropertyKind::Text => {
                    let names_a_file = ["file", "path", "dev", "host"].iter().any(|word| property.name.contains(word));
                    let is_loader = spec.name == boot::loader::SPEC.name;
                    assert!(!names_a_file || is_loader, "{}.{}: what is read there?", spec.name, property.name);
                }
            }
        }
        kinds
    }

    #[test]
    fn every_device_is_logged() {
        let of = |kind| arrivals().into_iter().filter(move |(way, _)| *way == kind).map(|(_, input)| input);
        check_logged("the person at the machine", of(None).collect(), &[]);
        for spec in DEVICES.iter().chain([&&boot::loader::SPEC]) {
            let kinds = kinds_of(spec);
            let arrivals = kinds.iter().flat_map(|&kind| of(Some(kind))).collect();
            let questions: Vec<_> = kinds.iter().flat_map(|&kind| questions(kind)).collect();
            check_logged(spec.name, arrivals, &questions);
        }
    }

    /// What `record` makes of options: nothing if all can be recorded, else the reason.
    fn reason(options: &str) -> Option<String> {
        let words = ["reprise", "record"].into_iter().chain(options.split_whitespace());
        match cli::parse(words.map(Into::into)) {
            Ok(Request::Record(plan)) => unrecordable(&plan.run.backends).map(|(what, why)| format!("{what}: {why}")),
            Ok(other) => panic!("{options}: {other:?}"),
            Err(error) => Some(error.to_string()),
        }
    }

    /// A kind of back end, options with one of it, and why it is refused if it is.
    const BACKENDS: [(&str, &str, Option<&str>); 21] = [
        ("-chardev stdio", "-serial chardev:x", None),
        ("-chardev null", "-serial chardev:x", None),
        ("-chardev file,path=f", "-serial chardev:x", None),
        ("-chardev file,path=f,input-path=g", "-serial chardev:x", None),
        ("-chardev pipe,path=f", "-serial chardev:x", None),
        ("-chardev pty", "-serial chardev:x", None),
        ("-chardev socket,path=f,server=on", "-serial chardev:x", None),
        ("-chardev socket,host=h,port=1", "-serial chardev:x", None),
        ("-netdev user", "-device virtio-net-pci,netdev=x", None),
        ("-netdev tap,ifname=t", "-device virtio-net-pci,netdev=x", None),
        ("-netdev tap,vhost=on", "-device virtio-net-pci,netdev=x", Some("past the door")),
        ("-netdev socket,listen=127.0.0.1:1", "-device virtio-net-pci,netdev=x", None),
        ("-netdev stream,addr.type=unix,addr.path=f", "-device virtio-net-pci,netdev=x", None),
        (
            "-netdev dgram,local.type=unix,local.path=f,remote.type=unix,remote.path=g",
            "-device virtio-net-pci,netdev=x",
            None,
        ),
        ("-object rng-random", "-device virtio-rng-pci,rng=x", None),
        ("-object rng-builtin", "-device virtio-rng-pci,rng=x", None),
        ("-object filter-dump,netdev=n,file=f", "-nic user,id=n", None),
        ("-drive if=virtio,file=f", "", None),
        ("-drive if=virtio,file=f,share-rw=on", "", Some("disk 0: share-rw=on lets others change the image")),
        ("-drive if=virtio,file=f,force-share=on", "", Some("disk 0: share-rw=on lets others change the image")),
        ("-blockdev raw,file.driver=file,file.filename=f", "-device virtio-blk-pci,drive=x", None),
    ];

    #[test]
    fn every_back_end_is_logged_or_refused() {
        for (backend, user, refusal) in BACKENDS {
            let name = if backend.starts_with("-blockdev") { "node-name" } else { "id" };
            let found = reason(&format!("{backend},{name}=x {user}"));
            match refusal {
                None => assert_eq!(found, None, "{backend}"),
                Some(part) => assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{backend}: {found:?}"),
            }
        }
        // The kinds that there are, as the refusal of one that is none lists them.
        for option in ["-chardev", "-netdev", "-object"] {
            let refusal = reason(&format!("{option} nothing,id=x")).unwrap();
            let (_, kinds) = refusal.rsplit_once("valid choices: ").unwrap_or_else(|| panic!("{refusal}"));
            for kind in kinds.split(", ") {
                let named = |backend: &str| backend.split([' ', ',']).take(2).eq([option, kind]);
                assert!(
                    BACKENDS.iter().any(|(backend, ..)| named(backend)),
                    "{option} {kind}: is it logged or refused?"
                );
            }
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
