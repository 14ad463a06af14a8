//! A link between two peers and two applications that write and read as they like.

use std::collections::BTreeMap;

use super::peer::{Chance, Oracle, Ours, Peer};
use portcullis_core::wire::kcp::arq::Settings;

/// Longer than the slowest world: closed windows are asked about after 7 s, then less and less often.
const TIME_MAX: u64 = 3_600_000;
const STEPS_MAX: u64 = 3_000_000;

/// What happens to datagrams: shares of a thousand, and milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub loss: u64,
    pub double: u64,
    pub corrupt: u64,
    pub delay: u64,
    pub jitter: u64,
}

/// What a peer may be asked after every step.
pub trait Bounded: Peer {
    fn check(&self) {}
    /// Nothing to do, ever; a peer that ticks never is.
    fn rests(&self) -> bool {
        true
    }
    /// Calls of its machine, for those that count them.
    fn polls(&self) -> u64 {
        0
    }
    /// For whoever looks into a failure.
    fn told(&self) -> String {
        String::new()
    }
}

impl Bounded for Oracle {
    fn told(&self) -> String {
        let kcp = &self.kcp;
        format!("{} wait, window {} of {}", kcp.wait_snd(), kcp.rmt_wnd(), kcp.snd_wnd())
    }
}

impl Bounded for Ours {
    fn check(&self) {
        let Settings { send_window, receive_window, mtu, .. } = self.settings;
        let mss = usize::from(mtu) - 24;
        assert!(self.arq.unacknowledged() <= usize::from(send_window) * mss, "{:?}", self.arq);
        assert!(
            self.arq.held() <= usize::from(receive_window) * (mss + mss.max(1448)) + 4000,
            "{:?}",
            self.arq
        );
        assert!(!self.arq.is_dead(), "{:?}", self.arq);
    }

    fn rests(&self) -> bool {
        self.arq.poll_timeout().0 == u64::MAX
    }

    fn polls(&self) -> u64 {
        self.polls
    }

    fn told(&self) -> String {
        format!("{:?}", self.arq)
    }
}

/// A peer, its application, and what is on the way to it.
struct Side<P> {
    peer: P,
    /// By arrival; the second number keeps those of one moment apart.
    inbox: BTreeMap<(u64, u64), (Vec<u8>, u64)>,
    to_write: u64,
    written: u64,
    write_at: u64,
    /// The pace of writes, in milliseconds; 0 as fast as they are taken.
    write_pace: u64,
    to_read: u64,
    read: u64,
    read_at: u64,
    read_pace: u64,
    sent: u64,
    wakes: u64,
}

impl<P: Bounded> Side<P> {
    fn new(chance: &mut Chance, peer: P) -> Self {
        let size = chance.one_of(&[200, 3_000, 30_000, 150_000]);
        Self {
            peer,
            inbox: BTreeMap::new(),
            to_write: chance.below(size),
            written: 0,
            write_at: 0,
            write_pace: chance.one_of(&[0, 0, 5, 50]),
            to_read: 0,
            read: 0,
            read_at: 0,
            read_pace: chance.one_of(&[0, 0, 10, 100]),
            sent: 0,
            wakes: 0,
        }
    }

    fn next(&self, now: u64) -> u64 {
        let arrival = self.inbox.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        let after = |may: bool, at: u64| if may { at.max(now + 1) } else { u64::MAX };
        let write = after(self.written < self.to_write && self.peer.has_room(), self.write_at);
        let read = after(self.peer.has_bytes(), self.read_at);
        arrival.min(self.peer.timeout(now)).min(write).min(read)
    }

    fn is_done(&self) -> bool {
        self.written == self.to_write && self.read == self.to_read && self.peer.is_done()
    }

    fn act(&mut self, now: u64, own: u64, chance: &mut Chance) {
        while let Some(entry) = self.inbox.first_entry().filter(|entry| entry.key().0 <= now) {
            let (datagram, sum) = entry.remove();
            if checksum(&datagram) == sum {
                self.peer.input(now, &datagram);
                self.peer.check();
            }
        }
        if now >= self.write_at && self.written < self.to_write {
            let size = chance.one_of(&[20, 500, 9000]);
            let most = chance.below(size) + 1;
            let end = self.to_write.min(self.written + most);
            let bytes: Vec<u8> = (self.written..end).map(|place| byte(own, place)).collect();
            self.written += self.peer.write(&bytes) as u64;
            self.write_at = now + chance.below(self.write_pace + 1);
        }
        if now >= self.read_at {
            let size = chance.one_of(&[3, 2000, 100_000]);
            let most = chance.below(size) + 1;
            for got in self.peer.read(most as usize) {
                assert_eq!(got, byte(1 - own, self.read), "byte {} of the stream to side {own}", self.read);
                self.read += 1;
            }
            // Now and then a reader sleeps, so that the window closes.
            let sleep = if chance.below(400) == 0 { chance.below(5_000) } else { 0 };
            self.read_at = now + chance.below(self.read_pace + 1) + sleep;
        }
        self.peer.check();
    }
}

