//! A small recording byte by byte, as `FORMAT.md` gives it. Where this changes, so does the version of the format.

use crate::frames::raw;
use crate::samples::{Place, Random};
use reprise_core::backend::{ChardevId, DiskId, NetdevId, RngId};
use reprise_core::cpu::Register;
use reprise_core::device::{KeyEvent, PointerEvent};
use reprise_core::disk::StoredBlock;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_core::machine::{Digest, Fingerprint};
use reprise_replay::format::{DIGEST_INTERVAL, NewCheckpoint, NewDisk, STORED_PAGE};
use reprise_replay::{Ended, Event, FORMAT_VERSION, Header, Writer};
use std::fs;
use std::path::Path;

/// XXH3-128 of `hello`.
const HELLO: u128 = 0xb5e9_c1ad_071b_3e7f_c779_cfaa_5e52_3818;

/// Of the last state; nothing that compression makes smaller.
const FINGERPRINT: [[u8; 16]; 2] = [*b"the 1st 16 bytes", *b"and sixteen more"];
/// Of the state at power-on, likewise.
const ORIGIN: [[u8; 16]; 2] = [*b"power came first", *b"when all was dim"];

fn inputs() -> Vec<HostInput> {
    vec![
        HostInput::Chardev { chardev: ChardevId(0x1234), bytes: b"ls\n".to_vec() },
        HostInput::Connected { chardev: ChardevId(2), connected: true },
        HostInput::Connected { chardev: ChardevId(2), connected: false },
        HostInput::Frame { netdev: NetdevId(1), frame: vec![0xee; 4] },
        HostInput::Key(KeyEvent { code: 30, down: true }),
        HostInput::Key(KeyEvent { code: 30, down: false }),
        HostInput::Pointer(PointerEvent { dx: -1, dy: 64, wheel: -1, buttons: 5 }),
        HostInput::PowerButton,
        HostInput::Reset,
        HostInput::Quit,
        HostInput::ClusterFailed { disk: DiskId(1), cluster: 300 },
        HostInput::Random { rng: RngId(3), bytes: vec![7] },
        HostInput::Edit(Edit::Memory { address: 0x1000, bytes: vec![0xcc, 0x90] }),
        HostInput::Edit(Edit::Register { cpu: 1, register: Register::Xmm(2), value: 0x0201_0000 }),
    ]
}

/// A page that compression makes no smaller.
fn page(seed: u64) -> [u8; STORED_PAGE] {
    Random(seed).bytes(STORED_PAGE as u64).try_into().unwrap()
}

fn fingerprint(bytes: [[u8; 16]; 2]) -> Fingerprint {
    let [parts, memory] = bytes.map(u128::from_le_bytes);
    Fingerprint { parts, memory }
}

/// The state of a machine with RAM in pages 5, 6 and 9, two of which hold the same, and a disk.
fn checkpoint(writer: &mut Writer) {
    let [one, other] = [1, 2].map(|seed| writer.page(&page(seed)).unwrap());
    let block = |number, contents| StoredBlock { number, written: 0x81, contents };
    let disk = NewDisk { blocks: vec![block(3, Some(other)), block(4, None)], zeroes: vec![(0, 3), (300, 301)] };
    let ram = [(5, one), (6, other), (9, one)].into();
    let (origin, fingerprint, parts) = (fingerprint(ORIGIN), fingerprint(FINGERPRINT), b"state".to_vec());
    let new = NewCheckpoint { tick: 300, build: "b", origin, fingerprint, parts, ram: &ram, disks: vec![disk] };
    writer.checkpoint(new).unwrap();
}

fn write(path: &Path) -> Vec<u8> {
    let header = Header { build: "b".to_owned(), config: "{}".to_owned() };
    let mut writer = Writer::create(path, &header).unwrap();
    writer.file("kernel", b"hello").unwrap();
    writer.cluster(DiskId(0), 2, b"hello").unwrap();
    inputs().into_iter().for_each(|input| writer.event(200, &Event::Input(input)).unwrap());
    for number in [1, 2, 5] {
        let digest = Digest { sum: 0x0201, weighted: number };
        writer.event(u64::from(number) * DIGEST_INTERVAL, &Event::Digest(digest)).unwrap();
    }
    let ended = Ended { reason: "off".to_owned(), status: 9, icount: 128, fingerprint: fingerprint(FINGERPRINT) };
    writer.event(5 * DIGEST_INTERVAL + 1, &Event::End(ended)).unwrap();
    checkpoint(&mut writer);
    writer.finish().unwrap();
    fs::read(path).unwrap()
}

