//! How sessions end: a break is passed on as a break, everything else politely.

use std::time::Duration;

use portcullis_core::outcome::Reason;
use portcullis_core::wheel::Tick;

use crate::io::Io;
use crate::leg::Received;
use crate::session::{Phase, Session, Side, Step};

/// How long a reset waits for what was queued to be acknowledged.
pub(super) const RESET_WITHIN: Duration = Duration::from_secs(1);
/// How often it looks.
const RESET_LOOK: Duration = Duration::from_millis(5);
/// How many bytes of a parting client are read and dropped, so that our last message survives.
const PART_BYTES: usize = 64 * 1024;

/// Reads of a parting client in one turn.
const PART_READS: usize = 16;

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
            Phase::Opening(_) => {
                self.give_back(io);
                self.over(reason)
            }
            Phase::Relaying => self.part(reason, io),
            Phase::Resetting(_) | Phase::Parting(_) | Phase::Over(_) => Step::Wait,
        }
    }

    /// The client has left. What it made us dial is held against it, or leaving early would make a port scan
    /// free.
    pub(super) fn give_up(&mut self, reason: Reason, io: &Io) -> Step {
        self.charge(reason, io);
        self.give_back(io);
        // The client broke its connection, and so the endpoint's breaks.
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.reset();
        }
        self.over(reason)
    }

    pub(super) fn charge(&self, reason: Reason, io: &Io) {
        if matches!(&self.phase, Phase::Opening(gate) if gate.dialled.is_some()) && reason != Reason::Overload
        {
            io.charge_failed_dial(self.client_address.ip(), self.is_address_claimed());
        }
    }

    /// Is its end under way?
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Resetting(_) | Phase::Parting(_) | Phase::Over(_))
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
        if let (Side::Endpoint, Some(endpoint)) = (victim, &mut self.endpoint) {
            endpoint.bid_farewell(reason, &mut io.lent); // words are better than a break
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
        let (to, flow) = match victim {
            Side::Client => (&mut self.client, &mut self.down),
            Side::Endpoint => (endpoint, &mut self.up),
        };
        to.flush(&mut io.lent);
        flow.empty_pipe(to);
        let delivered = !to.is_blocked() && !flow.holds_bytes() && to.unacknowledged() == 0;
        if !delivered && !to.is_broken() && io.now < until {
            return Step::Wait;
        }
        if !delivered || !to.has_farewells() {
            self.reset(victim);
        }
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
        if let Some(frames) = &mut self.frames {
            frames.speak(&mut self.client, &mut io.lent);
        }
        if self.was_open()
            && let Some(kcp) = &self.plan.settings.kcp
        {
            // A stream of datagrams has no end of its own; an operator may have agreed on one with the clients.
            self.client.say(&kcp.close_message, &mut io.lent);
        }
        self.client.bid_farewell(reason, &mut io.lent);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.bid_farewell(reason, &mut io.lent);
        }
        let until = io.now.after(self.client.part_within());
        let parting = Parting { until, unacknowledged: usize::MAX, left: PART_BYTES, reason };
        self.phase = Phase::Parting(Box::new(parting));
        self.parting(io)
    }

    pub(super) fn parting(&mut self, io: &mut Io) -> Step {
        let Phase::Parting(parting) = &mut self.phase else { return Step::Wait };
        let reason = parting.reason;
        // What was said to a client that was never let in must survive what it still sends; one that was in
        // is listened to as long as it takes, or its last bytes would be lost to a reset.
        let is_refused = !self.was_open();
        self.client.flush(&mut io.lent);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.flush(&mut io.lent);
            self.down.empty_pipe(&mut self.client);
            self.up.empty_pipe(endpoint);
            if !endpoint.is_blocked()
                && !self.up.holds_bytes()
                && !self.down.holds_bytes()
                && endpoint.may_go()
                && endpoint.has_left(&mut io.buffer, &mut io.lent)
                && endpoint.conclude(&mut io.lent)
            {
                self.endpoint = None;
            }
        }
        if !self.client.is_blocked() && !self.down.holds_bytes() {
            self.client.shut(&mut io.lent);
        }
        let Phase::Parting(parting) = &mut self.phase else { return Step::Wait };
        let mut reads = PART_READS;
        while self.client.may_read() && parting.left > 0 && reads > 0 {
            reads -= 1;
            let room = parting.left.min(io.buffer.len());
            let received = self.client.discard(&mut io.buffer[..room], &mut io.lent);
            if let (true, Received::Some(count) | Received::Last(count)) = (is_refused, received) {
                parting.left -= count;
            }
            if !matches!(received, Received::Some(_)) {
                break;
            }
        }
        let is_told = self.client.is_shut() && self.client.is_settled();
        if parting.left == 0 || self.client.is_broken() || (is_told && self.endpoint.is_none()) {
            return self.over(reason);
        }
        if io.now < parting.until {
            return if reads == 0 { Step::Again } else { Step::Wait };
        }
        // A slow client is waited for as long as it takes something.
        let unacknowledged = self.client.unacknowledged();
        if unacknowledged == 0 || unacknowledged >= parting.unacknowledged || is_refused {
            return self.over(reason);
        }
        parting.unacknowledged = unacknowledged;
        parting.until = io.now.after(self.client.part_within());
        Step::Wait
    }
}
