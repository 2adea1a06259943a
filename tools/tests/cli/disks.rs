//! Disks: what is refused, and what becomes of what a guest writes. The embedded guest writes to the end of its disk.

use crate::{reprise, stderr_of};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// Bytes of each image.
const SIZE: usize = 1 << 20;
/// Bytes at its end that the embedded guest writes.
const WRITTEN: usize = 0x18000;

fn image(folder: &TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, vec![0; SIZE]).unwrap();
    path.to_str().unwrap().to_owned()
}

fn qcow2(folder: &TempDir, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    let run =
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).args(options).arg(&path).arg("1M").status();
    assert!(run.expect("qemu-img of qemu-utils is there").success());
    path
}

/// Whether the embedded guest's writes are in an image.
fn has_writes(bytes: &[u8]) -> bool {
    let (before, end) = bytes.split_at(SIZE - WRITTEN);
    let pattern = |at: usize| (at * 7 + (at >> 8)) as u8;
    assert!(before.iter().all(|&byte| byte == 0), "only the end is written");
    match end.iter().enumerate().filter(|&(at, &byte)| byte == pattern(at)).count() {
        WRITTEN => true,
        _ if end.iter().all(|&byte| byte == 0) => false,
        count => panic!("{count} of {WRITTEN} bytes were written"),
    }
}

/// Runs the embedded guest with a raw image; standard error, and whether the image was changed.
#[track_caller]
fn run(options: impl Fn(&str) -> Vec<String>) -> (String, bool) {
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "disk.img");
    let options = options(&path);
    let args: Vec<_> = ["run"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let stderr = stderr_of(&args, 0);
    (stderr, has_writes(&fs::read(&path).unwrap()))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_a_guest_writes_is_dropped_with_a_word() {
    let (stderr, changed) = run(|path| words(&format!("-drive file={path},id=d")));
    let expected = "reprise: 96 KiB written to drive 'd' were not kept: add -commit or snapshot=off to keep them\n";
    assert_eq!((stderr.as_str(), changed), (expected, false));
}

#[test]
fn what_a_guest_writes_is_dropped_silently_if_asked() {
    for options in ["-drive file=PATH,snapshot=on", "-hda PATH -snapshot", "-commit -drive file=PATH,snapshot=on"] {
        let outcome = run(|path| words(&options.replace("PATH", path)));
        assert_eq!(outcome, (String::new(), false), "{options}");
    }
}

#[test]
fn what_a_guest_writes_is_kept_if_asked() {
    for options in [
        "-drive file=PATH,snapshot=off",
        "-hda PATH -commit",
        "-snapshot -drive file=PATH,if=none,id=a,snapshot=off,cache=none,aio=io_uring -device virtio-blk-pci,drive=a",
        "--commit -blockdev driver=raw,node-name=a,file.driver=file,file.filename=PATH -device virtio-blk-pci,drive=a",
    ] {
        let outcome = run(|path| words(&options.replace("PATH", path)));
        assert_eq!(outcome, (String::new(), true), "{options}");
    }
}

#[test]
fn a_read_only_disk_has_nothing_to_keep() {
    let (stderr, changed) = run(|path| words(&format!("-drive file={path},readonly=on,snapshot=off")));
    assert_eq!((stderr.as_str(), changed), ("", false));
}

#[test]
fn qcow2_images_are_written_back() {
    let folder = TempDir::new().unwrap();
    let base = qcow2(&folder, "base.qcow2", &[]);
    let top = qcow2(&folder, "top.qcow2", &["-F", "qcow2", "-b", base.to_str().unwrap()]);
    let before = fs::read(&base).unwrap();
    assert_eq!(stderr_of(&["run", "-hda", top.to_str().unwrap(), "--commit"], 0), "");
    assert!(fs::read(&base).unwrap() == before, "what it lies on is as it was");
    let plain = folder.path().join("plain");
    let check = |args: &[&str]| assert!(Command::new("qemu-img").args(args).status().unwrap().success(), "{args:?}");
    check(&["check", "-q", top.to_str().unwrap()]);
    check(&["convert", "-O", "raw", top.to_str().unwrap(), plain.to_str().unwrap()]);
    assert!(has_writes(&fs::read(&plain).unwrap()));
}

#[test]
fn disks_are_in_the_order_of_their_indices() {
    let folder = TempDir::new().unwrap();
    let [first, second] = ["a", "b"].map(|name| image(&folder, name));
    fs::write(&first, [1; 4096]).unwrap();
    let console = |options: &[&str]| {
        let output = reprise(&[&["run", "-snapshot"], options].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.starts_with("guest: disk: ")).unwrap().to_owned()
    };
    let of_first = console(&["-hda", &first]);
    assert!(of_first.starts_with("guest: disk: ok 8 sectors"), "{of_first}");
    assert_eq!(console(&["-hdb", &second, "-hda", &first]), of_first);
    let second = format!("file={second}");
    assert_eq!(console(&["-hda", &first, "-drive", &second]), of_first);
}

#[test]
fn images_that_cannot_be_used_are_named_at_once() {
    let folder = TempDir::new().unwrap();
    let bad = image(&folder, "bad.qcow2");
    fs::write(&bad, b"QFI\xfb\0\0\0\x09").unwrap();
    let empty = folder.path().join("empty").to_str().unwrap().to_owned();
    fs::write(&empty, []).unwrap();
    for (path, part) in [
        ("/nowhere/a.img", "disk image '/nowhere/a.img': No such file or directory"),
        ("/", "disk image '/': is a directory"),
        (&bad, "qcow2 version is 9, expected 2 or 3"),
        (&empty, "is empty"),
    ] {
        let start = Instant::now();
        let stderr = stderr_of(&["run", "-hda", path], 2);
        assert!(stderr.contains(part) && stderr.contains(path), "{stderr}");
        assert!(start.elapsed().as_millis() < 2000, "it took {:?}", start.elapsed());
    }
}

#[test]
fn an_image_that_somebody_writes_to_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = image(&folder, "disk.img");
    let mut writer = Command::new("qemu-io");
    writer.args(["-f", "raw", &path]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut writer = writer.spawn().expect("qemu-io of qemu-utils is there");
    // Its prompt comes when the image is open.
    writer.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    let stderr = stderr_of(&["run", "-hda", &path], 2);
    assert!(stderr.contains("another program may write to it") && Path::new(&path).exists(), "{stderr}");
    stderr_of(&["run", "-snapshot", "-drive", &format!("file={path},share-rw=on")], 0);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    stderr_of(&["run", "-snapshot", "-hda", &path], 0);
}
