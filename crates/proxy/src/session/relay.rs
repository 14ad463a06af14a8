//! While bytes flow: moving them, passing ends on, seeing to silence.

use std::time::Duration;

use portcullis_core::config::Idle;
use portcullis_core::outcome::Reason;
use portcullis_core::wheel::Tick;

use crate::io::Io;
use crate::leg::{ASK_AFTER, Leg};
use crate::relay::{Flow, Pumped};
use crate::session::{Phase, Session, Side, Step, YOUNG, close};

/// So it is asked, and so long waited for, when its endpoint has ended and what it has no room for is all that is
/// left: with a client that has gone everything is free within 5 s.
const LEFT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// After so much silence of a client that is not asked itself its WebSocket endpoint is sent a ping.
const PING_ENDPOINT: Duration = Duration::from_secs(20);

impl Session {
    /// Moves what there is, passes ends on, and sees to silence.
    pub(super) fn relay(&mut self, io: &mut Io) -> Step {
        let Some(endpoint) = &mut self.endpoint else { return self.over(Reason::Bug) };
        let zero_copy = self.plan.settings.zero_copy;
        if let Some(frames) = &mut self.frames {
            frames.rang(io.now);
        }
        self.client.flush(&mut io.lent);
        endpoint.flush(&mut io.lent);
        let mut spent = false;
        if self.client.may_read()
            || self.up.holds_bytes()
            || self.frames.as_ref().is_some_and(|frames| frames.holds())
        {
            let pumped = match &mut self.frames {
                Some(frames) => self.up.pump_frames_up(&mut self.client, endpoint, frames, io),
                None => self.up.pump(&mut self.client, endpoint, zero_copy, io),
            };
            match pumped {
                Pumped::Violation(reason) => return self.part(reason, io),
                Pumped::Spent => spent = true,
                Pumped::Drained | Pumped::Blocked | Pumped::Ended => {}
            }
        }
        let was_full = self.frames.as_mut().is_some_and(|frames| {
            frames.speak(&mut self.client, &mut io.lent);
            frames.is_full()
        });
        let is_let_in = self.frames.as_ref().is_none_or(|frames| frames.is_let_in());
        if is_let_in && (endpoint.may_read() || self.down.holds_bytes()) {
            let pumped = match &mut self.frames {
                Some(frames) => self.down.pump_frames_down(endpoint, &mut self.client, frames, io),
                None => self.down.pump(endpoint, &mut self.client, zero_copy, io),
            };
            match pumped {
                Pumped::Violation(reason) => return self.reset_other(Side::Client, reason, io),
                Pumped::Spent => spent = true,
                Pumped::Drained | Pumped::Blocked | Pumped::Ended => {}
            }
        }
        // What was said itself made room for more of the client's.
        spent |= was_full && self.frames.as_ref().is_some_and(|frames| !frames.is_full());
        spent |= self.has_unheard_break();
        self.notice_breaks(io.now);
        self.hear(io.now);
        match self.pass_ends_on(io) {
            Step::Wait if spent => Step::Again,
            Step::Wait if matches!(self.phase, Phase::Relaying) && io.now >= self.relay_timeout() => {
                self.relay_due(io)
            }
            step => step,
        }
    }

    /// Did a write fail on a leg that has more to be read before its break? No event will tell again.
    fn has_unheard_break(&self) -> bool {
        let Some(endpoint) = &self.endpoint else { return false };
        let unheard = |from: &Leg, to: &Leg, flow: &Flow| {
            from.is_broken() && from.may_read() && !to.is_blocked() && !flow.holds_bytes()
        };
        unheard(&self.client, endpoint, &self.up) || unheard(endpoint, &self.client, &self.down)
    }

