//! `-drive` and `-hda`: disks, and the devices that they are on.

use super::{List, Named};
use crate::machine::DeviceConfig;
use crate::usage::UsageError;
use reprise_backend::blockdev::{Backing, Format, ImageSpec, Locking};
use reprise_core::property::number;

/// The device of a disk for which the user named none.
const DISK_DEVICE: &str = "virtio-blk-pci";

/// What `-drive` takes.
const PROPERTIES: [&str; 23] = [
    "file",
    "id",
    "if",
    "index",
    "media",
    "format",
    "driver",
    "readonly",
    "read-only",
    "auto-read-only",
    "snapshot",
    "share-rw",
    "force-share",
    "locking",
    "node-name",
    "cache",
    "aio",
    "discard",
    "detect-zeroes",
    "werror",
    "rerror",
    "file.filename",
    "file.locking",
];

/// Properties that only say how QEMU is to use the host, and what they take. Nothing here depends on them: the image is only
/// read during a run, and an error is the guest's to see.
pub(super) const WITHOUT_EFFECT: [(&str, &[&str]); 10] = [
    ("cache", &["none", "writeback", "unsafe", "directsync", "writethrough"]),
    ("cache.direct", &["on", "off"]),
    ("cache.no-flush", &["on", "off"]),
    ("cache.writeback", &["on", "off"]),
    ("aio", &["threads", "native", "io_uring"]),
    ("discard", &["ignore", "off", "unmap", "on"]),
    ("detect-zeroes", &["off", "on", "unmap"]),
    ("werror", &["enospc", "report", "ignore", "stop"]),
    ("rerror", &["report", "ignore", "stop"]),
    ("auto-read-only", &["on", "off"]),
];

/// What becomes of what the guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is written back to the image after the run.
    Yes,
    /// It is dropped, as the user wants.
    No,
    /// It is dropped, and the user is told.
    Unsaid,
}

/// A disk image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveBackend {
    /// The image.
    pub image: ImageSpec,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// What becomes of what the guest writes.
    pub keep: Keep,
}

impl DriveBackend {
    /// Whether others may write to the image during the run: then nobody knows what a second read would bring.
    pub fn share_rw(&self) -> bool {
        self.image.share_writes
    }
}

/// The disks for which the user named no device: index and number.
#[derive(Debug, Default)]
pub struct DefaultDisks {
    disks: Vec<(u64, u16)>,
}

/// Adds the image that `-drive text` describes to `drives`.
pub fn add_drive(text: &str, drives: &mut Named<DriveBackend>, disks: &mut DefaultDisks) -> Result<(), UsageError> {
    let mut list = List::parse(text);
    take_without_effect("-drive", |name| list.take(name))?;
    check_media(&mut list)?;
    let interface = list.take("if");
    let index = list
        .take("index")
        .map(|index| number(&index).ok_or_else(|| UsageError::new(format!("-drive index='{index}' is no number"))));
    let index = index.transpose()?;
    let id = list.take("id").or_else(|| list.take("node-name")).unwrap_or_default();
    let backend = backend(text, &mut list)?;
    list.finish("-drive", &PROPERTIES)?;
    let drive = drives.add(&id, backend)?;
    match interface.as_deref() {
        Some("none") => Ok(()),
        None | Some("virtio") => disks.add(index, drive),
        Some(other) => Err(UsageError::new(format!(
            "-drive if={other}: there is no such controller; disks are virtio (if=virtio), or on a device of your own \
             (if=none,id=ID with -device {DISK_DEVICE},drive=ID)"
        ))),
    }
}

/// Adds the image of `-hda`, which is the one with `index` 0, or another.
pub fn add_disk(
    path: &str,
    index: u64,
    drives: &mut Named<DriveBackend>,
    disks: &mut DefaultDisks,
) -> Result<(), UsageError> {
    let backend = DriveBackend { image: image(path), read_only: false, keep: Keep::Unsaid };
    disks.add(Some(index), drives.add("", backend)?)
}

