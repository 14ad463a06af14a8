//! How an entry becomes one line, as text or as JSON.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use portcullis_core::config::{LogFormat, LogLevel};

use super::entry::{Entry, Field};
use super::escape;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2026-01-31T12:00:00.000Z INFO message key=value …`
    Text,
    /// `{"time":"…","level":"info","message":"…","key":"value",…}`
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Format {
    /// Appends `entry` as one line, its end included.
    pub(super) fn write(self, entry: &Entry, out: &mut String) {
        match self {
            Self::Text => text(entry, out),
            Self::Json => json(entry, out),
        }
        out.push('\n');
    }
}

/// Appends the text form.
fn text(entry: &Entry, out: &mut String) {
    time(entry.at, out);
    out.push(' ');
    out.push_str(match entry.level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    });
    out.push(' ');
    out.push_str(entry.message);
    for (key, value) in &entry.fields {
        out.push(' ');
        out.push_str(key);
        out.push('=');
        match value {
            Field::Text(value) => escape::bare_or_quote(value, out),
            Field::Count(value) => count(*value, out),
            Field::Lasted(value) => seconds(*value, out),
        }
    }
}

/// Appends the JSON form.
fn json(entry: &Entry, out: &mut String) {
    out.push_str("{\"time\":\"");
    time(entry.at, out);
    out.push_str("\",\"level\":\"");
    out.push_str(match entry.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    });
    out.push_str("\",\"message\":");
    escape::quote(entry.message, out);
    for (key, value) in &entry.fields {
        out.push_str(",\"");
        out.push_str(key);
        out.push_str("\":");
        match value {
            Field::Text(value) => escape::quote(value, out),
            Field::Count(value) => count(*value, out),
            Field::Lasted(value) => seconds(*value, out),
        }
    }
    out.push('}');
}

/// Appends a count.
fn count(value: u64, out: &mut String) {
    // Writing into a string does not fail.
    let _infallible = write!(out, "{value}");
}

/// Appends seconds with three decimals.
fn seconds(value: Duration, out: &mut String) {
    let _infallible = write!(out, "{}.{:03}", value.as_secs(), value.subsec_millis());
}

/// Appends `at` as RFC 3339 in UTC with milliseconds. Before 1970 counts as 1970.
fn time(at: SystemTime, out: &mut String) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let _infallible = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since.subsec_millis(),
    );
}

/// Returns year, month and day of the day that is `days` after 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from 1 March 0000, so that the leap day is a year's last: 719,468 days earlier.
    let shifted = days + 719_468;
    // 400 years have 146,097 days.
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months have 153 days.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (400 * era + year_of_era, month + 3)
    } else {
        (400 * era + year_of_era + 1, month - 9)
    };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::info("session closed")
            .with("client", "10.0.0.1:5")
            .with("identity", "a \"b\"")
            .with("up", 7_u64)
            .with("lasted", Duration::from_millis(1_002));
        entry.at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_248_000_123);
        entry
    }

    fn written(format: Format) -> String {
        let mut out = String::new();
        format.write(&entry(), &mut out);
        out
    }

    #[test]
    fn a_text_line_reads_as_documented() {
        assert_eq!(
            written(Format::Text),
            "2026-11-21T08:00:00.123Z INFO session closed client=10.0.0.1:5 identity=\"a \\\"b\\\"\" up=7 lasted=1.002\n"
        );
    }

    #[test]
    fn a_json_line_reads_as_documented() {
        assert_eq!(
            written(Format::Json),
            "{\"time\":\"2026-11-21T08:00:00.123Z\",\"level\":\"info\",\"message\":\"session closed\",\
             \"client\":\"10.0.0.1:5\",\"identity\":\"a \\\"b\\\"\",\"up\":7,\"lasted\":1.002}\n"
        );
    }

    #[test]
    fn days_become_dates() {
        for (days, want) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (10_956, (1999, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), want, "{days} days");
        }
    }
}
