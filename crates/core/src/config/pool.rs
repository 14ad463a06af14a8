//! `pool = { … }` of an upstream: connections kept open for sessions to come.

use std::time::Duration;

/// Connections kept open, for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// So many are made in advance; 0 = none.
    pub min_idle: u16,
    /// The most that are kept.
    pub max_idle: u16,
    /// How long one is kept.
    pub max_age: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { min_idle: 0, max_idle: 32, max_age: Duration::from_secs(300) }
    }
}