fn events() -> Vec<u8> {
    let records: [&[u8]; 19] = [
        &[0, 0],
        &[1, 0xc8, 1, 0xb4, 0x24, 3, b'l', b's', b'\n'],
        &[2, 0, 2],
        &[3, 0, 2],
        &[4, 0, 1, 4, 0xee, 0xee, 0xee, 0xee],
        &[5, 0, 30],
        &[6, 0, 30],
        &[7, 0, 1, 0x80, 1, 0xff, 5],
        &[8, 0],
        &[9, 0],
        &[10, 0],
        &[11, 0, 1, 0xac, 2],
        &[12, 0, 3, 1, 7],
        &[14, 0, 0x80, 0x20, 2, 0xcc, 0x90],
        &[15, 0, 1, 34, 4, 0, 0, 1, 2],
        &[0, 1, 2, 1, 2, 1, 0, 0, 1, 2, 2, 0, 0],
        &[0, 2, 1, 1, 2, 5, 0, 0],
        &[13, 1, 3, b'o', b'f', b'f', 9, 0x80, 1],
        FINGERPRINT.as_flattened(),
    ];
    records.concat()
}

/// The checkpoint, whose pages are in a frame at `pages`.
fn state(pages: u64) -> Vec<u8> {
    let at = (2 * pages) as u16;
    let offset = [at as u8 | 0x80, (at >> 7) as u8];
    let parts: [&[u8]; 8] = [
        &[0xac, 2, 1, b'b'],
        ORIGIN.as_flattened(),
        FINGERPRINT.as_flattened(),
        b"\x05state\x01",
        &offset,
        // Pages 5 and 6 at places 0 and 1, page 9 at place 0, which is two before what follows.
        &[2, 5, 1, 0, 2, 0, 3],
        &[1, 2, 0, 3, 0xa9, 2, 1],
        &[2, 3, 0x81, 1, 2, 0, 0x81, 0],
    ];
    parts.concat()
}

#[test]
fn the_format_is_what_its_document_says() {
    let place = Place::new();
    let written = write(&place.path("golden"));
    let mut expected = b"\x89RPR\r\n\x1a\n\x02\0\0\0".to_vec();
    assert_eq!(FORMAT_VERSION, 2);
    expected.extend(raw(1, b"\x01b{}"));
    let contents = expected.len() as u8;
    expected.extend(raw(3, b"hello"));
    let file = expected.len() as u8;
    expected.extend(raw(4, &[b"\x06kernel\x05".as_slice(), &HELLO.to_le_bytes(), &[contents]].concat()));
    let files = expected.len() as u8 - contents;
    expected.extend(raw(5, &[0, 2, contents]));
    let batch = expected.len() as u8;
    expected.extend(raw(2, &events()));
    let size = expected.len() - usize::from(batch);
    let digests = size * 15 / events().len();
    let pages = expected.len() as u64;
    expected.extend(raw(8, &[page(1), page(2)].concat()));
    let checkpoint = expected.len() as u64;
    expected.extend(raw(9, &state(pages)));
    let index = expected.len() as u64;
    let stored = varint(index - pages);
    let checkpoints = [&[4][..], &stored, &[5, 0xd8, 4], &varint(2 * checkpoint)].concat();
    let summary = [0, 1, batch, files, 9, (size - digests) as u8, digests as u8];
    let seek_point = [1, 0x90, 3, (2 * batch) | 0x80, 1];
    let entries =
        [&summary[..], &seek_point, &[2, 6], b"kernel", &[file, 3, 0, 4, 2 * contents], &checkpoints].concat();
    expected.extend(raw(6, &entries));
    expected.extend(raw(7, &index.to_le_bytes()));
    assert_eq!(hex(&written), hex(&expected));
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).map(|line| format!("{line:02x?}\n")).collect()
}
