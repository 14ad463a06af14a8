//! The roster beside a naive one, under any order of events.

use proptest::prelude::*;

use super::*;
use crate::limit::bucket::Bucket;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A datagram of one kind; a newcomer is taken in when `welcome`.
    Datagram {
        from: u8,
        conv: u32,
        kind: Said,
        welcome: bool,
    },
    Leave {
        from: u8,
        conv: u32,
        tombstone: Option<u16>,
    },
    Prove {
        from: u8,
        conv: u32,
    },
    Wait(u16),
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Opens,
    OpensFramed,
    Asks,
    Acknowledges,
    Late,
    Parity,
    Nonsense,
}

/// What a roster promises, written so that it can be read.
struct Model {
    settings: Settings,
    now: u64,
    /// In the order in which they began: address, conv, token, proven.
    sessions: Vec<(u8, u32, u64, bool)>,
    /// In the order in which they are forgotten: address, conv, until.
    tombstones: Vec<(u8, u32, u64)>,
    /// Of the one network that all addresses here belong to.
    bucket: Bucket,
    closed: bool,
}

impl Model {
    fn judge(&mut self, from: u8, conv: u32, said: Said) -> Verdict {
        let here: Vec<_> = self.sessions.iter().filter(|(address, ..)| *address == from).copied().collect();
        if matches!(said, Said::Nonsense) {
            return Verdict::Drop(Dropped::Malformed);
        }
        if matches!(said, Said::Parity) {
            let proven = here.iter().rfind(|(.., proven)| *proven);
            return match proven.or(here.last()) {
                Some((_, _, token, _)) => Verdict::Deliver(*token),
                None => Verdict::Drop(Dropped::NoOpening),
            };
        }
        if let Some((_, _, token, _)) = here.iter().find(|session| session.1 == conv) {
            return Verdict::Deliver(*token);
        }
        if self
            .tombstones
            .iter()
            .any(|(address, ended, until)| (*address, *ended) == (from, conv) && self.now < *until)
        {
            return Verdict::Drop(Dropped::Tombstone);
        }
        let framed = match said {
            Said::Opens => false,
            Said::OpensFramed => true,
            Said::Asks if self.closed => return Verdict::Drop(Dropped::Closed),
            Said::Asks => return Verdict::Answer { conv },
            Said::Acknowledges | Said::Late | Said::Parity | Said::Nonsense => {
                return Verdict::Drop(Dropped::NoOpening);
            }
        };
        if self.closed {
            return Verdict::Drop(Dropped::Closed);
        }
        if here.iter().filter(|(.., proven)| !proven).count() >= self.settings.unproven {
            return Verdict::Drop(Dropped::Crowded);
        }
        match self.bucket.take(self.settings.newcomers, Duration::from_millis(self.now), 1) {
            Ok(()) => Verdict::Newcomer { conv, framed },
            Err(_) => Verdict::Drop(Dropped::Network),
        }
    }

    fn leave(&mut self, from: u8, conv: u32, tombstone: Option<u16>) {
        self.sessions.retain(|session| (session.0, session.1) != (from, conv));
        let Some(wait) = tombstone else { return };
        while self.tombstones.first().is_some_and(|(_, _, until)| *until <= self.now) {
            self.tombstones.remove(0);
        }
        let until = self.now + u64::from(wait);
        if let Some(old) = self.tombstones.iter_mut().find(|old| (old.0, old.1) == (from, conv)) {
            old.2 = until;
            return;
        }
        if self.tombstones.len() == self.settings.tombstones {
            self.tombstones.remove(0);
        }
        self.tombstones.push((from, conv, until));
    }

    fn prove(&mut self, from: u8, conv: u32) -> Vec<u64> {
        let here = |session: &(u8, u32, u64, bool)| session.0 == from;
        let Some(place) = self.sessions.iter().position(|session| here(session) && session.1 == conv) else {
            return Vec::new();
        };
        self.sessions[place].3 = true;
        self.sessions[..place].iter().filter(|session| here(session)).map(|session| session.2).collect()
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let kinds = [
        Said::Opens,
        Said::Opens,
        Said::OpensFramed,
        Said::Asks,
        Said::Acknowledges,
        Said::Late,
        Said::Parity,
        Said::Nonsense,
    ];
    let name = || (0_u8..3, 0_u32..7);
    let datagram = (name(), prop::sample::select(kinds.to_vec()), prop::bool::weighted(0.9))
        .prop_map(|((from, conv), kind, welcome)| Event::Datagram { from, conv, kind, welcome });
    let leave = (name(), prop::option::of(0_u16..3000)).prop_map(|((from, conv), tombstone)| Event::Leave {
        from,
        conv,
        tombstone,
    });
    let prove = name().prop_map(|(from, conv)| Event::Prove { from, conv });
    let wait = (0_u16..1500).prop_map(Event::Wait);
    let one = prop_oneof![20 => datagram, 5 => leave, 4 => prove, 4 => wait, 1 => Just(Event::Close)];
    prop::collection::vec(one, 1..150)
}

proptest! {
    #[test]
    fn any_order_of_events_is_judged_as_the_naive_roster_does(events in events()) {
        let newcomers = Rate::new(5, SECOND, 12);
        let settings = Settings { newcomers, tombstones: 6, unproven: 3, ..Settings::default() };
        let mut roster = Roster::new(&settings);
        let bucket = Bucket::full(newcomers, Duration::ZERO);
        let mut model = Model { settings, now: 0, sessions: vec![], tombstones: vec![], bucket, closed: false };
        for (token, event) in (1_u64..).zip(events) {
            let now = Tick(model.now);
            match event {
                Event::Datagram { from, conv, kind, welcome } => {
                    let verdict = roster.judge(now, address(from), &kind.datagram(conv));
                    prop_assert_eq!(verdict, model.judge(from, conv, kind), "{:?}", event);
                    if welcome && matches!(verdict, Verdict::Newcomer { .. }) {
                        roster.enter(address(from), conv, token);
                        model.sessions.push((from, conv, token, false));
                    }
                }
                Event::Leave { from, conv, tombstone } => {
                    let wait = tombstone.map(|wait| Duration::from_millis(wait.into()));
                    roster.leave(now, address(from), conv, wait);
                    model.leave(from, conv, tombstone);
                }
                Event::Prove { from, conv } => {
                    prop_assert_eq!(roster.proven(address(from), conv), model.prove(from, conv));
                }
                Event::Wait(wait) => model.now += u64::from(wait),
                Event::Close => {
                    roster.close();
                    model.closed = true;
                }
            }
            prop_assert_eq!(roster.len(), model.sessions.len());
            prop_assert_eq!(roster.peers.values().map(|seats| seats.all().len()).sum::<usize>(), roster.len());
            prop_assert!(roster.tombstones.len() <= settings.tombstones);
        }
    }
}

impl Said {
    fn datagram(self, conv: u32) -> Vec<u8> {
        match self {
            Self::Opens => segment(conv, PUSH, 3, b"x"),
            Self::OpensFramed => framed(0, &segment(conv, PUSH, 0, b"x")),
            Self::Asks => segment(conv, WASK, 0, b""),
            Self::Acknowledges => segment(conv, ACK, 0, b""),
            Self::Late => segment(conv, PUSH, 32, b"x"),
            Self::Parity => kind(0x00f2, b"parity"),
            Self::Nonsense => segment(conv, PUSH, 0, b"x")[..20].to_vec(),
        }
    }
}
