//! `x` and `xp`: memory by linear and by physical address, in QEMU's formats and layout.

use super::{Answer, Command, Monitor, expression, usage};
use crate::disassembly;
use std::fmt::Write as _;

/// Most bytes that one command shows.
const LIMIT: usize = 64 << 10;

/// Longest instruction.
const LONGEST_INSTRUCTION: usize = 15;

const DETAILS: &str = "\
FMT is a count, a format and a size, each of which may be left out (1, x, w):
  x hexadecimal, d decimal, u unsigned, o octal, c characters, i instructions
  b bytes, h 2 bytes, w 4 bytes, g 8 bytes
ADDR may be a sum with registers of the selected vCPU: x /4xg $rsp+8";

pub(super) const X: Command = Command {
    name: "x",
    arguments: "[/FMT] ADDR",
    summary: "show memory by linear address",
    details: DETAILS,
    run: |monitor, arguments| examine(monitor, arguments, Space::Linear),
};

pub(super) const XP: Command = Command {
    name: "xp",
    arguments: "[/FMT] ADDR",
    summary: "show memory by physical address",
    details: DETAILS,
    run: |monitor, arguments| examine(monitor, arguments, Space::Physical),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Linear,
    Physical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Hex,
    Decimal,
    Unsigned,
    Octal,
    Character,
    Instruction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    count: usize,
    form: Form,
    /// Bytes of each; 1 for characters.
    size: usize,
}

impl Format {
    /// The format that is said after the slash.
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (count, letters) = text.split_at(digits);
        let count = if count.is_empty() { 1 } else { count.parse().unwrap_or(usize::MAX) };
        let mut format = Self { count, form: Form::Hex, size: 4 };
        for letter in letters.chars() {
            format.take(letter)?;
        }
        if format.form == Form::Character {
            format.size = 1;
        }
        Ok(format)
    }

    fn take(&mut self, letter: char) -> Result<(), String> {
        match letter {
            'x' => self.form = Form::Hex,
            'd' => self.form = Form::Decimal,
            'u' => self.form = Form::Unsigned,
            'o' => self.form = Form::Octal,
            'c' => self.form = Form::Character,
            'i' => self.form = Form::Instruction,
            'b' => self.size = 1,
            'h' => self.size = 2,
            'w' => self.size = 4,
            'g' => self.size = 8,
            _ => {
                return Err(format!(
                    "unknown format '{}': expected x, d, u, o, c or i, and b, h, w or g",
                    letter.escape_debug()
                ));
            }
        }
        Ok(())
    }

    /// How many bytes there are to show.
    fn length(&self) -> Result<usize, String> {
        let each = if self.form == Form::Instruction { LONGEST_INSTRUCTION } else { self.size };
        let length = self.count.checked_mul(each).filter(|&length| length <= LIMIT);
        length.ok_or_else(|| format!("at most {} values of up to {each} bytes can be shown at a time", LIMIT / each))
    }

    /// One value, as wide as the widest of its kind.
    fn value(&self, bytes: &[u8]) -> String {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        let value = u64::from_le_bytes(padded);
        let unused = 64 - 8 * self.size as u32;
        let decimals = (self.size * 80).div_ceil(33);
        match self.form {
            Form::Hex => format!("0x{value:0width$x}", width = 2 * self.size),
            Form::Decimal => format!("{:>decimals$}", (value << unused) as i64 >> unused),
            Form::Unsigned => format!("{value:>decimals$}"),
            Form::Octal if value == 0 => format!("{:>width$}", "0", width = (8 * self.size).div_ceil(3)),
            Form::Octal => format!("{:>width$}", format!("0{value:o}"), width = (8 * self.size).div_ceil(3)),
            Form::Character | Form::Instruction => character(value as u8),
        }
    }
}

/// As a character constant of C.
fn character(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".into(),
        b'\\' => "'\\\\'".into(),
        b'\n' => "'\\n'".into(),
        b'\r' => "'\\r'".into(),
        b' '..=b'~' => format!("'{}'", char::from(byte)),
        _ => format!("'\\x{byte:02x}'"),
    }
}

fn examine(monitor: &mut Monitor<'_>, arguments: &[&str], space: Space) -> Answer {
    let (format, address) = match *arguments {
        [address] if !address.starts_with('/') => (Format::parse("")?, address),
        [format, address] if format.starts_with('/') => (Format::parse(&format[1..])?, address),
        _ => return Err(usage(if space == Space::Linear { &X } else { &XP })),
    };
    let address = expression::value(address, monitor.vcpu())?;
    let mut bytes = vec![0; format.length()?];
    let there = read(monitor, space, address, &mut bytes);
    let (there, missing) = (&bytes[..there], there < bytes.len());
    Ok(match format.form {
        Form::Instruction => instructions(monitor, address, there, format.count),
        Form::Hex | Form::Decimal | Form::Unsigned | Form::Octal | Form::Character => {
            values(format, address, there, missing)
        }
    })
}

