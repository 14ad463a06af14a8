//! From accept to relay: the stages of a session that is not yet connected, as a pure machine.
//!
//! The session feeds what happened ([`Input`]) and does what it is told ([`Action`]). The machine knows
//! the deadlines, counts the attempts and decides what a failure looks like; it knows no socket, no
//! address and no message. Every order of events is a row of a test.

use std::time::Duration;

use crate::config;
use crate::outcome::Reason;
use crate::wheel::Tick;
use crate::wire::hello::{HelloReader, HelloStep};

/// The pause before the same address is dialled again.
const REDIAL_PAUSE: Duration = Duration::from_millis(50);

/// What a listener demands of a session until it is open.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How the client says where it belongs.
    pub hello: config::Hello,
    /// The longest key, in bytes.
    pub hello_max_bytes: u32,
    /// From accept to the whole hello.
    pub hello_timeout: Duration,
    /// From the whole hello to success.
    pub open_timeout: Duration,
    /// From the hello to a failure's reply.
    pub failure_delay: Duration,
}

impl From<&config::Listener> for Terms {
    fn from(listener: &config::Listener) -> Self {
        Self {
            hello: listener.hello,
            hello_max_bytes: listener.hello_max_bytes,
            hello_timeout: listener.hello_timeout,
            open_timeout: listener.open_timeout,
            failure_delay: listener.failure_delay,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The client's transport and codec are ready; a codec that carried a key gives it.
    ClientOpen(Option<Box<str>>),
    /// The client sent these bytes of its hello.
    Bytes(&'a [u8]),
    /// The client ended its direction before its hello was whole.
    ClientEnded,
    /// The client's connection is broken.
    ClientGone,
    /// The key is resolved and may be dialled under these terms.
    Resolved(Dialling),
    /// The key is not resolved.
    Unresolved(Reason),
    /// The endpoint is open.
    EndpointOpen,
    /// An attempt has failed.
    DialFailed(DialError),
    /// Every endpoint is full: the session stands in line, and looks again by itself at `again`.
    NoRoom {
        /// When there may be room though nobody calls.
        again: Tick,
        /// How long it waits at most, from when it joined the line.
        timeout: Duration,
    },
    /// It was its turn, and an endpoint had room for it.
    Room,
    /// A deadline may have passed.
    Due,
}

/// How often and how long the target is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialling {
    /// Attempts in all; at least 1.
    pub attempts: u8,
    /// How long one may take.
    pub connect_timeout: Duration,
    /// Will the next attempt go to the same address?
    pub same: bool,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialError {
    /// The endpoint said no.
    Refused,
    /// The endpoint said nothing.
    Timeout,
    /// There is no way there.
    Unreachable,
    /// There is no port to go from.
    NoPort,
    /// Its certificate is not accepted.
    Untrusted,
    /// There is no endpoint to try.
    NoEndpoint,
    /// Every endpoint is full, and so is the line of those who wait.
    QueueFull,
    /// This process has no file left for it.
    Overload,
}

impl From<DialError> for Reason {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Refused => Reason::DialRefused,
            DialError::Timeout => Reason::DialTimeout,
            DialError::Unreachable | DialError::NoPort => Reason::DialUnreachable,
            DialError::Untrusted => Reason::DialUntrusted,
            DialError::NoEndpoint => Reason::NoEndpoint,
            DialError::QueueFull => Reason::QueueFull,
            DialError::Overload => Reason::Overload,
        }
    }
}

/// What the session does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the next input.
    Wait,
    /// Read at most this many more bytes of hello.
    Read(usize),
    /// Resolve this key (`None`: the route needs none).
    Resolve(Option<Box<str>>),
    /// Make one attempt.
    Dial,
    /// See whether it is its turn and an endpoint has room, then feed [`Input::Room`] or [`Input::NoRoom`].
    Look,
    /// Give the running attempt up as too slow, then feed [`Input::DialFailed`].
    AbandonDial,
    /// Tell success, send the surplus up and relay.
    Relay {
        /// Bytes that came behind the hello.
        surplus: Box<[u8]>,
    },
    /// Tell the failure and end.
    Refuse(Reason),
    /// End without a word.
    Close(Reason),
}