    /// A break after the peer's end is told by no read. One behind bytes for which the other side has no
    /// room is passed on after a second, and the bytes are lost with it, as they would be in a kernel.
    fn notice_breaks(&mut self, now: Tick) {
        let Some(endpoint) = &mut self.endpoint else { return };
        let mut waits = false;
        for leg in [&mut self.client, endpoint] {
            if leg.farewell().is_some() {
                // It has said goodbye: what becomes of the connection is nobody's business any more.
            } else if leg.has_failed() && leg.has_ended() {
                leg.mark_broken();
            } else if leg.has_failed() && now >= self.broke {
                leg.mark_broken();
                leg.mark_ended();
            } else {
                waits |= leg.has_failed();
            }
        }
        if waits && self.broke == Tick::NEVER {
            self.broke = now.after(close::RESET_WITHIN);
        }
    }

    /// Has the peer taken anything since silence was last looked at?
    fn is_still_taking(&mut self) -> bool {
        let owed = self.client.unacknowledged() + self.endpoint.as_ref().map_or(0, Leg::unacknowledged);
        let owed = u32::try_from(owed).unwrap_or(u32::MAX);
        let less = owed > 0 && owed < self.owed;
        self.owed = owed;
        less
    }

    /// Notes whose bytes were heard in this step.
    fn hear(&mut self, now: Tick) {
        let either = self.plan.settings.idle == Idle::Either;
        if self.up.heard || (either && self.down.heard) {
            self.heard = now;
        }
        // A conversation answers when it is asked, payload or not.
        if let Some(at) = self.client.heard_at() {
            self.heard = self.heard.max(at);
        }
        // What is dropped because its reader has gone is no progress.
        if self.up.heard || (self.down.heard && !self.client.is_shut()) {
            self.moved = now;
            self.owed = u32::MAX;
        }
        self.up.heard = false;
        self.down.heard = false;
    }

    /// A direction that has ended is ended towards the other leg, after every byte; a break is a break.
    fn pass_ends_on(&mut self, io: &mut Io) -> Step {
        let Some(endpoint) = &mut self.endpoint else { return self.over(Reason::Bug) };
        let (client_ended, endpoint_ended) = (self.client.has_ended(), endpoint.has_ended());
        if !client_ended && !endpoint_ended {
            return Step::Wait;
        }
        if self.first_end.is_none() {
            self.moved = io.now; // the timeout of a half-close counts from the end
        }
        let client_said = if self.client.is_cut() { Reason::ClientReset } else { Reason::ClientEnded };
        let endpoint_said = if endpoint.is_cut() { Reason::EndpointReset } else { Reason::EndpointEnded };
        let first = *self.first_end.get_or_insert(if client_ended { client_said } else { endpoint_said });
        let client_broke = client_said == Reason::ClientReset && client_ended;
        let endpoint_broke = endpoint_said == Reason::EndpointReset && endpoint_ended;
        match (client_broke, endpoint_broke) {
            (true, true) => return self.over(first),
            (true, false) => return self.reset_other(Side::Endpoint, client_said, io),
            (false, true) => return self.reset_other(Side::Client, endpoint_said, io),
            (false, false) => {}
        }
        let is_held = self.up.holds_bytes() || self.frames.as_ref().is_some_and(|frames| frames.holds());
        let up_done = client_ended && !is_held && !endpoint.is_blocked();
        let down_done = endpoint_ended && !self.down.holds_bytes() && !self.client.is_blocked();
        if up_done && down_done && self.client.can_half_close() && endpoint.can_half_close() {
            let said = endpoint.conclude(&mut io.lent) & self.client.conclude(&mut io.lent);
            return if said { self.over(first) } else { Step::Wait };
        }
        if up_done {
            let vanished = self.client.has_farewells() && self.client.farewell().is_none();
            let reason = if vanished { Reason::ClientLeft } else { Reason::ClientEnded };
            endpoint.end(self.client.farewell(), reason, &mut io.lent);
        }
        if down_done && !endpoint.can_half_close() {
            // It has said goodbye to us: nothing more goes up.
            let words = endpoint.farewell();
            self.client.pass_farewell(words, &mut io.lent);
            return self.part(first, io);
        }
        if !self.client.can_half_close() && (down_done || (client_ended && !self.client.is_blocked())) {
            return self.ws_ended(up_done && down_done, endpoint_ended, io);
        }
        if down_done {
            self.client.shut(&mut io.lent);
        }
        Step::Wait
    }

