//! Positions in a run: ticks, or time with a unit.

use crate::usage::UsageError;
use reprise_core::clock::Tick;
use reprise_core::property::number;

/// The tick that `text` names for `option`: a number, or one with `ns`, `us`, `ms` or `s`.
pub fn ticks(option: &str, text: &str) -> Result<Tick, UsageError> {
    let units = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let with_unit = units.iter().find_map(|(unit, ticks)| Some((text.strip_suffix(unit)?, *ticks)));
    let (digits, unit) = with_unit.unwrap_or((text, 1));
    number(digits).and_then(|count| count.checked_mul(unit)).ok_or_else(|| {
        UsageError::new(format!(
            "{option} '{text}' is no tick: expected a number of nanoseconds of guest time, or one with ns, us, ms or s"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_times() {
        for (text, tick) in [("0", 0), ("17", 17), ("0x10", 16), ("5ns", 5), ("3us", 3000), ("250ms", 250_000_000)] {
            assert_eq!(ticks("-until", text).unwrap(), tick, "{text}");
        }
        assert_eq!(ticks("-until", "10s").unwrap(), 10_000_000_000);
        for text in ["", "s", "-1", "1h", "99999999999999s"] {
            assert!(ticks("-until", text).is_err(), "{text}");
        }
    }
}