/// A session that is not open yet.
#[derive(Debug)]
pub struct Opening {
    terms: Terms,
    stage: Stage,
    surplus: Box<[u8]>,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for the client's transport and codec, then for its hello.
    Greeting { until: Tick, reader: Option<HelloReader>, heard: bool },
    /// Waiting for the target.
    Resolving { hello: Tick, until: Tick },
    /// Waiting for an attempt.
    Dialling { hello: Tick, until: Tick, attempt_until: Tick, left: u8, plan: Dialling },
    /// Waiting for an endpoint to have room, with `left` attempts behind the one that is meant.
    Queued { hello: Tick, until: Tick, queue_until: Tick, again: Tick, left: u8, plan: Dialling },
    /// Waiting to dial the same address again.
    Pausing { hello: Tick, until: Tick, again: Tick, left: u8, plan: Dialling },
    /// Waiting for the one moment at which failures are told.
    Refusing { at: Tick, reason: Reason },
    /// Over: the last action was final.
    Done,
}

impl Opening {
    /// Begins at accept.
    #[must_use]
    pub fn new(terms: Terms, now: Tick) -> Self {
        let until = now.after(terms.hello_timeout);
        Self { terms, stage: Stage::Greeting { until, reader: None, heard: false }, surplus: Box::default() }
    }

    /// The moment of the next [`Input::Due`].
    #[must_use]
    pub fn poll_timeout(&self) -> Tick {
        match self.stage {
            Stage::Greeting { until, .. } | Stage::Resolving { until, .. } => until,
            Stage::Dialling { until, attempt_until, .. } => until.min(attempt_until),
            Stage::Pausing { until, again, .. } => until.min(again),
            Stage::Queued { queue_until, again, .. } => queue_until.min(again),
            Stage::Refusing { at, .. } => at,
            Stage::Done => Tick::NEVER,
        }
    }

    /// Is the hello still in progress?
    #[must_use]
    pub fn is_greeting(&self) -> bool {
        matches!(self.stage, Stage::Greeting { .. })
    }

