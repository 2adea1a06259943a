//! A second reader of frames, from `FORMAT.md` alone.

/// A frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) offset: usize,
    pub(crate) end: usize,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// Bytes before the first frame.
pub(crate) const PREAMBLE: usize = 12;
/// Kinds of frames.
pub(crate) const EVENTS: u8 = 2;
pub(crate) const CONTENTS: u8 = 3;
pub(crate) const INDEX: u8 = 6;
pub(crate) const END: u8 = 7;

fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// All frames of a whole recording.
pub(crate) fn of(file: &[u8]) -> Vec<Frame> {
    assert_eq!(&file[..PREAMBLE], b"\x89RPR\r\n\x1a\n\x02\0\0\0");
    let mut frames = Vec::new();
    let mut at = PREAMBLE;
    while at < file.len() {
        let (offset, first) = (at, file[at]);
        at += 1;
        let stored = varint(file, &mut at);
        let length = if first & 0x80 == 0 { stored } else { varint(file, &mut at) };
        let mut summed = file[offset..at].to_vec();
        summed.extend_from_slice(&file[at + 4..at + 4 + stored]);
        assert_eq!(crc32fast::hash(&summed).to_le_bytes(), file[at..at + 4]);
        let bytes = &file[at + 4..at + 4 + stored];
        at += 4 + stored;
        let payload = if first & 0x80 == 0 { bytes.to_vec() } else { zstd::decode_all(bytes).unwrap() };
        assert_eq!(payload.len(), length);
        frames.push(Frame { offset, end: at, kind: first & 0x7f, payload });
    }
    frames
}

/// A frame that is not compressed.
pub(crate) fn raw(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![kind];
    let mut length = payload.len();
    while length >= 0x80 {
        head.push(length as u8 | 0x80);
        length >>= 7;
    }
    head.push(length as u8);
    let checksum = crc32fast::hash(&[head.as_slice(), payload].concat()).to_le_bytes();
    [&head, checksum.as_slice(), payload].concat()
}