/// An image about which nothing else is said.
pub(super) fn image(path: &str) -> ImageSpec {
    ImageSpec {
        path: path.into(),
        format: None,
        writable: false,
        share_writes: false,
        locking: Locking::Auto,
        backing: Backing::Own,
    }
}

fn check_media(list: &mut List) -> Result<(), UsageError> {
    match list.take("media").as_deref() {
        None | Some("disk") => Ok(()),
        Some("cdrom") => Err(UsageError::new(
            "-drive media=cdrom: there is no CD-ROM drive; without media=cdrom, and with readonly=on, it is a disk",
        )),
        Some(other) => Err(UsageError::unknown("media of -drive", other, &["disk"])),
    }
}

/// Takes properties without effect, and checks their values.
pub(super) fn take_without_effect(
    option: &str,
    mut take: impl FnMut(&str) -> Option<String>,
) -> Result<(), UsageError> {
    for (name, choices) in WITHOUT_EFFECT {
        if let Some(value) = take(name).filter(|value| !choices.contains(&value.as_str())) {
            return Err(UsageError::unknown(&format!("value of {option} {name}"), &value, choices));
        }
    }
    Ok(())
}

fn backend(text: &str, list: &mut List) -> Result<DriveBackend, UsageError> {
    let path = list.take("file").or_else(|| list.take("file.filename")).filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| UsageError::new(format!("-drive '{text}' has no image: add file=FILE")))?;
    let read_only = switch("-drive", list, &["readonly", "read-only"])?.unwrap_or(false);
    let keep = match switch("-drive", list, &["snapshot"])? {
        Some(true) => Keep::No,
        Some(false) => Keep::Yes,
        None => Keep::Unsaid,
    };
    let share_writes = switch("-drive", list, &["share-rw"])?.unwrap_or(false);
    let force_share = switch("-drive", list, &["force-share"])?.unwrap_or(false);
    let locking = list.take("locking").or_else(|| list.take("file.locking"));
    let image = ImageSpec {
        format: list.take("format").or_else(|| list.take("driver")).map(|name| format("-drive", &name)).transpose()?,
        share_writes: share_writes || force_share,
        locking: if force_share { Locking::Off } else { locking_of("-drive", locking.as_deref())? },
        ..image(&path)
    };
    Ok(DriveBackend { image, read_only, keep })
}

pub(super) fn format(option: &str, name: &str) -> Result<Format, UsageError> {
    let names = Format::ALL.map(|(name, _)| name);
    Format::find(name).ok_or_else(|| UsageError::unknown(&format!("format of {option}"), name, &names))
}

pub(super) fn locking_of(option: &str, text: Option<&str>) -> Result<Locking, UsageError> {
    match text {
        None | Some("auto") => Ok(Locking::Auto),
        Some("on") => Ok(Locking::On),
        Some("off") => Ok(Locking::Off),
        Some(other) => Err(UsageError::unknown(&format!("locking of {option}"), other, &["auto", "on", "off"])),
    }
}

/// The switch that has one of these names.
fn switch(option: &str, list: &mut List, names: &[&str]) -> Result<Option<bool>, UsageError> {
    let values = names.iter().map(|name| list.take(name).map(|value| on_or_off(option, name, &value)));
    values.collect::<Vec<_>>().into_iter().flatten().next_back().transpose()
}

pub(super) fn on_or_off(option: &str, name: &str, value: &str) -> Result<bool, UsageError> {
    match value {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        other => Err(UsageError::unknown(&format!("value of {option} {name}"), other, &["on", "off"])),
    }
}

