//! Records of a jitdump (Linux, tools/perf/Documentation/jitdump-specification.txt).
//!
//! perf finds the file by a mapping of it that may be executed, which whoever writes the file must make before the first
//! record, and wants times of `CLOCK_MONOTONIC` (`perf record -k mono`). Then: `perf inject --jit -i perf.data -o jit.data`.

use super::Stretch;
use crate::stats::Stopwatch;

/// Bytes of the file's header.
pub const HEADER: usize = 40;
/// Bytes of a record of code before the name.
pub const LOAD_HEADER: usize = 16 + 40;

/// "JiTD", in the writer's byte order.
const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
/// ELF's number of the machine: EM_X86_64.
const MACHINE: u32 = 62;
/// Kind of a record: code is there.
const CODE_LOAD: u32 = 0;

/// The state of a jitdump.
#[derive(Debug)]
pub struct JitDump {
    process: u32,
    clock: Stopwatch,
    index: u64,
}

impl JitDump {
    /// A dump for the process of this number, whose one thread has the same; `clock` must read `CLOCK_MONOTONIC`.
    pub fn new(process: u32, clock: Stopwatch) -> Self {
        Self { process, clock, index: 0 }
    }

    /// Appends the file's header.
    pub fn header(&self, bytes: &mut Vec<u8>) {
        for word in [MAGIC, VERSION, HEADER as u32, MACHINE, 0, self.process] {
            bytes.extend(word.to_le_bytes());
        }
        let flags = 0;
        for word in [self.now(), flags] {
            bytes.extend(word.to_le_bytes());
        }
    }

    /// Appends a record: from now on there is this code.
    pub fn load(&mut self, bytes: &mut Vec<u8>, name: &str, stretch: Stretch<'_>) {
        let length = LOAD_HEADER + name.len() + 1 + stretch.code.len();
        for word in [CODE_LOAD, length as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.now().to_le_bytes());
        for word in [self.process, self.process] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [stretch.address, stretch.address, stretch.code.len() as u64, self.index] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(name.bytes().filter(|byte| *byte != 0).chain([0]));
        bytes.extend(stretch.code);
        self.index += 1;
    }

    fn now(&self) -> u64 {
        (self.clock)().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn words32(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
    }

    #[test]
    fn the_header_is_the_specifications() {
        let mut bytes = Vec::new();
        JitDump::new(77, || Duration::new(1, 2)).header(&mut bytes);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(words32(&bytes[..24]), [MAGIC, 1, 40, 62, 0, 77]);
        assert_eq!(bytes[24..32], 1_000_000_002u64.to_le_bytes());
        assert_eq!(bytes[32..], [0; 8]);
    }

    #[test]
    fn records_follow_one_another_with_growing_numbers() {
        let mut dump = JitDump::new(77, || Duration::from_nanos(5));
        let mut bytes = Vec::new();
        dump.load(&mut bytes, "one", Stretch { address: 0x1234, code: &[0x90, 0xc3] });
        assert_eq!(bytes.len(), LOAD_HEADER + 4 + 2);
        assert_eq!(words32(&bytes[..8]), [CODE_LOAD, bytes.len() as u32]);
        assert_eq!(words32(&bytes[8..][..48]), [5, 0, 77, 77, 0x1234, 0, 0x1234, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[LOAD_HEADER..], *b"one\0\x90\xc3");
        let first = bytes.len();
        dump.load(&mut bytes, "two", Stretch { address: 0, code: &[0xc3] });
        assert_eq!(bytes[first + 48..first + 56], 1u64.to_le_bytes());
    }
}