fn read(monitor: &Monitor<'_>, space: Space, address: u64, bytes: &mut [u8]) -> usize {
    match space {
        Space::Linear => monitor.machine().read_linear(monitor.cpu, address, bytes),
        Space::Physical => {
            monitor.machine().read_physical(address, bytes);
            bytes.len()
        }
    }
}

fn values(format: Format, address: u64, bytes: &[u8], missing: bool) -> String {
    let mut text = String::new();
    let line = if format.size == 1 { 8 } else { 16 };
    for (at, row) in (0_u64..).zip(bytes.chunks(line)) {
        let values: String = row.chunks_exact(format.size).map(|value| format!(" {}", format.value(value))).collect();
        if !values.is_empty() {
            let _ = writeln!(text, "{:016x}:{values}", address.wrapping_add(at * line as u64));
        }
    }
    if missing {
        text.push_str("Cannot access memory\n");
    }
    text
}

fn instructions(monitor: &Monitor<'_>, address: u64, bytes: &[u8], count: usize) -> String {
    let bits = disassembly::bits(monitor.vcpu());
    let mut text = String::new();
    let mut at = 0;
    for _ in 0..count {
        let rip = address.wrapping_add(at as u64);
        let rest = &bytes[at..bytes.len().min(at + LONGEST_INSTRUCTION)];
        let Some((length, instruction)) = disassembly::decode(rest, bits, rip) else {
            let why = if rest.is_empty() { "unable to read memory" } else { "(no instruction)" };
            let _ = writeln!(text, "0x{rip:08x}: {why}");
            break;
        };
        let coded: String = rest[..length].iter().map(|byte| format!("{byte:02x} ")).collect();
        let _ = writeln!(text, "0x{rip:08x}:  {coded:<24} {instruction}");
        at += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, bytes: &[u8]) -> String {
        values(Format::parse(format).unwrap(), 0x1000, bytes, false)
    }

    /// What QEMU 10 shows of the same bytes.
    #[test]
    fn the_layout_is_the_one_of_qemu() {
        let bytes = [0xea, 0x5b, 0xe0, 0, 0xf0, 0x30, 0x36, 0x2f, 0x32, 0x33, 0x2f, 0x39, 0x39, 0, 0xfc, 0];
        assert_eq!(shown("5xb", &bytes[..5]), "0000000000001000: 0xea 0x5b 0xe0 0x00 0xf0\n");
        assert_eq!(shown("4dw", &bytes), "0000000000001000:   14703594  792080624  959394610   16515129\n");
        assert_eq!(shown("2uh", &bytes[..4]), "0000000000001000: 23530   224\n");
        assert_eq!(shown("2og", &bytes), "0000000000001000: 0274661417000070055752   03740003447113631462\n");
        assert_eq!(shown("4c", &bytes[..8]), "0000000000001000: '\\xea' '[' '\\xe0' '\\x00' '\\xf0' '0' '6' '/'\n");
        assert_eq!(shown("xw", &bytes[..4]), "0000000000001000: 0x00e05bea\n");
        let long = shown("3xg", &[0; 24]);
        assert_eq!(long.lines().nth(1), Some("0000000000001010: 0x0000000000000000"));
        assert_eq!(shown("dh", &[0xff, 0xff]), "0000000000001000:    -1\n");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let format = Format::parse("2xw").unwrap();
        assert_eq!(values(format, 0, &[1, 0, 0, 0, 2], true), "0000000000000000: 0x00000001\nCannot access memory\n");
        assert_eq!(values(format, 0, &[], true), "Cannot access memory\n");
    }

    #[test]
    fn formats_have_limits() {
        assert_eq!(Format::parse("12cg").unwrap(), Format { count: 12, form: Form::Character, size: 1 });
        assert!(Format::parse("q").unwrap_err().starts_with("unknown format 'q'"));
        for text in ["65537b", "99999999999999999999999x", "8193xg", "4370i"] {
            assert!(Format::parse(text).unwrap().length().is_err(), "{text}");
        }
        assert_eq!(Format::parse("65536b").unwrap().length(), Ok(65536));
    }
}
