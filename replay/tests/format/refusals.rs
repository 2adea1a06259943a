//! What is no recording, or not one of this version, is refused by name.

use crate::frames::PREAMBLE;
use crate::samples::{Place, Run};
use reprise_replay::{ReadError, Recording};
use std::fs;

fn error(bytes: &[u8]) -> String {
    let place = Place::new();
    let path = place.path("x");
    fs::write(&path, bytes).unwrap();
    let error = Recording::open(&path).err().expect("it is no recording");
    error.to_string().replace(&path.display().to_string(), "x")
}

#[test]
fn other_files_are_told_from_recordings() {
    let no_recording = |found: &str| {
        format!(
            "'x' is no recording: expected the magic bytes 89 52 50 52 0d 0a 1a 0a at its start, found {found}: name a file \
             that `reprise record` made"
        )
    };
    assert_eq!(error(b""), no_recording("an empty file"));
    assert_eq!(error(b"#!/bin/sh\n"), no_recording(r##"text ("#!/bin/s")"##));
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    assert_eq!(error(&gzip), no_recording("a gzip file (1f 8b 08 00 00 00 00 00)"));
    assert_eq!(error(&[0; 100]), no_recording("00 00 00 00 00 00 00 00"));
    assert_eq!(
        error(b"\x89RPR\n\x1a\n\x01\0\0\0"),
        no_recording("89 52 50 52 0a 1a 0a 01"),
        "line ends were changed in transfer"
    );
}

#[test]
fn what_is_no_file_is_told() {
    let place = Place::new();
    let error = Recording::open(&place.path(".")).err().unwrap();
    assert!(matches!(error, ReadError::NotAFile { found: "a directory", .. }), "{error}");
    let error = Recording::open("/dev/zero".as_ref()).err().unwrap();
    assert!(matches!(error, ReadError::NotAFile { .. }), "{error}");
    let error = Recording::open(&place.path("none")).err().unwrap();
    assert!(
        matches!(&error, ReadError::Host { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{error}"
    );
}

#[test]
fn other_versions_are_named_with_the_build_that_made_them() {
    let place = Place::new();
    let mut bytes = Run::random(1, 9, 9).bytes(&place.path("run"));
    bytes[8] = 3;
    assert_eq!(
        error(&bytes),
        "'x' cannot be read by this build: expected format version 1 to 2, found 3: use the build that made it (reprise 0.1.0)"
    );
    assert!(error(&bytes[..PREAMBLE]).ends_with("found 3: use a newer build, or record again"));
    bytes[8] = 0;
    assert!(error(&bytes[..PREAMBLE]).ends_with("found 0: use an older build, or record again"));
}

#[test]
fn a_configuration_that_was_changed_is_told() {
    let place = Place::new();
    let mut bytes = Run { config: "{}".to_owned(), ..Run::default() }.bytes(&place.path("run"));
    let at = bytes.windows(2).position(|window| window == b"{}").unwrap();
    bytes[at] = b'[';
    let told = error(&bytes);
    assert!(told.starts_with("recording 'x' is damaged at offset 0xc: expected checksum "), "{told}");
    assert!(told.contains(" of the header frame, found "), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_told_from_those_that_are() {
    let place = Place::new();
    let run = Run::random(1, 9, 9);
    run.write(&place.path("run"));
    let error = Recording::open(&place.path("run")).unwrap().file("bios").unwrap_err().to_string();
    assert!(
        error.ends_with("does not hold file 'bios': expected it among its files, found 'empty', 'initrd', 'kernel'")
    );
}
