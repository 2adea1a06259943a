//! The images of a run: opened before it, and after it what the guest wrote is written back, if the user wants that.

use crate::cli::values::{DriveBackend, Keep, Named};
use crate::say;
use anyhow::{Result, bail};
use reprise_backend::blockdev::{self, Image, Writer};
use reprise_core::board::Board;
use reprise_core::disk::{Disk, DiskGeometry, SECTOR_SIZE};

/// What is left to do with the images after the run.
pub(crate) struct Drives {
    drives: Vec<Drive>,
}

struct Drive {
    /// What to call it in messages.
    name: String,
    keep: Keep,
    writer: Option<Writer>,
}

/// Images that are open.
pub(crate) struct OpenDrives {
    /// To read from, by number.
    pub(crate) images: Vec<Box<dyn Image>>,
    /// Size and access, by number.
    pub(crate) geometries: Vec<DiskGeometry>,
    /// For after the run.
    pub(crate) drives: Drives,
}

/// Opens all images.
pub(crate) fn open(options: &Named<DriveBackend>) -> Result<OpenDrives> {
    let mut open = OpenDrives { images: Vec::new(), geometries: Vec::new(), drives: Drives { drives: Vec::new() } };
    for (id, drive) in options.ids().iter().zip(options.backends()) {
        let opened = blockdev::open(&drive.image)?;
        let size = opened.image.size();
        if size < SECTOR_SIZE {
            bail!("disk image '{}': is empty", drive.image.path.display());
        }
        open.geometries.push(DiskGeometry { size, read_only: drive.read_only });
        open.images.push(opened.image);
        let name = if id.is_empty() { drive.image.path.display().to_string() } else { id.clone() };
        open.drives.drives.push(Drive { name, keep: drive.keep, writer: opened.writer });
    }
    Ok(open)
}

impl Drives {
    /// Writes back what is to be kept, and says what is not kept; whether all went well. After a host error nothing is
    /// written back: who knows what the guest wrote because of it.
    pub(crate) fn finish(self, board: &Board, host_failed: bool) -> bool {
        let mut good = true;
        for (drive, (_, disk)) in self.drives.into_iter().zip(board.disks()) {
            if disk.written().next().is_none() {
                continue;
            }
            let (name, amount) = (drive.name, amount(disk));
            match (drive.keep, drive.writer) {
                (Keep::Yes, Some(writer)) if !host_failed => {
                    if let Err(error) = writer.commit(disk) {
                        say(&error);
                        good = false;
                    }
                }
                (Keep::Yes, _) => {
                    say(&format_args!("{amount} written to drive '{name}' were not kept, because the run failed"));
                }
                (Keep::Unsaid, _) => say(&format_args!(
                    "{amount} written to drive '{name}' were not kept: add -commit or snapshot=off to keep them"
                )),
                (Keep::No, _) => {}
            }
        }
        good
    }
}

/// How much the guest wrote; zeros count only if there is nothing else.
fn amount(disk: &Disk) -> String {
    let sum = |zero| disk.written().filter(|run| run.zero == zero).map(|run| run.length).sum::<u64>();
    let bytes = match sum(false) {
        0 => sum(true),
        bytes => bytes,
    };
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_what_was_written() {
        let mut disk = Disk::new(DiskGeometry { size: 1 << 30, read_only: false });
        disk.zero(0, 1 << 30);
        assert_eq!(amount(&disk), "1024 MiB");
        disk.write(0, &[1; 512]);
        assert_eq!(amount(&disk), "4 KiB");
        disk.write(0, &vec![1; 3 << 20]);
        assert_eq!(amount(&disk), "3 MiB");
    }
}
