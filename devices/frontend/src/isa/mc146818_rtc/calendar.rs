//! The proleptic Gregorian calendar, in seconds since 1970.

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u8,
    /// 1 to 31.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl DateTime {
    /// The date and time `seconds` after 1970 began.
    pub(super) fn from_seconds(seconds: i64) -> Self {
        let of_day = seconds.rem_euclid(DAY);
        let (year, month, day) = date(days(seconds));
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(|n| n as u8);
        Self { year, month, day, hour, minute, second }
    }

    /// Seconds since 1970. Fields past their range carry over, so that any register contents are some time.
    pub(super) fn seconds(&self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        (days_before(self.year, month) + i64::from(self.day) - 1) * DAY + of_day
    }
}

/// Whole days from 1970 to `seconds`.
fn days(seconds: i64) -> i64 {
    seconds.div_euclid(DAY)
}

/// The day of the week, 0 for Sunday.
pub(super) fn weekday(seconds: i64) -> u8 {
    (days(seconds) + 4).rem_euclid(7) as u8
}

/// Year, month and day of the day `days` after 1 January 1970. Years begin in March here, so that the leap day is last.
fn date(days: i64) -> (i64, u8, u8) {
    let shifted = days + EPOCH;
    let (era, of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month as u8, day as u8)
}

/// Days from 1 January 1970 to the first of `month` of `year`.
fn days_before(year: i64, month: i64) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * march_month + 2) / 5;
    era * ERA + of_era - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let at = |seconds| {
            let t = DateTime::from_seconds(seconds);
            (t.year, t.month, t.day, t.hour, t.minute, t.second, weekday(seconds))
        };
        assert_eq!(at(0), (1970, 1, 1, 0, 0, 0, 4));
        assert_eq!(at(951_782_399), (2000, 2, 28, 23, 59, 59, 1));
        assert_eq!(at(951_782_400), (2000, 2, 29, 0, 0, 0, 2));
        assert_eq!(at(4_107_542_400), (2100, 3, 1, 0, 0, 0, 1));
        assert_eq!(at(-1), (1969, 12, 31, 23, 59, 59, 3));
    }

    #[test]
    fn every_day_of_four_centuries_converts_back() {
        let mut before = DateTime::from_seconds(-DAY);
        for day in 0..ERA {
            let now = DateTime::from_seconds(day * DAY + 12_345);
            assert_eq!(now.seconds(), day * DAY + 12_345);
            let next = (now.year, now.month, now.day) > (before.year, before.month, before.day);
            assert!(next && now.day <= 31 && (1..=12).contains(&now.month));
            before = now;
        }
    }

    #[test]
    fn fields_past_their_range_carry_over() {
        let odd = DateTime { year: 1970, month: 1, day: 32, hour: 24, minute: 60, second: 61 };
        assert_eq!(odd.seconds(), 31 * DAY + DAY + 3600 + 61);
    }
}
