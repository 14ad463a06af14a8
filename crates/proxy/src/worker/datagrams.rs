//! The datagram side of a turn: who each is for, who may begin a session, and who must make room.

use std::io;
use std::mem;
use std::sync::Arc;

use portcullis_core::limit::entrance::Client;
use portcullis_core::outcome::Reason;
use portcullis_core::wire::kcp::crypt::Crypt;
use portcullis_core::wire::kcp::roster::{Dropped, Verdict};
use portcullis_sys::datagram::{Inbox, Incoming};

use super::Worker;
use crate::leg::{Kcp, Leg, Newcomer};
use crate::session::{Arrival, Step};
use crate::shards::Seat;
use crate::tenants::{Tenant, slot};

/// Batches read at one port in one turn; then sessions have their turn.
const BATCHES: usize = 4;
/// So many bytes of clients whose addresses may be forged are held before little is kept of each.
const YOUNG_HELD: u64 = 1 << 20;

/// Payload that goes straight from the batch it came in to an endpoint, and whose it is.
#[derive(Debug, Default)]
struct Run<'b> {
    token: Option<u64>,
    parts: Vec<&'b [u8]>,
}

impl Worker {
    /// Takes what has come at a port; true: there may be more.
    pub(super) fn read_port(&mut self, number: u32) -> io::Result<bool> {
        let mut inbox = mem::take(&mut self.inbox).unwrap_or_default();
        let mut more = true;
        for _ in 0..BATCHES {
            let Some(shard) = self.io.shards.get(number) else {
                more = false; // closed in this very turn
                break;
            };
            match shard.receive(&mut inbox) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // What the network says of one peer is nothing to the port.
                Err(_) => continue,
            }
            self.take_batch(number, &mut inbox);
            if !inbox.is_full() {
                more = false;
                break;
            }
        }
        self.inbox = Some(inbox);
        Ok(more)
    }

    fn take_batch(&mut self, number: u32, inbox: &mut Inbox) {
        let mut run = Run::default();
        for incoming in inbox.iter_mut() {
            let Incoming { from, to, bytes, .. } = incoming;
            let seat = Seat { shard: number, to: from, from: to };
            let Some(shard) = self.io.shards.get(number) else { return };
            let plain = shard.open(bytes, &mut self.scratch);
            let cell = &shard.meter.cell(usize::from(self.io.worker)).kcp;
            cell.datagrams_in.add(1);
            let Some((plain, by)) = plain else {
                cell.dropped(Dropped::Sealed);
                continue;
            };
            let mut verdict = shard.roster.judge(self.io.now, seat.to, plain);
            if by.is_some_and(|by| !self.is_meant_by(number, verdict, &by)) {
                verdict = Verdict::Drop(Dropped::Sealed);
            }
            let Some(shard) = self.io.shards.get(number) else { return };
            let cell = &shard.meter.cell(usize::from(self.io.worker)).kcp;
            match verdict {
                Verdict::Deliver(token) => {
                    if run.token != Some(token) {
                        self.settle(&mut run);
                        run.token = Some(token);
                    }
                    self.deliver(token, plain, &mut run);
                }
                Verdict::Newcomer { conv, framed } => {
                    self.settle(&mut run);
                    self.take_newcomer(seat, Newcomer { conv, framed }, plain);
                }
                Verdict::Answer { conv } => {
                    cell.answers.add(1);
                    let Self { io: crate::io::Io { shards, nonces, .. }, .. } = self;
                    if let Some(shard) = shards.get(number) {
                        shard.answer(&seat, conv, nonces);
                    }
                }
                Verdict::Drop(why) => cell.dropped(why),
            }
        }
        self.settle(&mut run);
    }

    /// Is it the cipher of whom the verdict is about? A key that was replaced opens no new session, and no session
    /// hears what another's key has sealed.
    fn is_meant_by(&mut self, number: u32, verdict: Verdict, by: &Arc<Crypt>) -> bool {
        match verdict {
            Verdict::Deliver(token) => {
                let talk = self.tenants.find(token).and_then(|tenant| tenant.session.talk());
                talk.is_some_and(|talk| talk.speaks(by))
            }
            Verdict::Newcomer { .. } | Verdict::Answer { .. } => {
                self.io.shards.get(number).is_some_and(|shard| Arc::ptr_eq(&shard.terms.crypt, by))
            }
            Verdict::Drop(_) => true,
        }
    }

    /// Gives a session its datagram. Who has just shown that it hears us replaces who was there before it.
    fn deliver<'b>(&mut self, token: u64, plain: &'b [u8], run: &mut Run<'b>) {
        let tight = self.young_held >= YOUNG_HELD;
        let Some(tenant) = self.tenants.find(token) else { return };
        let is_young = tenant.is_young;
        self.guarded(token, |session, io| {
            if let Some(talk) = session.talk_mut().filter(|_| is_young) {
                talk.tighten(tight);
            }
            session.handle_datagram(io.now, plain, &mut run.parts);
            Step::Wait
        });
        if is_young && let Some(tenant) = self.tenants.find(token) {
            let held = u32::try_from(tenant.session.talk().map_or(0, Kcp::held)).unwrap_or(u32::MAX);
            self.young_held = self.young_held - u64::from(tenant.held) + u64::from(held);
            tenant.held = held;
        }
        // One may grow up by what it has sent, and be proven later.
        let is_news = |tenant: &mut Tenant| {
            let is_proven = !tenant.is_proven && tenant.session.talk().is_some_and(Kcp::is_proven);
            is_proven || (is_young && tenant.session.is_grown())
        };
        if self.tenants.find(token).is_some_and(is_news) {
            self.grow_up(token);
        }
        self.wake(token);
    }

    /// Sends the payload of a run to its session's endpoint.
    fn settle(&mut self, run: &mut Run<'_>) {
        let Some(token) = run.token.take() else { return };
        if !run.parts.is_empty() {
            self.guarded(token, |session, io| {
                session.hand_over(&run.parts, io);
                Step::Wait
            });
        }
        run.parts.clear();
    }

    /// Begins a session for whoever sent the beginning of a stream.
    fn take_newcomer(&mut self, seat: Seat, newcomer: Newcomer, plain: &[u8]) {
        let Some(shard) = self.io.shards.get(seat.shard) else { return };
        let (plan, meter, terms) = (Arc::clone(&shard.plan), Arc::clone(&shard.meter), shard.terms.clone());
        let cell = meter.cell(usize::from(self.io.worker));
        let Some(mut permit) = self.io.shared.admission.enter() else { return cell.kcp.full.add(1) };
        let client = Client { ip: seat.to.ip(), is_claimed: true };
        if let Err(reason) = self.io.admit(&plan, client, &mut permit) {
            return self.io.turn_away(&meter, seat.to, reason);
        }
        let Ok(kcp) = Kcp::accepted(newcomer, &terms, seat, &mut self.io.dice) else { return };
        cell.accepted.add(1);
        let client = Leg::kcp(kcp);
        let snapshot = Arc::clone(&self.snapshot);
        let arrival = Arrival { client, peer: seat.to, plan, snapshot, meter: Arc::clone(&meter), permit };
        let Some(token) = self.begin(arrival) else { return };
        if let Some(shard) = self.io.shards.get(seat.shard) {
            shard.roster.enter(seat.to, newcomer.conv, token);
        }
        self.stay_young(token);
        self.deliver(token, plain, &mut Run::default());
    }

    /// A session whose address may be forged is young; when there are too many, the oldest makes room.
    fn stay_young(&mut self, token: u64) {
        let Some(tenant) = self.tenants.find(token) else { return };
        tenant.is_young = true;
        tenant.session.meter().cell(usize::from(self.io.worker)).kcp.embryos.add(1);
        if self.young.len() >= self.hello_maximum
            && let Some(oldest) = self.young.oldest().and_then(|slot| self.tenants.token_of(slot))
        {
            if let Some(tenant) = self.tenants.find(oldest) {
                tenant.session.cut(Reason::Unproven);
            }
            self.step(oldest);
        }
        self.young.join(slot(token));
    }

    /// It has shown that it is who it says: the older sessions of its address are of somebody who has left.
    fn grow_up(&mut self, token: u64) {
        let Some(tenant) = self.tenants.find(token) else { return };
        let proven = tenant.session.talk().filter(|talk| talk.is_proven()).and_then(Kcp::seat);
        let seat = proven.map(|(seat, conv)| (*seat, conv));
        tenant.is_proven = seat.is_some();
        self.leave_young(token);
        let Some((seat, conv)) = seat else { return };
        let Some(shard) = self.io.shards.get(seat.shard) else { return };
        for older in shard.roster.proven(seat.to, conv) {
            self.end(older, Reason::Replaced);
        }
    }

    /// It is young no more, for better or worse.
    pub(super) fn leave_young(&mut self, token: u64) {
        if let Some(tenant) = self.tenants.find(token)
            && mem::take(&mut tenant.is_young)
        {
            self.young_held -= u64::from(mem::take(&mut tenant.held));
            if let Some(talk) = tenant.session.talk_mut() {
                talk.tighten(false);
            }
            tenant.session.meter().cell(usize::from(self.io.worker)).kcp.embryos.less(1);
            self.young.leave(slot(token));
        }
    }
}
