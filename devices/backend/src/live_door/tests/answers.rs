//! What front ends ask for.

use super::*;
use crate::blockdev::ImageError;
use crate::rng::RngFile;
use reprise_core::backend::{DiskId, RngId};
use reprise_core::disk::CLUSTER_SIZE;
use std::fs::OpenOptions;
use std::path::Path;

/// An image in memory; reading its second cluster fails.
struct TestImage(Vec<u8>);

impl Image for TestImage {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), ImageError> {
        if offset / CLUSTER_SIZE == 1 {
            return Err(ImageError { path: "disk.img".into(), reason: "worn out".into() });
        }
        data.copy_from_slice(&self.0[offset as usize..][..data.len()]);
        Ok(())
    }
}

fn rng_door(path: &Path) -> LiveDoor {
    let rng = Box::new(RngFile::open(path).unwrap());
    LiveDoor::new(Pace::Fast, Backends { rngs: vec![rng], ..Backends::default() })
}

fn random(door: &mut LiveDoor, length: u32) -> Vec<u8> {
    match door.answer(0, &Question::Random { rng: RngId(0), length }) {
        HostInput::Random { rng: RngId(0), bytes } => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clusters_are_whole_but_for_the_last() {
    let image: Vec<u8> = (0..2 * CLUSTER_SIZE + 1024).map(|n| (n / 512) as u8).collect();
    let disks: Vec<Box<dyn Image>> = vec![Box::new(TestImage(vec![7; 512])), Box::new(TestImage(image.clone()))];
    let mut door = LiveDoor::new(Pace::Fast, Backends { disks, ..Backends::default() });
    let mut ask = |disk, cluster| door.answer(0, &Question::Cluster { disk: DiskId(disk), cluster });
    let found = |disk, cluster, data: &[u8]| HostInput::Cluster { disk: DiskId(disk), cluster, data: data.to_vec() };
    assert!(ask(0, 0) == found(0, 0, &[7; 512]));
    assert!(ask(1, 0) == found(1, 0, &image[..CLUSTER_SIZE as usize]));
    assert_eq!(ask(1, 1), HostInput::ClusterFailed { disk: DiskId(1), cluster: 1 });
    assert!(ask(1, 2) == found(1, 2, &image[2 * CLUSTER_SIZE as usize..]));
    assert!(door.finish().is_none(), "the run goes on");
}

#[test]
fn random_bytes_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    std::fs::write(&path, (0..200).collect::<Vec<u8>>()).unwrap();
    let mut door = rng_door(&path);
    assert_eq!(random(&mut door, 0), b"");
    assert_eq!(random(&mut door, 100), (0..100).collect::<Vec<u8>>());
    assert_eq!(random(&mut door, 100), (100..200).collect::<Vec<u8>>());
    assert!(door.finish().is_none());
}

#[test]
fn a_source_that_ends_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    std::fs::write(&path, b"abc").unwrap();
    let mut door = rng_door(&path);
    assert_eq!((random(&mut door, 3), door.next_due()), (b"abc".to_vec(), None));
    assert_eq!(random(&mut door, 2), b"\0\0");
    assert_eq!(door.next_due(), Some(0), "the guest never runs with zeros for random bytes");
    assert_eq!(door.idle(8, None), Some(8), "there is news");
    assert_eq!(door.poll(9, &Space(0)), Some(HostInput::Quit));
    match door.finish() {
        Some(Ending::Rng(error)) => assert!(error.to_string().contains("it ended after 3 bytes"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slow_source_is_waited_for_and_the_operators_key_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (mut door, mut far) = door(Pace::Fast);
    door.rngs.push(Box::new(RngFile::open(&path).unwrap()));
    let slow = std::thread::spawn(move || {
        for part in ["sl", "ow"] {
            std::thread::sleep(Duration::from_millis(5));
            writer.write_all(part.as_bytes()).unwrap();
        }
        writer
    });
    assert_eq!(random(&mut door, 4), b"slow");
    let _writer = slow.join().unwrap();
    far.write_all(b"\x01x").unwrap();
    assert_eq!(random(&mut door, 4), b"\0\0\0\0");
    assert!(matches!(door.finish(), Some(Ending::Key)));
}
