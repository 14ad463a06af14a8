//! Who is known at a listener's port: which session a datagram is for, and which stranger may begin one.
//!
//! Owns: the sessions of one UDP socket by (remote address, conv), those that ended not long ago, and how fast
//! a network opens new ones. Does not own: the state of a session (the worker's, found by a token), ciphers,
//! how many sessions there may be in all.
//!
//! kcp-go builds a session for whatever can be parsed: a late ACK, a parity shard, a datagram from a forged
//! address that names another conv and so ends the session that was there. Here a session begins with the
//! beginning of a stream and nothing else, what ended stays ended, and an older session yields only to one that
//! has shown that it receives what is sent to its address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::limit::bucket::{Buckets, Rate};
use crate::wheel::Tick;
use crate::wire::kcp::fec::{self, Frame};

mod peek;
mod seats;
#[cfg(test)]
mod tests;
mod tombstones;

use seats::{Seat, Seats};
use tombstones::Tombstones;

/// What is to be done with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is for the session of this token.
    Deliver(u64),
    /// It begins a session. Who takes it in calls [`Roster::enter`] before the next datagram is judged.
    Newcomer {
        /// What the session will be known by, with the address.
        conv: u32,
        /// Did it come behind a header of forward error correction? Then the answers go so too.
        framed: bool,
    },
    /// It asks whether somebody is here, before anything was sent either way (una is 0): to be answered with one
    /// bare WINS of this conv (24 bytes: never more than what was asked with), and nothing is kept.
    Answer {
        /// The conv of the question and of the answer.
        conv: u32,
    },
    /// It is dropped, without an answer.
    Drop(Dropped),
}

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It is no KCP.
    Malformed,
    /// An out-of-band message of kcp-go; nobody here understands one.
    OutOfBand,
    /// Its session has ended, not long ago.
    Tombstone,
    /// It is for no session, and no beginning of one.
    NoOpening,
    /// Its network opens sessions too fast.
    Network,
    /// Too many sessions of its address have not shown that they receive what is sent there.
    Crowded,
    /// Newcomers are not taken any more.
    Closed,
    /// The cipher refused it. No verdict of a roster: whoever opens datagrams counts it.
    Sealed,
}

impl Dropped {
    /// Every reason, for whoever counts.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::OutOfBand,
        Self::Tombstone,
        Self::NoOpening,
        Self::Network,
        Self::Crowded,
        Self::Closed,
        Self::Sealed,
    ];

    /// The reason in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::OutOfBand => "out-of-band",
            Self::Tombstone => "tombstone",
            Self::NoOpening => "no-opening",
            Self::Network => "network",
            Self::Crowded => "crowded",
            Self::Closed => "closed",
            Self::Sealed => "sealed",
        }
    }
}

/// What a roster allows and how much it remembers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How fast one network (/24, or /56 of IPv6) may begin sessions.
    pub newcomers: Rate,
    /// The most networks remembered; the one that was quiet for longest is forgotten and may burst again.
    pub networks: usize,
    /// The most ended sessions remembered; the oldest is forgotten.
    pub tombstones: usize,
    /// The most sessions of one address that have not proven themselves.
    pub unproven: usize,
}

impl Default for Settings {
    /// 1,000 a second and 4,000 at once from one network, 4 unproven sessions of one address. Full tables of
    /// 7,000 networks and 16,384 tombstones take less than 4 MiB together; from 7,168 networks on, the table
    /// would double under a flood instead of being mended in place.
    fn default() -> Self {
        Self {
            newcomers: Rate::new(1000, Duration::from_secs(1), 4000),
            networks: 7000,
            tombstones: 16_384,
            unproven: 4,
        }
    }
}

/// The sessions of one UDP socket, by (remote address, conv).
#[derive(Debug)]
pub struct Roster {
    peers: HashMap<Address, Seats>,
    sessions: usize,
    tombstones: Tombstones,
    networks: Buckets<Network>,
    unproven: usize,
    closed: bool,
}

