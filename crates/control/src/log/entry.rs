//! What a line says, before anyone decides how it is written.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use portcullis_core::config::LogLevel;

/// One event: a level, a fixed message and its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) at: SystemTime,
    pub(super) level: LogLevel,
    pub(super) message: &'static str,
    pub(super) fields: Vec<(&'static str, Field)>,
    pub(super) limited: bool,
    pub(super) audit: bool,
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Text from anywhere: escaped and cut to 256 bytes when it is written.
    Text(Box<str>),
    /// A count.
    Count(u64),
    /// A length of time, written in seconds with three decimals.
    Lasted(Duration),
}

impl Entry {
    /// Begins a line of `level`. The message is a constant of the program, never a stranger's text.
    #[must_use]
    pub fn new(level: LogLevel, message: &'static str) -> Self {
        Self { at: SystemTime::now(), level, message, fields: Vec::new(), limited: true, audit: false }
    }

    /// Begins a line that says the gateway cannot do its job.
    #[must_use]
    pub fn error(message: &'static str) -> Self {
        Self::new(LogLevel::Error, message)
    }

    /// Begins a line that someone should look at this week.
    #[must_use]
    pub fn warn(message: &'static str) -> Self {
        Self::new(LogLevel::Warn, message)
    }

    /// Begins a line about a session or a change of state.
    #[must_use]
    pub fn info(message: &'static str) -> Self {
        Self::new(LogLevel::Info, message)
    }

    /// Begins a line about a branch taken.
    #[must_use]
    pub fn debug(message: &'static str) -> Self {
        Self::new(LogLevel::Debug, message)
    }

    /// Begins a line of the audit: who asked for what, and what was decided.
    #[must_use]
    pub fn audit(message: &'static str) -> Self {
        Self { audit: true, limited: false, ..Self::info(message) }
    }

    /// Adds a field. The key is a constant of lower case letters, digits and `_`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Field>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// Adds a field from anything that prints.
    #[must_use]
    pub fn with_text(self, key: &'static str, value: impl Display) -> Self {
        self.with(key, Field::Text(value.to_string().into()))
    }

    /// Adds a field when there is a value.
    #[must_use]
    pub fn with_some<T: Into<Field>>(self, key: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Exempts the line from the limit on repeated warnings: for lists that are told once, whole.
    #[must_use]
    pub fn every_time(mut self) -> Self {
        self.limited = false;
        self
    }

    /// Returns how severe it is.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        self.level
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Field {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Field {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<Duration> for Field {
    fn from(lasted: Duration) -> Self {
        Self::Lasted(lasted)
    }
}
