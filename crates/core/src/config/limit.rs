//! What sessions may use: token buckets and counts, for the process, a listener, a client address, a device, a session.

pub(super) mod rows;

use crate::unit;

/// A token bucket: so fast it fills, so much it holds. It starts full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How fast it fills.
    pub rate: unit::Rate,
    /// How many tokens it holds; at least 1.
    pub burst: u32,
}

/// What one party may use. `None` = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Sessions at a time.
    pub sessions: Option<u32>,
    /// New sessions over time.
    pub session_rate: Option<RateLimit>,
    /// Messages of clients over time, where they speak in frames.
    pub message_rate: Option<RateLimit>,
    /// Payload bytes from clients over time.
    pub up_rate: Option<RateLimit>,
    /// Payload bytes to clients over time.
    pub down_rate: Option<RateLimit>,
}

/// The limits of a listener, or of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// All of its sessions together.
    pub whole: Quota,
    /// The sessions of one client address: /32, or /56 of IPv6. Sessions and their rate only.
    pub per_ip: Quota,
    /// The sessions of one device, as its token says.
    pub per_device: Quota,
    /// One session. Its messages and bytes only.
    pub per_session: Quota,
}
