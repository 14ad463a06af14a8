//! `health = { … }` and `eject = { … }` of an upstream: which endpoints are fit.

use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) mod rows;

/// How endpoints are asked whether they are fit. Without it they are not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub kind: Probe,
    /// How often; drawn from a tenth less to a tenth more.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Good probes in a row until an endpoint is up again.
    pub rise: u8,
    /// Bad ones until it is down.
    pub fall: u8,
    /// Whom to ask how much load an endpoint wants; `None` = nobody.
    pub agent: Option<Agent>,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A connection, by TCP or KCP as the upstream speaks.
    Connect,
    /// A TLS handshake.
    Tls,
    /// A heartbeat frame after which the endpoint does not close within a second.
    Frame {
        /// How the frame is written.
        frames: Box<super::Frames>,
        /// Must it answer?
        expect_reply: bool,
    },
    /// An HTTP/1.1 request.
    Http {
        /// The path that is asked for.
        path: Box<str>,
        /// The `Host` header; `None` = the endpoint's address.
        host: Option<Box<str>>,
        /// Status codes that are good.
        status: RangeInclusive<u16>,
    },
}

/// Who says how much load an endpoint wants: one line of words over TCP, as HAProxy's agent-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The port on the endpoint's host.
    pub port: u16,
    /// How often it is asked.
    pub interval: Duration,
}

/// When traffic itself shows that an endpoint is unfit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row; 0 = never.
    pub failures: u8,
    /// How long it is left alone the first time; the n-th time n times as long, at most ten times.
    pub time: Duration,
    /// The most endpoints left alone at a time, in percent of all.
    pub most: u8,
}

impl Default for Health {
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self { kind: Probe::Connect, interval, timeout: interval, rise: 2, fall: 3, agent: None }
    }
}

impl Default for Eject {
    fn default() -> Self {
        Self { failures: 5, time: Duration::from_secs(30), most: 50 }
    }
}