impl DefaultDisks {
    /// Adds a disk; without an index the first that is free.
    fn add(&mut self, index: Option<u64>, drive: u16) -> Result<(), UsageError> {
        let is_taken = |index: u64| self.disks.iter().any(|(other, _)| *other == index);
        let index = index.unwrap_or_else(|| (0..).find(|&index| !is_taken(index)).expect("there is always another"));
        if is_taken(index) {
            return Err(UsageError::new(format!("there is a disk with index={index} already: each has its own")));
        }
        self.disks.push((index, drive));
        Ok(())
    }

    /// Adds their devices, in the order of their indices.
    fn attach(mut self, devices: &mut Vec<DeviceConfig>) {
        self.disks.sort_unstable();
        devices.extend(self.disks.iter().map(|(_, drive)| DeviceConfig {
            name: DISK_DEVICE.into(),
            id: None,
            properties: vec![("drive".into(), drive.to_string())],
        }));
    }
}

/// Puts every disk on a device, one each, and settles what becomes of what is written to it: `snapshot` and `commit` are for
/// the drives that do not say.
pub fn settle_drives(
    drives: &mut Named<DriveBackend>,
    disks: DefaultDisks,
    devices: &mut Vec<DeviceConfig>,
    (snapshot, commit): (bool, bool),
) -> Result<(), UsageError> {
    if snapshot && commit {
        return Err(UsageError::new("-snapshot drops what -commit would keep: say snapshot=on|off on each -drive"));
    }
    disks.attach(devices);
    let mut used = vec![false; drives.backends().len()];
    for device in devices.iter().filter(|device| device.name == DISK_DEVICE) {
        let value =
            |name: &str| device.properties.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let Some(number) = value("drive").and_then(|number| number.parse::<usize>().ok()) else { continue };
        if std::mem::replace(&mut used[number], true) {
            let id = &drives.ids()[number];
            return Err(UsageError::new(format!(
                "drive '{id}' is on two devices: each has its own; one of -drive without if=none is on a device already"
            )));
        }
        drives.backends_mut()[number].image.share_writes |= value("share-rw") == Some("on");
    }
    for drive in drives.backends_mut() {
        drive.keep = match drive.keep {
            Keep::Unsaid if snapshot => Keep::No,
            Keep::Unsaid if commit => Keep::Yes,
            said => said,
        };
        drive.image.writable = drive.keep == Keep::Yes && !drive.read_only;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::BackendKind;
    use std::path::Path;

    fn drives(texts: &[&str]) -> Result<(Named<DriveBackend>, DefaultDisks), UsageError> {
        let (mut drives, mut disks) = (Named::new(BackendKind::Disk), DefaultDisks::default());
        texts.iter().try_for_each(|text| add_drive(text, &mut drives, &mut disks))?;
        Ok((drives, disks))
    }

    fn refusal(text: &str) -> String {
        drives(&[text]).expect_err(text).to_string()
    }

    /// The drive of each disk, in their order.
    fn order(disks: DefaultDisks) -> Vec<String> {
        let mut devices = Vec::new();
        disks.attach(&mut devices);
        devices.into_iter().map(|device| device.properties[0].1.clone()).collect()
    }

    #[test]
    fn drives_as_qemu_writes_them() {
        let texts = [
            "file=a.img",
            "file=b,,c.qcow2,if=none,id=x,format=qcow2,readonly=on,cache=none,aio=native,discard=unmap,werror=report",
            "file.filename=d,driver=raw,snapshot=off,share-rw=on,file.locking=on,media=disk,if=virtio",
            "file=e,snapshot=on,read-only=off,force-share=on,if=none",
        ];
        let (drives, disks) = drives(&texts).unwrap();
        let [a, b, d, e] = drives.backends() else { panic!("four drives") };
        assert_eq!(
            (a.image.path.as_path(), a.image.format, a.read_only, a.keep),
            (Path::new("a.img"), None, false, Keep::Unsaid)
        );
        assert_eq!(
            (b.image.path.as_path(), b.image.format, b.read_only),
            (Path::new("b,c.qcow2"), Some(Format::Qcow2), true)
        );
        assert_eq!(
            (d.image.format, d.keep, d.share_rw(), d.image.locking),
            (Some(Format::Raw), Keep::Yes, true, Locking::On)
        );
        assert_eq!((e.keep, e.share_rw(), e.image.locking, e.read_only), (Keep::No, true, Locking::Off, false));
        assert_eq!((drives.find("x").unwrap(), order(disks)), (1, vec!["0".into(), "2".into()]));
    }

    #[test]
    fn disks_come_in_the_order_of_their_indices() {
        let (mut drives, mut disks) = drives(&["file=a", "file=b,index=0x5", "file=c"]).unwrap();
        add_disk("d", 3, &mut drives, &mut disks).unwrap();
        assert_eq!(order(disks), ["0", "2", "3", "1"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, part) in [
            ("if=none,id=x", "has no image: add file=FILE"),
            ("file=", "has no image"),
            ("file=a,if=ide", "-drive if=ide: there is no such controller"),
            ("file=a,media=cdrom", "there is no CD-ROM drive"),
            ("file=a,format=vmdk", "unknown format of -drive 'vmdk'\nvalid choices: raw, qcow2"),
            ("file=a,cache=warm", "unknown value of -drive cache 'warm'"),
            ("file=a,snapshot=maybe", "unknown value of -drive snapshot 'maybe'"),
            ("file=a,index=x", "index='x' is no number"),
            ("file=a,throttling.bps-total=1", "unknown property of -drive 'throttling.bps-total'"),
            ("file=a,locking=2", "unknown locking of -drive '2'"),
        ] {
            assert!(refusal(text).contains(part), "{text}: {}", refusal(text));
        }
        let error = drives(&["file=a,index=1", "file=b,index=1"]).expect_err("twice").to_string();
        assert!(error.contains("there is a disk with index=1"), "{error}");
        assert!(drives(&["file=a,id=x", "file=b,id=x"]).is_err());
    }

    #[test]
    fn what_is_kept_is_settled_by_the_drive_first() {
        let texts = ["file=a", "file=b,snapshot=on", "file=c,snapshot=off", "file=d,readonly=on"];
        let settled = |snapshot, commit| {
            let (mut drives, disks) = drives(&texts).unwrap();
            settle_drives(&mut drives, disks, &mut Vec::new(), (snapshot, commit)).unwrap();
            drives.backends().iter().map(|drive| (drive.keep, drive.image.writable)).collect::<Vec<_>>()
        };
        let (yes, no, unsaid) = ((Keep::Yes, true), (Keep::No, false), (Keep::Unsaid, false));
        assert_eq!(settled(false, false), [unsaid, no, yes, unsaid]);
        assert_eq!(settled(true, false), [no, no, yes, no]);
        assert_eq!(settled(false, true), [yes, no, yes, (Keep::Yes, false)]);
        let (mut drives, disks) = drives(&texts).unwrap();
        assert!(settle_drives(&mut drives, disks, &mut Vec::new(), (true, true)).is_err());
    }

    #[test]
    fn a_drive_is_on_one_device() {
        let device = |drive: &str, more: &[(&str, &str)]| DeviceConfig {
            name: DISK_DEVICE.into(),
            id: None,
            properties: [("drive", drive)].iter().chain(more).map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
        };
        let settle = |mut devices: Vec<DeviceConfig>| {
            let (mut drives, disks) = drives(&["file=a,id=x", "file=b,if=none,id=y"]).unwrap();
            settle_drives(&mut drives, disks, &mut devices, (false, false)).map(|()| (devices, drives))
        };
        let (devices, drives) = settle(vec![device("1", &[("share-rw", "on")])]).unwrap();
        assert_eq!(devices[1], device("0", &[]));
        assert!(drives.backends()[1].share_rw() && !drives.backends()[0].share_rw());
        let error = settle(vec![device("0", &[])]).expect_err("on two").to_string();
        assert!(error.contains("drive 'x' is on two devices"), "{error}");
    }
}
