//! Reading and searching memory (Debugging with GDB, E.2 Packets, `m` and `x`; E.4 General Query Packets,
//! `qSearch:memory`).

use super::super::frames::hex;
use super::parse;
use memchr::memmem;
use reprise_core::machine::View;
use reprise_core::memory::PAGE_SIZE;

/// Most bytes that one packet reads; a debugger asks for more by itself.
const READ_LIMIT: u64 = 16 << 10;
/// Most bytes that one packet searches. gdb waits two seconds for an answer.
const SEARCH_LIMIT: u64 = 4 << 30;
/// Bytes that are looked at at once.
const CHUNK: usize = 64 << 10;

/// EINVAL: what the answer to a malformed request says.
pub(super) const INVALID: &[u8] = b"E16";
/// EFAULT: nothing is mapped there.
const FAULT: &[u8] = b"E0e";

/// Memory that requests are about.
#[derive(Clone, Copy)]
pub(super) struct Memory<'m> {
    pub(super) view: View<'m>,
    /// Whether addresses are physical.
    pub(super) physical: bool,
}

impl Memory<'_> {
    /// Reads what is there; how many bytes there are.
    fn read(&self, address: u64, bytes: &mut [u8]) -> usize {
        if !self.physical {
            return self.view.read_linear(address, bytes);
        }
        let left = (u64::MAX - address).saturating_add(1);
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.view.read_physical(address, &mut bytes[..count]);
        count
    }

    /// The bytes at an address, as many as are there of those that are asked for.
    fn bytes(&self, request: &[u8]) -> Result<Vec<u8>, &'static [u8]> {
        let (address, len) = parse::two_numbers(request, b',').ok_or(INVALID)?;
        let mut bytes = vec![0; len.min(READ_LIMIT) as usize];
        let count = self.read(address, &mut bytes);
        if count == 0 && len > 0 {
            return Err(FAULT);
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Answers `m`, of what is behind the letter.
    pub(super) fn answer_digits(&self, request: &[u8]) -> Vec<u8> {
        match self.bytes(request) {
            Ok(bytes) => bytes.iter().flat_map(|&byte| hex(byte)).collect(),
            Err(error) => error.to_vec(),
        }
    }

    /// Answers `x`, of what is behind the letter.
    pub(super) fn answer_binary(&self, request: &[u8]) -> Vec<u8> {
        match self.bytes(request) {
            Ok(bytes) => [b"b".as_slice(), &parse::escaped(&bytes)].concat(),
            Err(error) => error.to_vec(),
        }
    }

    /// Answers `qSearch:memory:`, of what is behind it.
    pub(super) fn answer_search(&self, request: &[u8]) -> Vec<u8> {
        let Some((address, len, pattern)) = search(request) else { return INVALID.to_vec() };
        if len > SEARCH_LIMIT {
            return b"E.a search goes through 4 GiB at most".to_vec();
        }
        match self.find(address, len, &pattern) {
            Found::At(address) => format!("1,{address:x}").into_bytes(),
            Found::Nowhere => b"0".to_vec(),
            Found::NoMemory => FAULT.to_vec(),
        }
    }

    /// Looks for the first place of `pattern`. Where nothing is mapped, there is nothing to be found, and the search goes
    /// on behind it.
    fn find(&self, address: u64, len: u64, pattern: &[u8]) -> Found {
        let finder = memmem::Finder::new(pattern);
        let (mut done, mut any) = (0, false);
        let mut window = Window::new(pattern.len() - 1);
        while done < len {
            let Some(at) = address.checked_add(done) else { break };
            let wanted = (len - done).min(CHUNK as u64 - at % PAGE_SIZE) as usize;
            let count = window.append(wanted, |bytes| self.read(at, bytes));
            let next = at.wrapping_add(count as u64);
            any |= count > 0;
            if let Some(place) = finder.find(window.bytes()) {
                return Found::At(next.wrapping_sub((window.len - place) as u64));
            }
            done += count as u64;
            if count < wanted {
                window.len = 0;
                done += PAGE_SIZE - next % PAGE_SIZE;
            }
        }
        if any { Found::Nowhere } else { Found::NoMemory }
    }
}

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    At(u64),
    Nowhere,
    /// Nothing is mapped.
    NoMemory,
}

/// Bytes that follow each other in memory: the last ones of before, and new ones.
struct Window {
    buffer: Vec<u8>,
    len: usize,
    /// How many of before are kept.
    keep: usize,
}

impl Window {
    fn new(keep: usize) -> Self {
        Self { buffer: vec![0; keep + CHUNK], len: 0, keep }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Keeps the last bytes, and has `read` add at most `wanted`; how many it added.
    fn append(&mut self, wanted: usize, read: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let kept = self.len.min(self.keep);
        self.buffer.copy_within(self.len - kept..self.len, 0);
        let count = read(&mut self.buffer[kept..kept + wanted]);
        self.len = kept + count;
        count
    }
}

/// Address, length and pattern of a search; the pattern is not empty.
fn search(request: &[u8]) -> Option<(u64, u64, Vec<u8>)> {
    let (address, rest) = parse::split(request, b';')?;
    let (len, pattern) = parse::split(rest, b';')?;
    let pattern = parse::unescaped(pattern).filter(|pattern| !pattern.is_empty())?;
    Some((parse::number(address)?, parse::number(len)?, pattern))
}
