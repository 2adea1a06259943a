//! Names of translated code for `perf`, which otherwise sees nameless addresses.
//!
//! | file | what |
//! | --- | --- |
//! | [`perf_map`] | lines of `/tmp/perf-PID.map`: name and place, read when a report is made |
//! | [`jitdump`] | records of a `jit-PID.dump`: code too, with the time from which it was there, for `perf annotate` |
//! | [`symbols`] | names of guest addresses |
//!
//! This crate makes the bytes; whoever has a file writes them.

pub mod jitdump;
pub mod perf_map;
pub mod symbols;

use symbols::Symbols;

/// A stretch of host code.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Address of its first byte.
    pub address: u64,
    /// Its bytes.
    pub code: &'a [u8],
}

/// How records are written.
#[derive(Debug)]
pub enum Format {
    /// Lines of text.
    PerfMap,
    /// Records with code and time.
    JitDump(jitdump::JitDump),
}

/// Takes bytes as they are made.
pub type Sink = Box<dyn FnMut(&[u8])>;

/// Tells a sink of all code that is translated.
pub struct Profile {
    format: Format,
    symbols: Symbols,
    sink: Sink,
    bytes: Vec<u8>,
}

impl Profile {
    /// Writes in this format to this sink, with guest addresses named by these symbols.
    pub fn new(format: Format, symbols: Symbols, sink: Sink) -> Self {
        let mut profile = Self { format, symbols, sink, bytes: Vec::new() };
        if let Format::JitDump(dump) = &profile.format {
            dump.header(&mut profile.bytes);
        }
        profile.drain();
        profile
    }

    /// A block was translated for the guest code at a linear address.
    pub fn block(&mut self, linear: u64, hot: Stretch<'_>, cold: Stretch<'_>) {
        let name = self.symbols.name(linear);
        self.record(&name, hot);
        self.record(&format!("{name} [cold]"), cold);
        self.drain();
    }

    /// Host code of our own is there.
    pub fn thunk(&mut self, name: &str, code: Stretch<'_>) {
        self.record(name, code);
        self.drain();
    }

    fn record(&mut self, name: &str, stretch: Stretch<'_>) {
        if stretch.code.is_empty() {
            return;
        }
        match &mut self.format {
            Format::PerfMap => perf_map::line(&mut self.bytes, name, stretch),
            Format::JitDump(dump) => dump.load(&mut self.bytes, name, stretch),
        }
    }

    fn drain(&mut self) {
        (self.sink)(&self.bytes);
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    fn written(format: Format) -> Vec<u8> {
        let bytes = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&bytes);
        let symbols = Symbols::parse("0000000000401000 T main\n");
        let mut profile = Profile::new(format, symbols, Box::new(move |new| sink.borrow_mut().extend_from_slice(new)));
        profile.thunk("reprise enter", Stretch { address: 0x7000, code: &[0xc3] });
        let cold = Stretch { address: 0x9000, code: &[] };
        profile.block(0x40_1010, Stretch { address: 0x8000, code: &[0x90, 0xc3] }, cold);
        bytes.take()
    }

    #[test]
    fn a_perf_map_has_a_line_for_each_stretch_that_is_not_empty() {
        let text = String::from_utf8(written(Format::PerfMap)).expect("text");
        assert_eq!(text, "7000 1 reprise enter\n8000 2 guest main+0x10\n");
    }

    #[test]
    fn a_dump_begins_with_its_header() {
        let dump = jitdump::JitDump::new(77, || Duration::from_nanos(9));
        let bytes = written(Format::JitDump(dump));
        assert_eq!(bytes[..4], *b"DTiJ");
        let first = jitdump::LOAD_HEADER + b"reprise enter\0".len() + 1;
        let second = jitdump::LOAD_HEADER + b"guest main+0x10\0".len() + 2;
        assert_eq!(bytes.len(), jitdump::HEADER + first + second);
    }
}
