//! Whatever arrives in whatever order: nobody who is here is lost, and nobody comes in but by the one door.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use portcullis_core::limit::bucket::Rate;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::roster::{Dropped, Roster, Settings, Verdict};

/// The most unproven sessions of an address: few, so that the fuzzer finds the bound.
const UNPROVEN: usize = 3;

/// A roster, and what is known of it by what was told to it.
struct World {
    roster: Roster,
    now: Tick,
    /// Tokens by (address, conv).
    here: BTreeMap<(u8, u32), u64>,
    /// Until when who ended must stay so.
    gone: BTreeMap<(u8, u32), Tick>,
    tokens: u64,
    closed: bool,
}

/// `data`: events behind one another, of which the first byte says the kind.
///
/// 0: a datagram (address, length, bytes); 1: a session leaves (address, conv, tenths of a second of a
/// tombstone, 0 for none); 2: one is proven (address, conv); 3: time passes (tenths of a second); 4: no
/// newcomers any more. Each number is a byte.
pub fn run(data: &[u8]) {
    let newcomers = Rate::new(10, Duration::from_secs(1), 9);
    // Room for a tombstone of everybody: 256 addresses by 256 convs.
    let settings = Settings { newcomers, networks: 2, tombstones: 65_536, unproven: UNPROVEN };
    let mut world = World {
        roster: Roster::new(&settings),
        now: Tick(1),
        here: BTreeMap::new(),
        gone: BTreeMap::new(),
        tokens: 0,
        closed: false,
    };
    let mut rest = data;
    while let Some(after) = world.event(rest) {
        rest = after;
        assert_eq!(world.roster.len(), world.here.len());
    }
}

impl World {
    /// Plays one event off the front; none when there is no whole one.
    fn event<'b>(&mut self, data: &'b [u8]) -> Option<&'b [u8]> {
        let (kind, data) = data.split_first()?;
        match (kind % 5, data) {
            (0, [from, length, rest @ ..]) => {
                let (datagram, rest) = rest.split_at_checked(usize::from(*length))?;
                self.datagram(*from, datagram);
                Some(rest)
            }
            (1, [from, conv, tenths, rest @ ..]) => {
                self.leave((*from, u32::from(*conv)), tenth(*tenths));
                Some(rest)
            }
            (2, [from, conv, rest @ ..]) => {
                let replaced = self.roster.proven(address(*from), u32::from(*conv));
                for token in replaced {
                    assert!(self.here.iter().any(|((at, _), here)| at == from && *here == token));
                    assert!(self.here[&(*from, u32::from(*conv))] > token, "only an older one yields");
                }
                Some(rest)
            }
            (3, [tenths, rest @ ..]) => {
                self.now = self.now.after(tenth(*tenths));
                Some(rest)
            }
            (4, rest) => {
                self.roster.close();
                self.closed = true;
                Some(rest)
            }
            _ => None,
        }
    }

    fn datagram(&mut self, from: u8, datagram: &[u8]) {
        match self.roster.judge(self.now, address(from), datagram) {
            Verdict::Deliver(token) => {
                assert!(self.here.iter().any(|((at, _), here)| *at == from && *here == token));
            }
            Verdict::Newcomer { conv, framed } => {
                assert!(!self.closed && datagram.len() >= if framed { 32 } else { 24 });
                assert!(!self.here.contains_key(&(from, conv)));
                assert!(self.gone.get(&(from, conv)).is_none_or(|until| *until <= self.now));
                self.tokens += 1;
                self.roster.enter(address(from), conv, self.tokens);
                self.here.insert((from, conv), self.tokens);
                // What let it in reaches it when it comes again.
                let again = self.roster.judge(self.now, address(from), datagram);
                assert_eq!(again, Verdict::Deliver(self.tokens));
            }
            Verdict::Answer { conv } => {
                assert!(!self.closed && datagram.len() >= 24 && !self.here.contains_key(&(from, conv)));
            }
            Verdict::Drop(Dropped::Crowded) => {
                let here = self.here.keys().filter(|(at, _)| *at == from).count();
                assert!(here >= UNPROVEN);
            }
            Verdict::Drop(Dropped::Closed) => assert!(self.closed),
            Verdict::Drop(Dropped::Tombstone) => {
                assert!(self.gone.iter().any(|((at, _), until)| *at == from && self.now < *until));
            }
            Verdict::Drop(Dropped::Sealed) => panic!("a roster knows no ciphers"),
            Verdict::Drop(_) => {}
        }
    }

    fn leave(&mut self, who: (u8, u32), tombstone: Duration) {
        let tombstone = Some(tombstone).filter(|wait| !wait.is_zero());
        self.roster.leave(self.now, address(who.0), who.1, tombstone);
        self.here.remove(&who);
        if let Some(wait) = tombstone {
            self.gone.insert(who, self.now.after(wait));
        }
    }
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 4000).into()
}

fn tenth(tenths: u8) -> Duration {
    Duration::from_millis(u64::from(tenths) * 100)
}
