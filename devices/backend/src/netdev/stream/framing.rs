//! Frames on a stream as QEMU puts them there: each after its length, four bytes, most significant first.

use crate::netdev::FRAME_LIMIT;

/// Bytes of a length.
const HEADER: usize = 4;

/// A length that no frame has: what follows on the stream cannot be made sense of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLength(pub(super) u32);

/// Takes a stream apart.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
    /// Of them, those that were taken already.
    taken: usize,
}

impl Decoder {
    /// Takes what came on the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if all of it has come.
    pub(super) fn next_frame(&mut self) -> Result<Option<Vec<u8>>, BadLength> {
        let rest = &self.bytes[self.taken..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header);
        if length as usize > FRAME_LIMIT {
            return Err(BadLength(length));
        }
        let Some(frame) = rest.get(..length as usize) else { return Ok(None) };
        self.taken += HEADER + frame.len();
        Ok(Some(frame.to_vec()))
    }
}

/// The header of a frame; the frame follows it.
pub(super) fn header(frame: &[u8]) -> [u8; HEADER] {
    (frame.len() as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut() {
        let frames = [vec![1; 60], vec![], vec![2; 1514], vec![3; FRAME_LIMIT]];
        let stream: Vec<u8> = frames.iter().flat_map(|frame| [&header(frame)[..], frame].concat()).collect();
        for cut in [1, 3, 4, 61, 1000, stream.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in stream.chunks(cut) {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            assert!(found == frames, "cut into {cut}");
        }
    }

    #[test]
    fn garbage_is_no_length() {
        let mut decoder = Decoder::default();
        decoder.push(b"GET / HTTP/1.0\r\n");
        assert_eq!(decoder.next_frame(), Err(BadLength(0x4745_5420)));
        let mut decoder = Decoder::default();
        decoder.push(&(FRAME_LIMIT as u32 + 1).to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(BadLength(FRAME_LIMIT as u32 + 1)));
    }
}
