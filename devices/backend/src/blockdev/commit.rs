//! Writing back what a guest wrote, after the run.

use super::header::probe;
use super::open::{Access, access};
use super::{Format, ImageSpec};
use imago::Mapping;
use reprise_core::disk::{Disk, Run};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// Most zeros that are written at once where an image cannot be told that they are zeros.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes to an image after a run. Holds its lock until then.
pub struct Writer {
    file: File,
    spec: ImageSpec,
    format: Format,
    /// As the run found it.
    stamp: Stamp,
}

/// The size of a file, and when it was changed last.
#[derive(PartialEq, Eq)]
struct Stamp(u64, SystemTime);

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self(data.len(), data.modified()?))
    }
}

/// Not everything could be written back.
#[derive(Debug, thiserror::Error)]
#[error(
    "disk image '{}': cannot write back at {at:#x}: {reason}; of the {total} bytes that the guest wrote, the first {done} are \
     in the image, and the others are not",
    path.display()
)]
pub struct CommitError {
    /// The file.
    pub path: PathBuf,
    /// The offset on the disk.
    pub at: u64,
    /// Bytes that are in the image.
    pub done: u64,
    /// Bytes that the guest wrote.
    pub total: u64,
    /// What the host says.
    pub reason: String,
}

impl Writer {
    pub(super) fn new(file: File, spec: ImageSpec, format: Format) -> io::Result<Self> {
        let stamp = Stamp::of(&file)?;
        Ok(Self { file, spec, format, stamp })
    }

    /// Writes what the guest wrote to `disk` into the image, and waits until the medium has it; how many bytes that were.
    pub fn commit(self, disk: &Disk) -> Result<u64, CommitError> {
        let total = disk.written().map(|run| run.length).sum();
        let failed = |at, done, reason| CommitError { path: self.spec.path.clone(), at, done, total, reason };
        if total == 0 {
            return Ok(0);
        }
        self.check_unchanged().and_then(|()| self.check_first_sector(disk)).map_err(|reason| failed(0, 0, reason))?;
        let file = self.file.try_clone().map_err(|error| failed(0, 0, error.to_string()))?;
        let mut image = access(file, &self.spec, self.format, true).map_err(|error| failed(0, 0, error.reason))?;
        let mut done = 0;
        for run in disk.written() {
            if let Err(error) = write_run(&mut image, disk, run) {
                // So that at least this much is whole; there is one error to tell already.
                let _ = image.flush().and_then(|()| image.sync());
                return Err(failed(run.offset, done, error.to_string()));
            }
            done += run.length;
        }
        image.flush().and_then(|()| image.sync()).map_err(|error| failed(0, 0, error.to_string()))?;
        Ok(total)
    }

    /// Not everybody looks at locks. What the guest wrote goes with what the image held before the run, and with nothing
    /// else.
    fn check_unchanged(&self) -> Result<(), String> {
        match Stamp::of(&self.file) {
            Err(error) => Err(error.to_string()),
            Ok(stamp) if stamp == self.stamp || self.spec.share_writes => Ok(()),
            Ok(_) => Err("another program changed it during the run".into()),
        }
    }

    /// A guest must not make a raw image look like another format to those who look at its contents.
    fn check_first_sector(&self, disk: &Disk) -> Result<(), String> {
        if self.format == Format::Qcow2 || self.spec.format.is_some() {
            return Ok(());
        }
        match disk.read(0, 512.min(disk.geometry().size), |_| None).map(|first| probe(&first)) {
            None | Some(Ok(Format::Raw)) => Ok(()),
            Some(Ok(Format::Qcow2) | Err(_)) => {
                Err("the guest made it look like another format: add format=raw to write that back".into())
            }
        }
    }
}

fn write_run(image: &mut Access, disk: &Disk, run: Run) -> io::Result<()> {
    // An image may end within its last sector.
    let length = run.length.min(image.size().saturating_sub(run.offset));
    if run.zero {
        return zero(image, run.offset, length);
    }
    let data = disk.read(run.offset, run.length, |_| None).expect("what was written needs no image");
    let (inside, outside) = data.split_at(length as usize);
    if outside.iter().any(|&byte| byte != 0) {
        return Err(io::Error::other("the guest wrote past the end of the image, within its last sector"));
    }
    image.write(inside, run.offset)
}

/// Makes zeros of what is not known to be zeros already.
fn zero(image: &mut Access, offset: u64, length: u64) -> io::Result<()> {
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let (mapping, length) = image.get_mapping(at, end - at)?;
        let is_zero = matches!(mapping, Mapping::Zero { .. } | Mapping::Eof { .. });
        if length == 0 {
            return Ok(());
        }
        if !is_zero {
            discard(image, at, length)?;
        }
        at += length;
    }
    Ok(())
}

fn discard(image: &mut Access, offset: u64, length: u64) -> io::Result<()> {
    match image.discard_to_zero(offset, length) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            (offset..offset + length).step_by(ZEROS.len()).try_for_each(|at| {
                let part = (offset + length - at).min(ZEROS.len() as u64);
                image.write(&ZEROS[..part as usize], at)
            })
        }
        done => done,
    }
}
