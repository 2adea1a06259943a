//! `filter-dump`: the frames of a network in a file for tcpdump and Wireshark.
//!
//! Document: draft-ietf-opsawg-pcap, PCAP Capture File Format; the variant with nanoseconds.
//!
//! Frames are seen at the machine's door, where the tick is known: a frame's time is guest time, the tick since what the
//! real-time clock showed at the start. So a replay writes the same file, byte for byte.

use super::NetdevError;
use reprise_core::backend::NetdevId;
use reprise_core::clock::Tick;
use reprise_core::door::{Door, HostInput, Room};
use reprise_core::machine::{Digest, Machine};
use reprise_core::output::Output;
use reprise_core::request::Question;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Marks times in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// Major and minor version, as the file has them.
const VERSION: [u16; 2] = [2, 4];
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
/// Ticks of a second.
const SECOND: Tick = 1_000_000_000;

/// A file for the frames of one network.
pub struct Dump {
    netdev: NetdevId,
    /// Gone once it cannot be written.
    file: Option<File>,
    path: PathBuf,
    /// Most bytes of a frame that are kept.
    limit: u32,
    /// Seconds since 1970 at tick 0.
    base: u64,
}

impl Dump {
    /// Makes the file `path` for frames of `netdev`, of which it keeps `limit` bytes each; `base` is what the real-time
    /// clock shows at tick 0, in seconds since 1970.
    pub fn create(netdev: NetdevId, path: PathBuf, limit: u32, base: u64) -> Result<Self, NetdevError> {
        let create = || {
            let mut file = File::create(&path)?;
            file.write_all(&file_header(limit))?;
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(Self { netdev, file: Some(file), path, limit, base }),
            Err(source) => Err(NetdevError::Open { name: format!("'{}'", path.display()), source }),
        }
    }

    fn frame(&mut self, netdev: NetdevId, now: Tick, frame: &[u8]) {
        let Some(file) = self.file.as_mut().filter(|_| netdev == self.netdev) else { return };
        if let Err(error) = write_record(file, self.base, now, self.limit, frame) {
            let path = self.path.display();
            log::warn!(target: "netdev", "cannot write to '{path}': {error}: it ends here, and the machine goes on");
            self.file = None;
        }
    }
}

fn file_header(limit: u32) -> Vec<u8> {
    let mut header = MAGIC.to_le_bytes().to_vec();
    header.extend(VERSION.iter().flat_map(|number| number.to_le_bytes()));
    // Two reserved fields, the limit, the kind of link.
    header.extend([0, 0, limit, ETHERNET].iter().flat_map(|field: &u32| field.to_le_bytes()));
    header
}

/// Writes a frame at once: what was sent is in the file whatever becomes of the run.
fn write_record(file: &mut File, base: u64, now: Tick, limit: u32, frame: &[u8]) -> io::Result<()> {
    let kept = &frame[..frame.len().min(limit as usize)];
    let seconds = base.wrapping_add(now / SECOND) as u32;
    let fields = [seconds, (now % SECOND) as u32, kept.len() as u32, frame.len() as u32];
    let mut record: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    record.extend(kept);
    file.write_all(&record)
}

/// A door at which somebody writes down the frames that pass.
pub struct DumpDoor<'a> {
    door: &'a mut dyn Door,
    dumps: Vec<Dump>,
}

impl<'a> DumpDoor<'a> {
    /// `door`, with `dumps` of what passes.
    pub fn new(door: &'a mut dyn Door, dumps: Vec<Dump>) -> Self {
        Self { door, dumps }
    }
}