impl Roster {
    /// An empty roster that takes newcomers.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            peers: HashMap::new(),
            sessions: 0,
            tombstones: Tombstones::new(settings.tombstones),
            networks: Buckets::new(settings.newcomers, settings.networks),
            unproven: settings.unproven,
            closed: false,
        }
    }

    /// Says what to do with a datagram from `from`, whose cipher's header is already off.
    ///
    /// The conv of its first segment decides; the rest of a datagram for a known session is not looked at. Costs
    /// one look-up and allocates nothing then. A verdict of [`Verdict::Newcomer`] uses up a token of its network
    /// whether somebody takes it in or not.
    pub fn judge(&mut self, now: Tick, from: SocketAddr, plain: &[u8]) -> Verdict {
        let Some(frame) = fec::demux(plain) else { return Verdict::Drop(Dropped::Malformed) };
        let address = Address::of(from);
        let seats = self.peers.get(&address);
        let (framed, segments) = match frame {
            Frame::Plain(segments) => (false, segments),
            Frame::Data { segments, .. } => (true, segments),
            Frame::Parity { .. } => {
                let session = seats.and_then(Seats::for_parity);
                return session
                    .map_or(Verdict::Drop(Dropped::NoOpening), |seat| Verdict::Deliver(seat.token));
            }
            Frame::OutOfBand => return Verdict::Drop(Dropped::OutOfBand),
        };
        let Some(conv) = peek::conv(segments) else { return Verdict::Drop(Dropped::Malformed) };
        match seats.and_then(|seats| seats.find(conv)) {
            Some(seat) => Verdict::Deliver(seat.token),
            None => {
                let unproven = seats.map_or(0, Seats::unproven);
                self.stranger(now, address, Opening { conv, framed, segments, unproven })
            }
        }
    }

    fn stranger(&mut self, now: Tick, address: Address, opening: Opening<'_>) -> Verdict {
        let Opening { conv, framed, segments, unproven } = opening;
        if self.tombstones.has(now, address, conv) {
            return Verdict::Drop(Dropped::Tombstone);
        }
        let Some(says) = peek::says(segments) else { return Verdict::Drop(Dropped::Malformed) };
        if !says.opens && !says.asks {
            return Verdict::Drop(Dropped::NoOpening);
        }
        if self.closed {
            return Verdict::Drop(Dropped::Closed);
        }
        if !says.opens {
            return Verdict::Answer { conv };
        }
        if unproven >= self.unproven {
            return Verdict::Drop(Dropped::Crowded);
        }
        if self.networks.take(&address.network(), Duration::from_millis(now.0), 1).is_err() {
            return Verdict::Drop(Dropped::Network);
        }
        Verdict::Newcomer { conv, framed }
    }

    /// Takes in the session of (`from`, `conv`), which is the worker's `token`. One that was there already gets
    /// the new token, and has to prove itself again.
    pub fn enter(&mut self, from: SocketAddr, conv: u32, token: u64) {
        let address = Address::of(from);
        self.sessions -= self.unseat(address, conv);
        let seat = Seat { conv, token, proven: false };
        self.peers.entry(address).and_modify(|seats| seats.add(seat)).or_insert(Seats::One(seat));
        self.sessions += 1;
    }

    /// Lets go of the session of (`from`, `conv`); whatever still comes for it within `tombstone` is dropped
    /// silently and begins no other.
    pub fn leave(&mut self, now: Tick, from: SocketAddr, conv: u32, tombstone: Option<Duration>) {
        let address = Address::of(from);
        self.sessions -= self.unseat(address, conv);
        if let Some(wait) = tombstone {
            self.tombstones.lay(now, (address, conv), now.after(wait));
        }
    }

    /// The session of (`from`, `conv`) has shown that it receives what is sent there: it echoed a secret of ours.
    ///
    /// Returns the tokens of the older sessions of that address, which it replaces: their owner ends them and
    /// lets them [`leave`](Roster::leave). Sessions that began after it stay, and may replace it in turn.
    #[must_use]
    pub fn proven(&mut self, from: SocketAddr, conv: u32) -> Vec<u64> {
        self.peers.get_mut(&Address::of(from)).map(|seats| seats.prove(conv)).unwrap_or_default()
    }

    /// Takes newcomers at another rate from here on.
    pub fn pace(&mut self, newcomers: Rate) {
        self.networks.pace(newcomers);
    }

    /// Takes no newcomers any more and answers no question of a stranger; sessions go on.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Takes newcomers again.
    pub fn open(&mut self) {
        self.closed = false;
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions
    }

    /// Is there no session?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions == 0
    }

    /// Returns how many sessions it removed: one or none.
    fn unseat(&mut self, address: Address, conv: u32) -> usize {
        let Some(seats) = self.peers.get_mut(&address) else { return 0 };
        match seats.remove(conv) {
            seats::Removed::Nobody => 0,
            seats::Removed::One => 1,
            seats::Removed::Last => {
                self.peers.remove(&address);
                1
            }
        }
    }
}

/// What is known of a datagram that is for no session.
struct Opening<'b> {
    conv: u32,
    framed: bool,
    segments: &'b [u8],
    /// How many sessions of its address have not proven themselves.
    unproven: usize,
}

/// A remote address, as small as one can be kept. An IPv4 address in IPv6 form is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Address {
    ip: [u8; 16],
    /// Tells the link of a link-local address; zero for all others.
    scope: u32,
    port: u16,
}

impl Address {
    fn of(from: SocketAddr) -> Self {
        let (ip, scope) = match from {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self { ip: ip.octets(), scope, port: from.port() }
    }

    fn network(&self) -> Network {
        match IpAddr::from(self.ip).to_canonical() {
            // Above every /56 written as a number.
            IpAddr::V4(v4) => Network(1 << 56 | u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Network((v6.to_bits() >> 72) as u64),
        }
    }
}

/// A /24, or a /56 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(u64);
