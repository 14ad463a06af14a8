//! The forms in which an operator writes amounts: `"10s"`, `"4KiB"`, `"5/s"`.
//!
//! A bare number never stands for an amount here, because its reader would have to guess the unit.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Units of time, largest first, with their length in milliseconds.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, largest first, with their length in bytes.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// An amount that cannot be read; the text tells how it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text is not a whole number and a unit of time.
    #[error("a duration is a whole number and one of ms, s, m, h, d, as in `10s`")]
    Duration,
    /// The text is not a whole number and a unit of size.
    #[error("a size is a whole number and one of B, KiB, MiB, GiB, as in `4KiB`")]
    Size,
    /// The text is not a count and a unit of time.
    #[error("a rate is a whole number above zero, `/`, and one of s, m, h, as in `5/s`")]
    Rate,
    /// The text is not a size and a unit of time.
    #[error("a rate of bytes is a size above zero, `/`, and one of s, m, h, as in `10MiB/s`")]
    ByteRate,
    /// The number is past what can be counted.
    #[error("the number is too large")]
    TooLarge,
}

/// Reads `"250ms"`, `"10s"`, `"5m"`, `"1h"` or `"7d"`.
///
/// # Errors
/// Anything else: signs, spaces, fractions, two units in a row, a bare number.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    amount(text, &TIMES, UnitError::Duration).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that holds it exactly; what is below a millisecond is dropped.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if whole == 0 { "0s".into() } else { shown(whole, &TIMES) }
}

/// Reads `"512B"`, `"4KiB"`, `"1MiB"` or `"2GiB"`, in bytes.
///
/// # Errors
/// Anything else; `KB` and `MB` too, for they mean different things to different people.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    amount(text, &SIZES, UnitError::Size)
}

/// Writes a size in the largest unit that holds it exactly.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 { "0B".into() } else { shown(bytes, &SIZES) }
}

/// How often something may happen: a count per second, minute or hour. Never zero: "no limit" is `Option::None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long; one second, minute or hour.
    pub per: Duration,
}

impl Rate {
    /// Returns how many there are each second, on average.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count.get()) / self.per.as_secs_f64()
    }

    /// Reads a rate whose count is bytes: `"10MiB/s"`.
    ///
    /// # Errors
    /// Anything else; 4 GiB and more.
    pub fn of_bytes(text: &str) -> Result<Self, UnitError> {
        let (size, per) = text.split_once('/').ok_or(UnitError::ByteRate)?;
        let per = span(per).ok_or(UnitError::ByteRate)?;
        let count = u32::try_from(amount(size, &SIZES, UnitError::ByteRate)?);
        let count = NonZeroU32::new(count.map_err(|_| UnitError::TooLarge)?).ok_or(UnitError::ByteRate)?;
        Ok(Self { count, per })
    }

    /// Writes a rate whose count is bytes, as [`Self::of_bytes`] reads it.
    #[must_use]
    pub fn show_bytes(self) -> String {
        format!("{}/{}", show_size(self.count.get().into()), self.unit())
    }

    fn unit(self) -> &'static str {
        match self.per.as_secs() {
            ..60 => "s",
            60..3600 => "m",
            3600.. => "h",
        }
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (count, per) = text.split_once('/').ok_or(UnitError::Rate)?;
        let per = span(per).ok_or(UnitError::Rate)?;
        let count = u32::try_from(number(count).ok_or(UnitError::Rate)??).map_err(|_| UnitError::TooLarge)?;
        Ok(Self { count: NonZeroU32::new(count).ok_or(UnitError::Rate)?, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit())
    }
}

/// Reads what a rate is counted in.
fn span(unit: &str) -> Option<Duration> {
    Some(Duration::from_secs(match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    }))
}

/// Reads a whole number and a unit of `units`; `wrong` is the error for anything else.
fn amount(text: &str, units: &[(&str, u64)], wrong: UnitError) -> Result<u64, UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let Some((_, each)) = units.iter().find(|(name, _)| *name == unit) else { return Err(wrong) };
    let count = number(count).ok_or(wrong)??;
    count.checked_mul(*each).ok_or(UnitError::TooLarge)
}

/// Reads digits only; `None` when there are none or others are among them.
fn number(text: &str) -> Option<Result<u64, UnitError>> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().map_err(|_| UnitError::TooLarge))
}

/// Writes a non-zero amount in the largest unit that divides it.
fn shown(amount: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, each)| amount.is_multiple_of(*each));
    unit.map_or_else(String::new, |(name, each)| format!("{}{name}", amount / each))
}
