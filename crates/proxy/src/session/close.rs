//! How sessions end: a break is passed on as a break, everything else politely.

use std::time::Duration;

use portcullis_core::outcome::Reason;
use portcullis_core::wheel::Tick;

use crate::io::Io;
use crate::leg::Received;
use crate::session::{Phase, Session, Side, Step};

/// How long a reset waits for what was queued to be acknowledged.
const RESET_WITHIN: Duration = Duration::from_secs(1);
/// How often it looks.
const RESET_LOOK: Duration = Duration::from_millis(5);
/// How long a client has to take its last bytes once none is acknowledged any more.
const PART_WITHIN: Duration = Duration::from_secs(1);
/// How many bytes of a parting client are read and dropped, so that our last message survives.
const PART_BYTES: usize = 64 * 1024;

/// One leg is broken; the other is reset once it has what was queued for it.
#[derive(Debug)]
pub(super) struct Resetting {
    victim: Side,
    until: Tick,
    look: Tick,
    reason: Reason,
}

/// The client was told the end; it is given time to read it.
#[derive(Debug)]
pub(super) struct Parting {
    until: Tick,
    unacknowledged: usize,
    left: usize,
    reason: Reason,
}

impl Resetting {
    pub(super) fn poll_timeout(&self) -> Tick {
        self.look.min(self.until)
    }
}

impl Parting {
    pub(super) fn poll_timeout(&self) -> Tick {
        self.until
    }
}

impl Session {
    /// Nothing more will happen: the worker frees it.
    pub(super) fn over(&mut self, reason: Reason) -> Step {
        self.phase = Phase::Over(reason);
        Step::Over
    }

    /// Ends it because the gateway wants so.
    pub(crate) fn end(&mut self, reason: Reason, io: &mut Io) -> Step {
        match self.phase {
            Phase::Opening(_) => self.over(reason),
            Phase::Relaying => self.part(reason, io),
            Phase::Resetting(_) | Phase::Parting(_) | Phase::Over(_) => Step::Wait,
        }
    }

    /// Ends it at once, as after a panic: nothing of it is trusted any more.
    pub(crate) fn cut(&mut self, reason: Reason) {
        self.phase = Phase::Over(reason);
    }

    /// The leg opposite to `victim` is broken.
    pub(super) fn reset_other(&mut self, victim: Side, reason: Reason, io: &mut Io) -> Step {
        if victim == Side::Client && !self.client.can_half_close() {
            return self.part(reason, io); // its codec has words for that
        }
        let until = io.now.after(RESET_WITHIN);
        self.phase = Phase::Resetting(Box::new(Resetting { victim, until, look: io.now, reason }));
        self.resetting(io)
    }

    pub(super) fn resetting(&mut self, io: &mut Io) -> Step {
        let Phase::Resetting(resetting) = &mut self.phase else { return Step::Wait };
        let (victim, until, reason) = (resetting.victim, resetting.until, resetting.reason);
        resetting.look = io.now.after(RESET_LOOK);
        let Some(endpoint) = &mut self.endpoint else { return self.over(reason) };
        let (from, to, flow) = match victim {
            Side::Client => (endpoint, &mut self.client, &mut self.down),
            Side::Endpoint => (&mut self.client, endpoint, &mut self.up),
        };
        to.flush(&mut io.lent);
        if flow.holds_bytes() {
            // The source is broken: this only empties the pipe.
            flow.pump(from, to, true, io);
        }
        let delivered = !to.is_blocked() && !flow.holds_bytes() && to.unacknowledged() == 0;
        if !delivered && !to.is_broken() && io.now < until {
            return Step::Wait;
        }
        self.reset(victim);
        self.over(reason)
    }

    /// Closes the victim with a reset; the other leg is closed when the session is dropped.
    fn reset(&mut self, victim: Side) {
        match (victim, &mut self.endpoint) {
            (Side::Client, _) => self.client.reset(),
            (Side::Endpoint, Some(endpoint)) => endpoint.reset(),
            (Side::Endpoint, None) => {}
        }
    }

    /// Says goodbye to the client and gives it time to read that.
    pub(super) fn part(&mut self, reason: Reason, io: &mut Io) -> Step {
        self.client.bid_farewell(reason, &mut io.lent);
        let until = io.now.after(PART_WITHIN);
        let parting = Parting { until, unacknowledged: usize::MAX, left: PART_BYTES, reason };
        self.phase = Phase::Parting(Box::new(parting));
        self.parting(io)
    }

    pub(super) fn parting(&mut self, io: &mut Io) -> Step {
        let Phase::Parting(parting) = &mut self.phase else { return Step::Wait };
        let reason = parting.reason;
        self.client.flush(&mut io.lent);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.flush(&mut io.lent);
            if !endpoint.is_blocked() {
                self.endpoint = None;
            }
        }
        if !self.client.is_blocked() {
            self.client.shut();
        }
        while self.client.may_read() && parting.left > 0 {
            let room = parting.left.min(io.buffer.len());
            match self.client.receive(&mut io.buffer[..room]) {
                Received::Some(count) => parting.left -= count,
                Received::Last(_) | Received::Eof | Received::Broken | Received::Violation(_) => break,
            }
        }
        if parting.left == 0 || self.client.is_broken() || (self.client.has_ended() && self.client.is_shut())
        {
            return self.over(reason);
        }
        if io.now < parting.until {
            return Step::Wait;
        }
        // A slow client is waited for as long as it takes something.
        let unacknowledged = self.client.unacknowledged();
        if unacknowledged == 0 || unacknowledged >= parting.unacknowledged || self.opened.is_none() {
            return self.over(reason);
        }
        parting.unacknowledged = unacknowledged;
        parting.until = io.now.after(PART_WITHIN);
        Step::Wait
    }
}