    /// A WebSocket cannot end one direction. Endpoint's end: everything, then close 1000. Client's close:
    /// answered; the endpoint reads its end, and what it still says is dropped.
    fn ws_ended(&mut self, both: bool, endpoint_ended: bool, io: &mut Io) -> Step {
        if both || (endpoint_ended && !self.client.has_ended()) {
            return self.part(self.first_end.unwrap_or(Reason::EndpointEnded), io);
        }
        if self.client.has_ended() && !self.client.is_blocked() {
            self.client.shut(&mut io.lent);
        }
        Step::Wait
    }

    /// The next moment that matters while relaying.
    pub(super) fn relay_timeout(&self) -> Tick {
        let settings = &self.plan.settings;
        let client_ended = self.client.has_ended();
        let endpoint_ended = self.endpoint.as_ref().is_some_and(Leg::has_ended);
        let (late, silent) = self.frames.as_ref().map_or((Tick::NEVER, Tick::NEVER), |frames| {
            (frames.late_at().min(frames.patience()), frames.silent_at())
        });
        if client_ended || endpoint_ended {
            return self.moved.after(settings.half_close_timeout).min(self.broke).min(late);
        }
        let mut idle = self.heard.after(self.idle_timeout()).min(self.broke).min(late).min(silent);
        if !self.lasting {
            idle = idle.min(self.opened.after(YOUNG));
        }
        match self.asks_after() {
            Some(silence) => idle.min(self.heard.max(self.pinged).after(silence)),
            None => idle,
        }
    }

    /// Has the endpoint ended, with bytes in front of its end for which a client on datagrams has no room?
    fn is_left(&self) -> bool {
        let is_ending = self.endpoint.as_ref().is_some_and(Leg::has_end_queued);
        is_ending && self.client.talk().is_some() && self.client.is_blocked()
    }

    fn idle_timeout(&self) -> Duration {
        let usual = self.plan.settings.idle_timeout;
        if self.is_left() { usual.min(LEFT.1) } else { usual }
    }

    /// After how much silence its client is asked whether it is there; and its endpoint, so that nobody between
    /// takes the connection for dead.
    fn asks_after(&self) -> Option<Duration> {
        if self.is_left() {
            return Some(LEFT.0);
        }
        let ws = self.plan.settings.ws.as_ref().map(|ws| ws.ping_interval);
        let endpoint = self.endpoint.as_ref().is_some_and(Leg::has_farewells).then_some(PING_ENDPOINT);
        ws.or_else(|| self.talk().map(|_| ASK_AFTER)).or(endpoint)
    }

    fn relay_due(&mut self, io: &mut Io) -> Step {
        if let Some(frames) = self.frames.as_ref().filter(|frames| io.now >= frames.patience()) {
            let reason = if frames.is_let_in() { Reason::DeviceRefused } else { Reason::HelloTimeout };
            return self.part(reason, io);
        }
        if self.first_end.is_some() {
            if self.is_still_taking() {
                self.moved = io.now;
                return Step::Wait;
            }
            return self.part(Reason::HalfCloseTimeout, io);
        }
        if self.frames.as_ref().is_some_and(|frames| io.now >= frames.silent_at()) {
            return self.part(Reason::Heartbeat, io);
        }
        if self.is_left() && io.now >= self.heard.after(self.idle_timeout()) {
            return self.over(Reason::EndpointEnded);
        }
        if io.now >= self.heard.after(self.plan.settings.idle_timeout) {
            // A WebSocket's pong may wait behind a download that is under way.
            if self.plan.settings.ws.is_some() && self.is_still_taking() {
                self.heard = io.now;
                return Step::Wait;
            }
            return self.part(Reason::Idle, io);
        }
        if let (false, Some(endpoint)) = (self.lasting, &self.endpoint) {
            endpoint.keep_watch();
            self.lasting = true;
            return Step::Wait;
        }
        self.client.ping(&mut io.lent);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.ping(&mut io.lent);
        }
        self.client.ask();
        self.pinged = io.now;
        Step::Wait
    }
}
