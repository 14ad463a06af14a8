//! Making warm connections, and letting go of those that are of no use.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::endpoint::Host;
use portcullis_core::pool::expiry;

use super::Pools;
use super::seats::{Life, Seat};
use crate::handle::{Asked, Question};
use crate::io::Io;
use crate::leg::Established;
use crate::meter::Discard;
use crate::session::{dial_tcp, onward, source};

impl Pools {
    /// Closes what is too old, too slow to be made, or more than is wanted.
    pub(super) fn expire(&mut self, place: usize, io: &mut Io) {
        let Some(keep) = self.keeps.get(&place) else { return };
        let surplus = keep.idle.len().saturating_sub(usize::from(keep.wanted(io.now)));
        let (mut gone, mut next) = (Vec::new(), self.next);
        for (index, token) in keep.idle.iter().chain(&keep.making).enumerate() {
            let Some(seat) = self.seats.find(*token) else { continue };
            if index < surplus {
                gone.push((*token, Some(Discard::Surplus)));
            } else if io.now >= seat.until {
                gone.push((*token, matches!(seat.life, Life::Idle { .. }).then_some(Discard::Age)));
            } else {
                next = next.min(seat.until);
            }
        }
        self.next = next;
        for (token, cause) in gone {
            match cause {
                Some(cause) => self.discard(token, cause),
                None => self.failed(token, io),
            }
        }
    }

    /// Begins as many connections as are missing and may be begun.
    pub(super) fn refill(&mut self, place: usize, io: &mut Io) {
        let Some(keep) = self.keeps.get(&place) else { return };
        let begin = keep.refill.may_begin(io.now, keep.idle.len(), keep.wanted(io.now));
        self.expect(keep.refill.poll_timeout(io.now));
        for _ in 0..begin {
            self.begin(place, io);
        }
    }

    fn begin(&mut self, place: usize, io: &mut Io) {
        let Some(keep) = self.keeps.get_mut(&place) else { return };
        let Some((upstream, endpoint)) = &keep.serves else { return };
        let until = io.next_tick().after(upstream.settings.dial.connect_timeout);
        let seat = Seat { place, life: Life::Asking, since: io.now, until };
        let Some(token) = self.seats.insert(seat) else { return };
        keep.refill.begun();
        keep.making.push(token);
        let (host, port) = (endpoint.address.host.clone(), endpoint.address.port);
        self.turn = self.turn.wrapping_add(1);
        self.expect(until);
        match host {
            Host::Ip(ip) => self.connect(token, SocketAddr::new(ip, port.get()), io),
            Host::Name(host) => {
                let asked = Asked { worker: io.worker, serial: 0, token };
                io.questions.push(Question { asked, host, port: Some(port) });
            }
        }
    }

    /// The name of an endpoint leads to these addresses, or nowhere.
    pub(super) fn answered(&mut self, token: u64, addresses: &[SocketAddr], io: &mut Io) {
        if !matches!(self.seats.find(token), Some(Seat { life: Life::Asking, .. })) {
            return;
        }
        let turn = usize::try_from(self.turn).unwrap_or_default();
        match turn.checked_rem(addresses.len()).and_then(|index| addresses.get(index)) {
            Some(address) => self.connect(token, *address, io),
            None => self.failed(token, io),
        }
    }

    fn connect(&mut self, token: u64, address: SocketAddr, io: &mut Io) {
        let Some(seat) = self.seats.find(token) else { return };
        let keep = self.keeps.get(&seat.place);
        let (Some((upstream, endpoint)), Some(snapshot)) =
            (keep.and_then(|keep| keep.serves.as_ref()), &self.snapshot)
        else {
            return self.failed(token, io);
        };
        let dial = &upstream.settings.dial;
        let host = match &endpoint.address.host {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        };
        let onward = Box::new(onward(dial, upstream.tls.as_deref(), host, address));
        let from = source(dial, address, self.turn);
        let snapshot = Arc::clone(snapshot);
        let leg = dial_tcp(address, from, dial, (&snapshot.config, io));
        match leg.and_then(|leg| leg.watch(&io.poller, token).map(|()| leg)) {
            Ok(leg) => seat.life = Life::Making { leg, address, onward },
            Err(_) => self.failed(token, io),
        }
    }

    /// Goes on with one that is being made, as far as it goes.
    pub(super) fn go_on(&mut self, token: u64, io: &mut Io) {
        let Some(seat) = self.seats.find(token) else { return };
        let Life::Making { leg, onward, .. } = &mut seat.life else { return };
        match leg.establish(onward, io) {
            Established::NotYet => {}
            Established::Later => self.busy.push(token),
            Established::Failed(_) | Established::Untrusted => self.failed(token, io),
            Established::Ready => self.made(token, io),
        }
    }

    fn made(&mut self, token: u64, io: &mut Io) {
        let Some(seat) = self.seats.find(token) else { return };
        let Some(keep) = self.keeps.get_mut(&seat.place) else { return };
        let Life::Making { leg, address, .. } = mem::replace(&mut seat.life, Life::Asking) else { return };
        // It may wait for long: the kernel is to tell when nobody is there any more.
        leg.keep_watch();
        seat.life = Life::Idle { leg, address };
        let max_age = keep.serves.as_ref().map(|(upstream, _)| upstream.settings.pool.max_age);
        seat.since = io.now;
        seat.until = expiry(io.now, max_age.unwrap_or_default(), io.dice.throw().unwrap_or_default());
        let until = seat.until;
        keep.making.retain(|making| *making != token);
        keep.idle.push(token);
        keep.refill.made(io.now);
        keep.meter.made();
        keep.meter.rests();
        self.wanting.push(seat.place);
        self.expect(until);
        self.look(token, io);
    }

    fn failed(&mut self, token: u64, io: &mut Io) {
        let Some(seat) = self.seats.remove(token) else { return };
        let Some(keep) = self.keeps.get_mut(&seat.place) else { return };
        keep.making.retain(|making| *making != token);
        keep.refill.failed(io.now, io.dice.throw().unwrap_or_default());
        keep.meter.failed();
        let again = keep.refill.poll_timeout(io.now);
        self.expect(again);
    }

    /// The endpoint has ended an idle one, or spoke on it.
    pub(super) fn lost(&mut self, token: u64, cause: Discard, io: &mut Io) {
        let Some(seat) = self.seats.find(token) else { return };
        let (place, since) = (seat.place, seat.since);
        if let Some(keep) = self.keeps.get_mut(&place) {
            keep.refill.lost(io.now, since, io.dice.throw().unwrap_or_default());
        }
        self.discard(token, cause);
    }
}
