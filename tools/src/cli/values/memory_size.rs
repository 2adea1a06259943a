//! `-m`: how much RAM; `-checkpoint-memory`: how much for checkpoints.

use super::List;
use crate::usage::UsageError;
use reprise_core::memory::PAGE_SIZE;

/// The least RAM of a machine: what a PC has below its first megabyte, and as much again for a kernel.
pub const MIN_RAM: u64 = 2 << 20;
/// The most RAM of a machine.
pub const MAX_RAM: u64 = 1 << 40;

/// The least memory for checkpoints: with less, a step backwards would begin at the start of the recording.
const MIN_CHECKPOINTS: u64 = 16 << 20;

/// The bytes of RAM that `text` asks for, a whole number of pages.
pub fn memory_size(text: &str) -> Result<u64, UsageError> {
    let mut list = List::parse(text);
    let size = list.take("size").or_else(|| list.first.take());
    let size = size.ok_or_else(|| UsageError::new(format!("-m '{text}' names no size; try -m 512M")))?;
    list.finish("-m", &["size"])?;
    let bytes = bytes_of("-m", &size)?;
    if !(MIN_RAM as f64..=MAX_RAM as f64).contains(&bytes) {
        return Err(UsageError::new(format!(
            "-m '{size}' is out of range: a machine has {}M to {}T of RAM",
            MIN_RAM >> 20,
            MAX_RAM >> 40
        )));
    }
    Ok((bytes as u64).next_multiple_of(PAGE_SIZE))
}

/// The bytes that checkpoints may take, as `text` says.
pub fn checkpoint_memory(text: &str) -> Result<u64, UsageError> {
    let bytes = bytes_of("-checkpoint-memory", text)?;
    if (MIN_CHECKPOINTS as f64..=MAX_RAM as f64).contains(&bytes) {
        return Ok(bytes as u64);
    }
    Err(UsageError::new(format!(
        "-checkpoint-memory '{text}' is out of range: checkpoints take {}M to {}T",
        MIN_CHECKPOINTS >> 20,
        MAX_RAM >> 40
    )))
}

fn bytes_of(option: &str, size: &str) -> Result<f64, UsageError> {
    bytes(size).ok_or_else(|| {
        UsageError::new(format!(
            "{option} '{size}' is no size: expected a number, of MiB unless one of B, K, M, G, T follows, such as 512M or 2G"
        ))
    })
}

/// Bytes of a number with a unit. In range a double holds every whole number of bytes exactly.
fn bytes(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "B" => 0,
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return None,
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    Some(digits.parse::<f64>().ok()? * (1u64 << unit) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_qemu_writes_them() {
        for (text, bytes) in [
            ("512", 512 << 20),
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("2g", 2 << 30),
            ("size=1.5G", 3 << 29),
            ("4096K", 4 << 20),
            ("3000001B", 3_002_368),
            ("1T", 1 << 40),
        ] {
            assert_eq!(memory_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn memory_for_checkpoints_has_the_same_units() {
        assert_eq!((checkpoint_memory("4G").unwrap(), checkpoint_memory("64").unwrap()), (4 << 30, 64 << 20));
        let error = |text| checkpoint_memory(text).unwrap_err().to_string();
        assert_eq!(error("1M"), "-checkpoint-memory '1M' is out of range: checkpoints take 16M to 1T");
        assert!(error("much").starts_with("-checkpoint-memory 'much' is no size"));
    }

    #[test]
    fn absurd_sizes_are_refused_with_the_range() {
        for text in ["0", "1", "2T", "99999999999999999999", "1E", "16E"] {
            let error = memory_size(text).unwrap_err().to_string();
            assert_eq!(error, format!("-m '{text}' is out of range: a machine has 2M to 1T of RAM"));
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "-1", "M", "many", "1Q", "1e3", "nan", "inf", "0x10", "1,slots=2"] {
            assert!(memory_size(text).is_err(), "{text}");
        }
    }
}