    /// Does it stand in line for an endpoint to have room?
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued { .. })
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, now: Tick, input: Input<'_>) -> Action {
        // What comes in the turn of the deadline is late: progress never extends a hello.
        let said = matches!(input, Input::ClientOpen(_) | Input::Bytes(_));
        match input {
            _ if said && self.is_greeting() && now >= self.poll_timeout() => {
                self.refuse(Reason::HelloTimeout)
            }
            Input::ClientOpen(key) => self.handle_client_open(now, key),
            Input::Bytes(bytes) => self.handle_bytes(now, bytes),
            Input::ClientEnded => self.handle_client_ended(now),
            Input::ClientGone => self.handle_client_gone(),
            Input::Resolved(plan) => self.handle_resolved(now, plan),
            Input::Unresolved(reason) => self.handle_unresolved(now, reason),
            Input::EndpointOpen => self.handle_endpoint_open(),
            Input::DialFailed(error) => self.handle_dial_failed(now, error),
            Input::NoRoom { again, timeout } => self.handle_no_room(now, again, timeout),
            Input::Room => self.handle_room(now),
            Input::Due => self.handle_due(now),
        }
    }

    fn handle_client_open(&mut self, now: Tick, key: Option<Box<str>>) -> Action {
        let Stage::Greeting { reader, .. } = &mut self.stage else { return Action::Wait };
        let max = self.terms.hello_max_bytes;
        match (self.terms.hello, key) {
            (config::Hello::LengthPrefixed, _) => begin(reader, HelloReader::new(max)),
            (config::Hello::Frontd, _) => begin(reader, HelloReader::frontd(max)),
            (config::Hello::Funny, _) => begin(reader, HelloReader::funny(max)),
            (config::Hello::Header | config::Hello::Sni, None) => {
                self.refuse_at_delay(now, now, Reason::HelloMalformed)
            }
            (config::Hello::Header | config::Hello::Sni, Some(key)) => self.resolve(now, Some(key)),
            (config::Hello::None, _) => self.resolve(now, None),
        }
    }

    fn handle_bytes(&mut self, now: Tick, bytes: &[u8]) -> Action {
        let Stage::Greeting { reader: Some(reader), heard, .. } = &mut self.stage else {
            return Action::Wait;
        };
        *heard = true;
        match reader.handle_bytes(bytes) {
            Ok(HelloStep::NeedMore { at_most }) => Action::Read(at_most),
            Ok(HelloStep::Done { key, surplus }) => {
                self.surplus = surplus;
                self.resolve(now, Some(key))
            }
            Err(_) => self.refuse_at_delay(now, now, Reason::HelloMalformed),
        }
    }

    /// A client that ends before it said anything is a port check: no word, no delay. One that ends in
    /// the middle of its hello may still read: it is told like any malformed hello.
    fn handle_client_ended(&mut self, now: Tick) -> Action {
        match self.stage {
            Stage::Greeting { heard: false, .. } => self.close(Reason::ClientLeft),
            Stage::Greeting { heard: true, .. } => self.refuse_at_delay(now, now, Reason::HelloMalformed),
            Stage::Resolving { .. }
            | Stage::Dialling { .. }
            | Stage::Queued { .. }
            | Stage::Pausing { .. }
            | Stage::Refusing { .. }
            | Stage::Done => Action::Wait,
        }
    }

    fn handle_client_gone(&mut self) -> Action {
        match self.stage {
            Stage::Done => Action::Wait,
            Stage::Greeting { .. }
            | Stage::Resolving { .. }
            | Stage::Dialling { .. }
            | Stage::Queued { .. }
            | Stage::Pausing { .. }
            | Stage::Refusing { .. } => self.close(Reason::ClientLeft),
        }
    }

    fn handle_resolved(&mut self, now: Tick, plan: Dialling) -> Action {
        let Stage::Resolving { hello, until } = self.stage else { return Action::Wait };
        self.dial(now, Stage::Dialling { hello, until, attempt_until: now, left: plan.attempts.max(1), plan })
    }

    fn handle_unresolved(&mut self, now: Tick, reason: Reason) -> Action {
        let Stage::Resolving { hello, .. } = self.stage else { return Action::Wait };
        self.refuse_at_delay(now, hello, reason)
    }

    fn handle_endpoint_open(&mut self) -> Action {
        if !matches!(self.stage, Stage::Dialling { .. }) {
            return Action::Wait;
        }
        self.stage = Stage::Done;
        Action::Relay { surplus: std::mem::take(&mut self.surplus) }
    }

    fn handle_dial_failed(&mut self, now: Tick, error: DialError) -> Action {
        let Stage::Dialling { hello, until, left, plan, .. } = self.stage else { return Action::Wait };
        // A certificate is no better a moment later.
        let is_final = matches!(error, DialError::NoEndpoint | DialError::QueueFull)
            || (plan.same && error == DialError::Untrusted);
        let worth_another = left > 0 && now < until && !is_final;
        match error {
            _ if worth_another && plan.same && error != DialError::Timeout => {
                self.stage = Stage::Pausing { hello, until, again: now.after(REDIAL_PAUSE), left, plan };
                Action::Wait
            }
            _ if worth_another => {
                self.dial(now, Stage::Dialling { hello, until, attempt_until: now, left, plan })
            }
            DialError::Timeout => self.refuse(Reason::DialTimeout),
            DialError::Refused
            | DialError::Unreachable
            | DialError::NoPort
            | DialError::Untrusted
            | DialError::NoEndpoint
            | DialError::QueueFull
            | DialError::Overload => self.refuse_at_delay(now, hello, error.into()),
        }
    }

    /// The attempt that found no room is none: it is still to be made.
    fn handle_no_room(&mut self, now: Tick, again: Tick, timeout: Duration) -> Action {
        match &mut self.stage {
            Stage::Dialling { hello, until, left, plan, .. } => {
                let (hello, until, left, plan) = (*hello, *until, *left, *plan);
                let queue_until = until.min(now.after(timeout));
                self.stage = Stage::Queued { hello, until, queue_until, again, left, plan };
            }
            Stage::Queued { again: before, .. } => *before = again,
            Stage::Greeting { .. }
            | Stage::Resolving { .. }
            | Stage::Pausing { .. }
            | Stage::Refusing { .. }
            | Stage::Done => {}
        }
        Action::Wait
    }

    fn handle_room(&mut self, now: Tick) -> Action {
        let Stage::Queued { hello, until, left, plan, .. } = self.stage else { return Action::Wait };
        let left = left.saturating_add(1);
        self.dial(now, Stage::Dialling { hello, until, attempt_until: now, left, plan })
    }

    fn handle_due(&mut self, now: Tick) -> Action {
        match self.stage {
            Stage::Greeting { until, .. } if now >= until => self.refuse(Reason::HelloTimeout),
            Stage::Resolving { until, .. } if now >= until => self.refuse(Reason::NameTimeout),
            Stage::Pausing { until, .. } if now >= until => self.refuse(Reason::DialTimeout),
            Stage::Queued { queue_until, .. } if now >= queue_until => self.refuse(Reason::QueueTimeout),
            Stage::Queued { again, .. } if now >= again => Action::Look,
            Stage::Pausing { hello, until, again, left, plan } if now >= again => {
                self.dial(now, Stage::Dialling { hello, until, attempt_until: now, left, plan })
            }
            Stage::Dialling { until, attempt_until, .. } if now >= until.min(attempt_until) => {
                Action::AbandonDial
            }
            Stage::Refusing { at, reason } if now >= at => self.refuse(reason),
            Stage::Greeting { .. }
            | Stage::Resolving { .. }
            | Stage::Queued { .. }
            | Stage::Pausing { .. }
            | Stage::Dialling { .. }
            | Stage::Refusing { .. }
            | Stage::Done => Action::Wait,
        }
    }

    fn resolve(&mut self, now: Tick, key: Option<Box<str>>) -> Action {
        self.stage = Stage::Resolving { hello: now, until: now.after(self.terms.open_timeout) };
        Action::Resolve(key)
    }

    /// Takes one attempt off a dialling stage and begins it.
    fn dial(&mut self, now: Tick, mut stage: Stage) -> Action {
        if let Stage::Dialling { attempt_until, left, plan, .. } = &mut stage {
            *attempt_until = now.after(plan.connect_timeout);
            *left = left.saturating_sub(1);
        }
        self.stage = stage;
        Action::Dial
    }

    /// Failures that come at once are told at one fixed moment, so that a stranger cannot tell a closed
    /// port from a forbidden one by the clock. Timeouts take their time.
    fn refuse_at_delay(&mut self, now: Tick, hello: Tick, reason: Reason) -> Action {
        let at = hello.after(self.terms.failure_delay);
        if now >= at {
            return self.refuse(reason);
        }
        self.stage = Stage::Refusing { at, reason };
        Action::Wait
    }

    fn refuse(&mut self, reason: Reason) -> Action {
        self.stage = Stage::Done;
        Action::Refuse(reason)
    }

    fn close(&mut self, reason: Reason) -> Action {
        self.stage = Stage::Done;
        Action::Close(reason)
    }
}

/// Begins to read a hello off the stream.
fn begin(reader: &mut Option<HelloReader>, hello: HelloReader) -> Action {
    let wants = hello.wants();
    *reader = Some(hello);
    Action::Read(wants)
}

#[cfg(test)]
mod tests;
