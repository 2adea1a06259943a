//! Images against `qemu-img`, which makes them, and says what is in them.

use super::*;
use reprise_core::disk::{Disk, DiskGeometry};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// How long anything may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many images of a kind are damaged.
const ROUNDS: usize = 200;

/// A folder for images.
struct Images {
    folder: TempDir,
}

impl Images {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs qemu-img in the folder; what it says.
    #[track_caller]
    fn qemu_img(&self, line: &str) -> String {
        self.run("qemu-img", &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs one command of qemu-io on an image.
    #[track_caller]
    fn qemu_io(&self, image: &str, command: &str) {
        self.run("qemu-io", &["-f", "qcow2", "-c", command, image]);
    }

    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> String {
        let output = unlocked(|| self.try_run(program, args), is_refused);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {}: {text}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn try_run(&self, program: &str, args: &[&str]) -> Output {
        let output = Command::new(program).args(args).current_dir(self.folder.path()).output();
        output.unwrap_or_else(|error| panic!("{program} (of qemu-utils) is needed: {error}"))
    }

    fn spec(&self, name: &str) -> ImageSpec {
        ImageSpec {
            path: self.path(name),
            format: None,
            writable: false,
            share_writes: false,
            locking: Locking::Auto,
            backing: Backing::Own,
        }
    }

    /// A file of `length` bytes, some of them zeros.
    fn raw(&self, name: &str, length: usize) -> Vec<u8> {
        let bytes = noise(length as u64, length);
        fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    /// Checks every byte of an image, and random parts of it, against what qemu-img makes of it.
    #[track_caller]
    fn check(&self, name: &str) {
        self.qemu_img(&format!("convert -O raw {name} plain"));
        let expected = fs::read(self.path("plain")).unwrap();
        let mut image = open(&self.spec(name)).unwrap_or_else(|error| panic!("{error}")).image;
        assert_eq!(image.size(), expected.len().next_multiple_of(512) as u64, "{name}");
        let mut data = vec![0xaa; expected.len()];
        image.read(0, &mut data).unwrap();
        assert!(data == expected, "{name} differs");
        let mut random = Random(7);
        for _ in 0..200 {
            let at = random.below(expected.len() as u64) as usize;
            let part = &expected[at..(at + random.below(70_000) as usize).min(expected.len())];
            let mut data = vec![0xaa; part.len()];
            image.read(at as u64, &mut data).unwrap();
            assert!(data == part, "{name} differs after {at:#x}");
        }
    }
}

/// Tries until no lock is in the way. Between fork and exec, a process that another test starts has what this one has open,
/// so locks can outlive their owner for a moment.
fn unlocked<T>(attempt: impl Fn() -> T, is_locked: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let outcome = attempt();
        if !is_locked(&outcome) || start.elapsed() > PATIENCE {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a program of QEMU's found an image locked.
fn is_refused(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("lock")
}

/// Opens an image that nobody uses.
fn open(spec: &ImageSpec) -> Result<OpenImage, ImageError> {
    unlocked(
        || super::open(spec),
        |opened| opened.as_ref().is_err_and(|error| error.reason.contains("another program")),
    )
}

/// A fixed sequence of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.0 >> 24
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Bytes that compress badly, among zeros and ones that compress well.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let count = (random.below(5000) as usize).min(length - bytes.len());
        match random.below(3) {
            0 => bytes.resize(bytes.len() + count, 0),
            1 => bytes.resize(bytes.len() + count, random.below(256) as u8),
            _ => bytes.extend((0..count).map(|_| random.next() as u8)),
        }
    }
    bytes
}

fn message(spec: &ImageSpec) -> String {
    open(spec).err().unwrap_or_else(|| panic!("{} was opened", spec.path.display())).to_string()
}

#[test]
fn raw_images_are_their_bytes() {
    let images = Images::new();
    let bytes = images.raw("a.img", 3 * 65536 + 700);
    let mut image = open(&images.spec("a.img")).unwrap().image;
    assert_eq!(image.size(), 3 * 65536 + 1024);
    let mut data = vec![0xaa; 2048];
    image.read(3 * 65536, &mut data).unwrap();
    assert_eq!((&data[..700], &data[700..]), (&bytes[3 * 65536..], &[0; 1348][..]));
}

#[test]
fn qcow2_images_are_what_qemu_reads() {
    let images = Images::new();
    images.raw("a.img", 3 << 20);
    for (index, options) in [
        "cluster_size=512",
        "cluster_size=4k",
        "cluster_size=64k",
        "cluster_size=2M",
        "compat=0.10",
        "refcount_bits=1",
        "lazy_refcounts=on",
        "preallocation=metadata",
    ]
    .iter()
    .enumerate()
    {
        images.qemu_img(&format!("convert -f raw -O qcow2 -o {options} a.img {index}.qcow2"));
        images.check(&format!("{index}.qcow2"));
    }
}

#[test]
fn compressed_images_are_what_qemu_reads() {
    let images = Images::new();
    images.raw("a.img", (3 << 20) + 1024);
    for (index, options) in ["cluster_size=4k", "cluster_size=64k", "cluster_size=2M", "compat=0.10"].iter().enumerate()
    {
        images.qemu_img(&format!("convert -c -f raw -O qcow2 -o {options} a.img {index}.qcow2"));
        images.check(&format!("{index}.qcow2"));
    }
}

#[test]
fn chains_are_what_qemu_reads() {
    let images = Images::new();
    images.raw("base.img", 1 << 20);
    images.qemu_img("create -f qcow2 -b base.img -F raw -o cluster_size=4k mid.qcow2 3M");
    images.qemu_io("mid.qcow2", "write -P 0x31 100k 300k");
    images.qemu_io("mid.qcow2", "write -z 500k 64k");
    images.qemu_io("mid.qcow2", "write -P 0x32 2M 100k");
    images.qemu_img("create -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2");
    images.qemu_io("top.qcow2", "write -P 0x33 130k 20k");
    images.qemu_io("top.qcow2", "write -z 1900k 200k");
    images.qemu_io("top.qcow2", "write -c -P 0x34 2560k 64k");
    ["mid.qcow2", "top.qcow2"].iter().for_each(|name| images.check(name));
    images.qemu_img("create -f qcow2 -b top.qcow2 -F qcow2 small.qcow2 700k");
    images.check("small.qcow2");
}

#[test]
fn a_chain_may_be_given() {
    let images = Images::new();
    images.raw("base.img", 1 << 20);
    let other = images.raw("other.img", 2 << 20);
    images.qemu_img("create -f qcow2 -b base.img -F raw top.qcow2 1M");
    let read = |backing| {
        let mut image = open(&ImageSpec { backing, ..images.spec("top.qcow2") }).unwrap().image;
        let mut data = vec![0xaa; 1 << 20];
        image.read(0, &mut data).unwrap();
        data
    };
    assert!(read(Backing::Nothing) == vec![0; 1 << 20]);
    assert!(read(Backing::Other(Box::new(images.spec("other.img")))) == other[..1 << 20]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let images = Images::new();
    fs::write(images.path("base.img"), [0; 4096]).unwrap();
    images.qemu_img("create -f qcow2 -b base.img -F raw top.qcow2 1M");
    images.qemu_img("create -f qcow2 -o compression_type=zstd zstd.qcow2 1M");
    images.qemu_img("create -f qcow2 -o extended_l2=on sub.qcow2 1M");
    images.qemu_img("create -f qcow2 -o data_file=data.raw ext.qcow2 1M");
    images.qemu_img("create -f vmdk a.vmdk 1M");
    images.qemu_img("create -f qcow2 -u -b other.qcow2 -F qcow2 self.qcow2 1M");
    images.qemu_img("create -f qcow2 -u -b self.qcow2 -F qcow2 other.qcow2 1M");
    fs::remove_file(images.path("base.img")).unwrap();
    fs::write(images.path("short.qcow2"), &fs::read(images.path("zstd.qcow2")).unwrap()[..300]).unwrap();
    for (name, expected) in [
        ("none.img", "No such file"),
        (".", "is a directory"),
        ("zstd.qcow2", "is compressed with zstd"),
        ("sub.qcow2", "has subclusters"),
        ("ext.qcow2", "keeps its data in another file"),
        ("a.vmdk", "format vmdk is not supported: convert it with 'qemu-img convert"),
        ("top.qcow2", "base.img': No such file"),
        ("self.qcow2", "does one lie on itself?"),
        ("short.qcow2", "is compressed with zstd"),
    ] {
        let spec = images.spec(name);
        let message = message(&spec);
        assert!(message.contains(expected) && message.contains(&spec.path.display().to_string()), "{name}: {message}");
    }
    let raw = ImageSpec { format: Some(Format::Qcow2), ..images.spec("data.raw") };
    assert!(message(&raw).contains("is no qcow2 image"), "{}", message(&raw));
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let images = Images::new();
    images.qemu_img("create -f qcow2 a.qcow2 100M");
    let good = fs::read(images.path("a.qcow2")).unwrap();
    for (at, bytes, expected) in [
        (4, vec![0, 0, 0, 4], "version is 4, expected 2 or 3"),
        (20, vec![0, 0, 0, 63], "cluster_bits is 63, expected 9 to 21"),
        (32, vec![0, 0, 0, 1], "is encrypted"),
        (36, vec![0xff; 4], "L1 table has 4294967295 entries"),
        (36, vec![0; 4], "L1 table has 0 entries, and a disk of 104857600 bytes needs 1"),
        (24, vec![0x7f; 8], "bytes needs"),
        (40, vec![0xff; 8], "is cut short"),
        (56, vec![0xff; 4], "refcount table has"),
        (79, vec![1], "was not closed cleanly"),
        (79, vec![2], "is marked as corrupt"),
        (72, vec![0x80], "unknown incompatible feature 63"),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(images.path("bad.qcow2"), bad).unwrap();
        let message = message(&images.spec("bad.qcow2"));
        assert!(message.contains(expected), "{at}: {message}");
    }
}

#[test]
fn who_would_write_over_tables_is_refused() {
    let images = Images::new();
    images.raw("a.img", 1 << 20);
    for (index, options) in ["compat=1.1", "compat=0.10", "refcount_bits=1", "refcount_bits=64"].iter().enumerate() {
        let name = format!("{index}.qcow2");
        images.qemu_img(&format!("convert -f raw -O qcow2 -o {options} a.img {name}"));
        let spec = ImageSpec { writable: true, ..images.spec(&name) };
        drop(open(&spec).unwrap());
        let good = fs::read(images.path(&name)).unwrap();
        let number = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap()) as usize;
        let (table, l1) = (number(48), number(40));
        let block = number(table);
        for (at, bytes, expected) in [
            (table, vec![0; 8], "refcount block 0 of 1 is missing"),
            (block, vec![0], "header at 0x0 is not counted as in use"),
            (l1 + 5, vec![0xff], "L2 table at"),
        ] {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(&bytes);
            if expected.starts_with("header") {
                bad[block..block + 8].fill(0);
            }
            fs::write(images.path(&name), bad).unwrap();
            let reason = message(&spec);
            assert!(reason.contains(expected) && reason.contains("qemu-img check -r all"), "{reason}");
            open(&images.spec(&name)).expect("it can be read");
        }
    }
}

/// How often something happened to damaged images.
#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    read: u32,
    failed: u32,
    written: u32,
    not_written: u32,
}

impl Outcomes {
    /// Opens a damaged image, reads it, and writes to it.
    fn try_out(&mut self, spec: &ImageSpec) {
        let Ok(OpenImage { mut image, writer }) = open(spec) else {
            self.refused += 1;
            return;
        };
        let mut data = vec![0; 65536];
        for at in (0..image.size().min(4 << 20)).step_by(65536) {
            match image.read(at, &mut data) {
                Ok(()) => self.read += 1,
                Err(_) => self.failed += 1,
            }
        }
        let mut disk = Disk::new(DiskGeometry { size: image.size(), read_only: false });
        disk.write((image.size().min(3 << 18) / 2) & !511, &[1; 20 * 512]);
        disk.zero(0, image.size().min(1 << 18) & !511);
        match writer.unwrap().commit(&disk) {
            Ok(_) => self.written += 1,
            Err(_) => self.not_written += 1,
        }
    }
}

/// Images with random damage: each is refused, or works, or reading or writing fails.
#[test]
fn damaged_images_do_no_harm() {
    let images = Images::new();
    images.raw("a.img", 1 << 20);
    images.qemu_img("convert -c -f raw -O qcow2 -o cluster_size=4k a.img packed.qcow2");
    images.qemu_img("create -f qcow2 -b a.img -F raw -o cluster_size=4k top.qcow2 2M");
    images.qemu_io("top.qcow2", "write -P 0x31 100k 300k");
    let mut random = Random(1);
    let mut outcomes = Outcomes::default();
    let spec = ImageSpec { writable: true, ..images.spec("bad.qcow2") };
    for name in ["packed.qcow2", "top.qcow2"] {
        let good = fs::read(images.path(name)).unwrap();
        for round in 0..ROUNDS {
            // The header; the tables, which are the first clusters; anything.
            let limit = [512, 32 << 10, good.len() as u64][round % 3];
            let mut bad = good.clone();
            (0..1 + random.below(8)).for_each(|_| bad[random.below(limit) as usize] ^= 1 << random.below(8));
            fs::write(images.path("bad.qcow2"), bad).unwrap();
            outcomes.try_out(&spec);
        }
    }
    let Outcomes { refused, read, failed, written, not_written } = outcomes;
    assert!(refused > 50 && read > 1000 && failed > 10 && written > 10 && not_written > 0, "{outcomes:?}");
}

/// A disk as large as the image, with writes of all kinds; and what is on it after them.
fn written(bytes: &mut [u8]) -> Disk {
    let mut disk = Disk::new(DiskGeometry { size: bytes.len() as u64, read_only: false });
    let mut random = Random(3);
    for round in 0..60 {
        let sectors = bytes.len() as u64 / 512;
        let first = random.below(sectors);
        let count = (1 + random.below(if round % 10 == 0 { 1500 } else { 40 })).min(sectors - first);
        let range = (first * 512) as usize..((first + count) * 512) as usize;
        if round % 4 == 0 {
            bytes[range.clone()].fill(0);
            assert!(disk.zero(range.start as u64, range.len() as u64));
        } else {
            let data = noise(round, range.len());
            assert!(disk.write(range.start as u64, &data));
            bytes[range].copy_from_slice(&data);
        }
    }
    disk
}

/// Writes a guest's writes back to an image, and has QEMU compare.
#[track_caller]
fn check_commit(images: &Images, name: &str, check: bool) {
    let format = if check { "qcow2" } else { "raw" };
    images.qemu_img(&format!("convert -f {format} -O raw {name} before"));
    let mut bytes = fs::read(images.path("before")).unwrap();
    let disk = written(&mut bytes);
    fs::write(images.path("expected"), &bytes).unwrap();
    let opened = open(&ImageSpec { writable: true, ..images.spec(name) }).unwrap();
    let total = opened.writer.unwrap().commit(&disk).unwrap();
    drop(opened.image);
    assert_eq!(total, disk.written().map(|run| run.length).sum());
    images.qemu_img(&format!("compare -f {format} -F raw {name} expected"));
    if check {
        images.qemu_img(&format!("check {name}"));
    }
}

#[test]
fn what_was_written_is_written_back() {
    let images = Images::new();
    images.raw("a.img", 3 << 20);
    for (index, options) in
        ["cluster_size=512", "cluster_size=64k", "cluster_size=2M", "compat=0.10", "refcount_bits=64"]
            .iter()
            .enumerate()
    {
        images.qemu_img(&format!("convert -f raw -O qcow2 -o {options} a.img {index}.qcow2"));
        check_commit(&images, &format!("{index}.qcow2"), true);
    }
    images.qemu_img("convert -c -f raw -O qcow2 a.img packed.qcow2");
    check_commit(&images, "packed.qcow2", true);
    check_commit(&images, "a.img", false);
}

#[test]
fn writing_back_leaves_the_rest_of_a_chain_and_snapshots() {
    let images = Images::new();
    let base = images.raw("base.img", 1 << 20);
    images.qemu_img("create -f qcow2 -b base.img -F raw -o cluster_size=4k top.qcow2 2M");
    images.qemu_io("top.qcow2", "write -P 0x31 100k 300k");
    images.qemu_img("convert -f qcow2 -O raw top.qcow2 snapped");
    images.qemu_img("snapshot -c one top.qcow2");
    check_commit(&images, "top.qcow2", true);
    assert!(fs::read(images.path("base.img")).unwrap() == base);
    images.qemu_img("convert -l one -f qcow2 -O raw top.qcow2 snapped.after");
    images.qemu_img("compare -f raw -F raw snapped snapped.after");
}

#[test]
fn a_whole_disk_of_zeros_costs_an_image_nothing() {
    let images = Images::new();
    for options in ["compat=1.1", "compat=0.10"] {
        images.qemu_img(&format!("create -f qcow2 -o {options} a.qcow2 1T"));
        let mut disk = Disk::new(DiskGeometry { size: 1 << 40, read_only: false });
        disk.zero(0, 1 << 40);
        let opened = open(&ImageSpec { writable: true, ..images.spec("a.qcow2") }).unwrap();
        assert_eq!(opened.writer.unwrap().commit(&disk).unwrap(), 1 << 40);
        drop(opened.image);
        images.qemu_img("check a.qcow2");
        assert!(fs::metadata(images.path("a.qcow2")).unwrap().len() < 1 << 20, "{options}");
    }
}

#[test]
fn a_raw_image_does_not_become_another_format_by_itself() {
    let images = Images::new();
    images.raw("a.img", 1 << 20);
    let mut disk = Disk::new(DiskGeometry { size: 1 << 20, read_only: false });
    disk.write(0, &[&b"QFI\xfb\0\0\0\x03"[..], &[0; 504]].concat());
    let commit = |format| {
        let opened = open(&ImageSpec { writable: true, format, ..images.spec("a.img") }).unwrap();
        opened.writer.unwrap().commit(&disk)
    };
    let before = fs::read(images.path("a.img")).unwrap();
    let error = commit(None).unwrap_err().to_string();
    assert!(error.contains("add format=raw") && before == fs::read(images.path("a.img")).unwrap(), "{error}");
    assert_eq!(commit(Some(Format::Raw)).unwrap(), 512);
}

#[test]
fn a_host_that_cannot_write_is_told_with_what_is_in_the_image() {
    let images = Images::new();
    images.raw("a.img", 1 << 20);
    let spec = ImageSpec { writable: true, share_writes: true, ..images.spec("a.img") };
    let opened = open(&spec).unwrap();
    // As on a full disk: the image is shorter than it was.
    fs::OpenOptions::new().write(true).open(images.path("a.img")).unwrap().set_len(65536).unwrap();
    let mut disk = Disk::new(DiskGeometry { size: 1 << 20, read_only: false });
    disk.write(0, &[1; 512]);
    disk.write(1 << 19, &[2; 512]);
    let error = opened.writer.unwrap().commit(&disk).unwrap_err();
    assert_eq!((error.at, error.done, error.total), (1 << 19, 512, 1024));
    assert_eq!(fs::read(images.path("a.img")).unwrap()[..512], [1; 512]);
}

#[test]
fn nothing_is_written_back_to_an_image_that_another_program_changed() {
    let images = Images::new();
    let before = images.raw("a.img", 1 << 20);
    let mut disk = Disk::new(DiskGeometry { size: 1 << 20, read_only: false });
    disk.write(0, &[1; 512]);
    for share_writes in [false, true] {
        let opened = open(&ImageSpec { writable: true, share_writes, ..images.spec("a.img") }).unwrap();
        let file = fs::OpenOptions::new().write(true).open(images.path("a.img")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(10)).unwrap();
        let outcome = opened.writer.unwrap().commit(&disk);
        let is_written = fs::read(images.path("a.img")).unwrap() != before;
        match outcome {
            Ok(length) => assert!(share_writes && is_written && length == 512),
            Err(error) => {
                assert!(error.to_string().contains("another program changed it during the run"), "{error}");
                assert!(!share_writes && !is_written);
            }
        }
    }
}

#[test]
fn images_in_use_are_locked_as_qemu_does() {
    let images = Images::new();
    images.raw("a.img", 1 << 20);
    let write = || images.try_run("qemu-io", &["-f", "raw", "-c", "quit", "a.img"]);
    let read = || images.try_run("qemu-img", &["convert", "-f", "raw", "-O", "raw", "a.img", "copy"]);
    let refusal = |spec: &ImageSpec| super::open(spec).err().expect("it is locked").to_string();
    let spec = images.spec("a.img");
    let reader = open(&spec).unwrap();
    open(&spec).expect("two may read");
    assert!(refusal(&ImageSpec { writable: true, ..spec.clone() }).contains("does not let others write"));
    assert!(is_refused(&write()) && !is_refused(&read()));
    drop(reader);
    assert!(!is_refused(&unlocked(write, is_refused)));
    let sharing = ImageSpec { share_writes: true, ..spec.clone() };
    let reader = open(&sharing).unwrap();
    assert!(!is_refused(&unlocked(write, is_refused)));
    drop(reader);
    let writer = open(&ImageSpec { writable: true, ..spec.clone() }).unwrap();
    assert!(is_refused(&write()) && is_refused(&read()));
    assert!(refusal(&spec).contains("another program"));
    open(&ImageSpec { locking: Locking::Off, ..spec.clone() }).expect("who looks at no lock sees none");
    drop(writer);
    open(&spec).unwrap();
}

#[test]
fn what_is_opened_takes_no_time() {
    let images = Images::new();
    images.qemu_img("create -f qcow2 a.qcow2 8T");
    fs::File::create(images.path("a.img")).unwrap().set_len(1 << 43).unwrap();
    let start = std::time::Instant::now();
    ["a.qcow2", "a.img"].iter().for_each(|name| drop(open(&images.spec(name)).unwrap()));
    // To look at all of either takes minutes.
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn paths_of_a_chain_are_beside_the_image() {
    let images = Images::new();
    fs::create_dir(images.path("folder")).unwrap();
    images.raw("folder/base.img", 65536);
    images.qemu_img("create -f qcow2 -b base.img -F raw folder/top.qcow2");
    images.check("folder/top.qcow2");
    assert!(Path::new("folder/top.qcow2").is_relative());
}
