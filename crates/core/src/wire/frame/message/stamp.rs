//! The time as heartbeats are told it: `YYYYMMDDhhmmss`, UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second that has a year of four digits.
const LAST: u64 = 253_402_300_799;

/// A moment of the calendar in UTC, without leap seconds. Before 1970 it is 1970, after the year 9999 its last second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    seconds: u64,
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        Self { seconds: time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST)) }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        let (year, month, day) = civil(days);
        write!(f, "{year:04}{month:02}{day:02}")?;
        write!(f, "{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
    }
}

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms": years
/// begin in March, so that the leap day is a year's last).
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097; // days of 400 years
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_calendar_is_the_one_on_the_wall() {
        for (seconds, want) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_795_208_098, "20261120205458"),
            (4_107_542_400, "21000301000000"),
            (LAST, "99991231235959"),
            (LAST + 1, "99991231235959"),
        ] {
            let stamp = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(Stamp::from);
            assert_eq!(stamp.map(|stamp| stamp.to_string()).as_deref(), Some(want), "{seconds}");
        }
    }
}