/// Two sides and the link.
pub struct World<A, B> {
    chance: Chance,
    link: Link,
    here: Side<A>,
    there: Side<B>,
}

impl<A: Bounded, B: Bounded> World<A, B> {
    pub fn new(seed: u64, link: Link, here: A, there: B) -> Self {
        let mut chance = Chance(!seed);
        let mut here = Side::new(&mut chance, here);
        let mut there = Side::new(&mut chance, there);
        (here.to_read, there.to_read) = (there.to_write, here.to_write);
        Self { chance, link, here, there }
    }

    pub fn run(mut self) {
        let (mut now, mut steps) = (1, 0u64);
        loop {
            step(now, 0, &mut self.chance, &self.link, (&mut self.here, &mut self.there.inbox));
            step(now, 1, &mut self.chance, &self.link, (&mut self.there, &mut self.here.inbox));
            if self.here.is_done() && self.there.is_done() {
                break;
            }
            let next = self.here.next(now).min(self.there.next(now));
            steps += 1;
            assert!(next > now, "a step that takes no time, at {now}");
            assert!(next < TIME_MAX && steps < STEPS_MAX, "stalled at {now}, next {next}: {}", self.told());
            now = next;
        }
        self.come_to_rest(now);
        for (polls, sent, wakes) in [
            (self.here.peer.polls(), self.here.sent, self.here.wakes),
            (self.there.peer.polls(), self.there.sent, self.there.wakes),
        ] {
            assert!(polls <= sent + wakes, "{polls} polls for {sent} datagrams in {wakes} turns");
        }
    }

    /// What is still on the way arrives, and then nobody wants anything any more.
    fn come_to_rest(&mut self, now: u64) {
        let mut now = now;
        for _ in 0..10_000 {
            step(now, 0, &mut self.chance, &self.link, (&mut self.here, &mut self.there.inbox));
            step(now, 1, &mut self.chance, &self.link, (&mut self.there, &mut self.here.inbox));
            let idle = self.here.inbox.is_empty() && self.there.inbox.is_empty();
            if idle && self.here.peer.rests() && self.there.peer.rests() {
                return;
            }
            now = self.here.next(now).min(self.there.next(now));
        }
        panic!("no rest: {}", self.told());
    }

    fn told(&self) -> String {
        let told =
            |to_write, written, to_read, read| format!("wrote {written}/{to_write}, read {read}/{to_read}; ");
        let (here, there) = (&self.here, &self.there);
        told(here.to_write, here.written, here.to_read, here.read)
            + &told(there.to_write, there.written, there.to_read, there.read)
            + &here.peer.told()
            + &there.peer.told()
    }
}

/// What lies on the way to a side.
type Inbox = BTreeMap<(u64, u64), (Vec<u8>, u64)>;

fn step<P: Bounded>(now: u64, own: u64, chance: &mut Chance, link: &Link, ends: (&mut Side<P>, &mut Inbox)) {
    let (side, inbox) = ends;
    side.act(now, own, chance);
    side.wakes += 1;
    for datagram in side.peer.flush(now) {
        side.sent += 1;
        for _ in 0..=u64::from(chance.per_mille(link.double)) {
            if chance.per_mille(link.loss) {
                continue;
            }
            let sum = checksum(&datagram);
            let mut datagram = datagram.clone();
            if chance.per_mille(link.corrupt) {
                let place = chance.below(datagram.len() as u64) as usize;
                datagram[place] ^= 1 << chance.below(8);
            }
            let at = now + 1 + link.delay + chance.below(link.jitter + 1);
            let unique = chance.next();
            inbox.insert((at, unique), (datagram, sum));
        }
    }
}

/// The byte at a place of the stream that a side writes.
fn byte(side: u64, place: u64) -> u8 {
    (place.wrapping_mul(31) ^ (place >> 8) ^ (side * 77)) as u8
}

/// FNV-1a: finds every change of one byte.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