impl Door for DumpDoor<'_> {
    fn poll(&mut self, now: Tick, room: &dyn Room) -> Option<HostInput> {
        let input = self.door.poll(now, room);
        if let Some(HostInput::Frame { netdev, frame }) = &input {
            self.dumps.iter_mut().for_each(|dump| dump.frame(*netdev, now, frame));
        }
        input
    }

    fn answer(&mut self, now: Tick, question: &Question) -> HostInput {
        self.door.answer(now, question)
    }

    fn next_due(&self) -> Option<Tick> {
        self.door.next_due()
    }

    fn poll_interval(&self) -> Tick {
        self.door.poll_interval()
    }

    fn idle(&mut self, now: Tick, deadline: Option<Tick>) -> Option<Tick> {
        self.door.idle(now, deadline)
    }

    fn output(&mut self, now: Tick, output: Output) {
        if let Output::Frame { netdev, frame } = &output {
            self.dumps.iter_mut().for_each(|dump| dump.frame(*netdev, now, frame));
        }
        self.door.output(now, output);
    }

    fn next_digest(&self) -> Option<Tick> {
        self.door.next_digest()
    }

    fn digest(&mut self, tick: Tick, digest: Digest, machine: &Machine) {
        self.door.digest(tick, digest, machine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::ChardevId;
    use reprise_core::door::Script;
    use reprise_core::edit::{Edit, EditError};
    use std::path::Path;

    struct Anything;

    impl Room for Anything {
        fn chardev(&self, _: ChardevId) -> usize {
            usize::MAX
        }

        fn netdev(&self, _: NetdevId) -> bool {
            true
        }

        fn edit(&self, _edit: &Edit) -> Result<(), EditError> {
            Ok(())
        }
    }

    /// Times and bytes of the frames in a file, read as the document says.
    fn records(path: &Path) -> Vec<(u32, u32, usize, Vec<u8>)> {
        let bytes = std::fs::read(path).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4), word(20)), (0xa1b2_3c4d, 0x0004_0002, 1));
        let (mut at, mut found) = (24, Vec::new());
        while at < bytes.len() {
            let (kept, length) = (word(at + 8) as usize, word(at + 12) as usize);
            assert!(kept as u32 <= word(16));
            found.push((word(at), word(at + 4), length, bytes[at + 16..at + 16 + kept].to_vec()));
            at += 16 + kept;
        }
        found
    }

    #[test]
    fn both_directions_of_one_network_with_guest_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.pcap");
        let frame = |netdev, byte| HostInput::Frame { netdev: NetdevId(netdev), frame: vec![byte; 60] };
        let mut script = Script::new(vec![(5, frame(1, 1)), (5, frame(0, 2)), (3_000_000_007, frame(1, 3))]);
        let dump = Dump::create(NetdevId(1), path.clone(), 50, 1000).unwrap();
        let mut door = DumpDoor::new(&mut script, vec![dump]);
        while door.poll(5, &Anything).is_some() {}
        assert_eq!(door.next_due(), Some(3_000_000_007));
        door.output(1_999_999_999, Output::Frame { netdev: NetdevId(1), frame: vec![4; 42] });
        door.output(1_999_999_999, Output::Frame { netdev: NetdevId(0), frame: vec![5; 42] });
        while door.poll(3_000_000_007, &Anything).is_some() {}
        let expected = [(1000, 5, 60, vec![1; 50]), (1001, 999_999_999, 42, vec![4; 42]), (1003, 7, 60, vec![3; 50])];
        assert_eq!(records(&path), expected);
        drop(door);
        assert_eq!(script.frames.len(), 2);
    }

    #[test]
    fn a_full_disk_ends_the_file_and_nothing_else() {
        let error = Dump::create(NetdevId(0), "/dev/full".into(), 65536, 0).err().unwrap().to_string();
        assert_eq!(error, "cannot open '/dev/full': No space left on device (os error 28)");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut dump = Dump { netdev: NetdevId(0), file: Some(full), path: "/dev/full".into(), limit: 65536, base: 0 };
        dump.frame(NetdevId(0), 0, &[0; 60]);
        assert!(dump.file.is_none());
        dump.frame(NetdevId(0), 0, &[0; 60]);
    }
}
