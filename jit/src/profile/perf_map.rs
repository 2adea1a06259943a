//! Lines of a perf map (Linux, tools/perf/Documentation/jit-interface.txt).

use super::Stretch;
use std::io::Write;

/// Appends the line of a stretch of code.
pub fn line(bytes: &mut Vec<u8>, name: &str, stretch: Stretch<'_>) {
    let written = writeln!(bytes, "{:x} {:x} {name}", stretch.address, stretch.code.len());
    written.expect("memory takes everything");
}
