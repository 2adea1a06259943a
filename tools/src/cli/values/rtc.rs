//! `-rtc`: what the real-time clock shows when the machine starts.

use super::List;
use crate::usage::UsageError;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// What the clock shows at tick 0 unless the user says otherwise: 2026-01-01 00:00:00. A fixed moment, because two runs
/// with the same configuration are the same.
pub const DEFAULT_RTC_BASE: u64 = 1_767_225_600;

/// The base that `text` asks for, in seconds since 1970. `utc` and `localtime` read the host's clock, once: from then
/// on the moment is part of the configuration.
pub fn rtc_base(text: &str) -> Result<u64, UsageError> {
    let mut list = List::parse(text);
    let base = list.take("base");
    let first = list.first.take();
    list.finish("-rtc", &["base"])?;
    let Some(base) = base.filter(|_| first.is_none()) else {
        return Err(UsageError::new(format!("-rtc '{text}' has no base: try -rtc base=2026-01-01T00:00:00")));
    };
    let seconds = match base.as_str() {
        "utc" => Some(Timestamp::now().as_second()),
        "localtime" => utc_seconds(Zoned::now().with_time_zone(TimeZone::system()).datetime()),
        date => date_time(date).and_then(utc_seconds),
    };
    match seconds {
        Some(seconds @ 0..) => Ok(seconds as u64),
        Some(_) | None => Err(UsageError::new(format!(
            "-rtc base '{base}' is no moment: expected utc, localtime, or a date from 1970 on, such as \
             2026-01-01T00:00:00 or 2026-01-01"
        ))),
    }
}

fn date_time(text: &str) -> Option<DateTime> {
    if text.contains('T') { text.parse().ok() } else { text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)) }
}

fn utc_seconds(at: DateTime) -> Option<i64> {
    Offset::UTC.to_timestamp(at).ok().map(|at| at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_qemu_writes_them() {
        assert_eq!(rtc_base("base=2026-01-01").unwrap(), DEFAULT_RTC_BASE);
        assert_eq!(rtc_base("base=2006-06-17T16:01:21").unwrap(), 1_150_560_081);
        assert_eq!(rtc_base("base=1970-01-01T00:00:00").unwrap(), 0);
    }

    #[test]
    fn the_hosts_clock_can_be_asked() {
        assert!(rtc_base("base=utc").unwrap() > 1_700_000_000);
        assert!(rtc_base("base=localtime").unwrap() > 1_700_000_000);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["base=soon", "base=1969-12-31", "base=2026-13-01", "utc", "", "base=utc,clock=vm"] {
            assert!(rtc_base(text).is_err(), "{text}");
        }
    }
}
