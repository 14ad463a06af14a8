//! The rules once more, as plainly as they can be said: a list of all tokens that there ever were.

use proptest::prelude::*;

use super::{START, chance};
use crate::token::record::{Record, Renewal};
use crate::token::{DeviceToken, Family, Refusal, Terms, Unix};

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Register,
    /// Shows one of all tokens that there ever were, counted from the latest.
    Show(usize),
    ShowStranger,
    Beat,
    /// Minutes pass.
    Pass(u64),
    SetBack,
    Forget,
}

pub(super) fn history() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => Just(Act::Register),
        6 => (0..6_usize).prop_map(Act::Show),
        1 => Just(Act::ShowStranger),
        6 => Just(Act::Beat),
        6 => (1..300_u64).prop_map(Act::Pass),
        1 => (1000..12_000_u64).prop_map(Act::Pass),
        1 => Just(Act::SetBack),
        1 => Just(Act::Forget),
    ];
    prop::collection::vec(act, 1..60)
}

/// A token and what became of it. Those of earlier registrations are none of the device's.
struct Known {
    token: DeviceToken,
    ends: Unix,
    family: u64,
    /// Its number in the order of giving; those before the last that was shown are retired.
    number: u64,
}

/// The record under test beside the list.
pub(super) struct World {
    terms: Terms,
    now: Unix,
    record: Option<Record>,
    tokens: Vec<Known>,
    given: u64,
    family: u64,
    /// The number of the last token that was shown, by the first use of it.
    current: u64,
    revoked: bool,
    /// The latest moment at which it was heard, by the model's own exact count.
    used: Unix,
}

impl World {
    pub(super) fn new(terms: Terms, now: Unix) -> Self {
        let (tokens, record) = (Vec::new(), None);
        Self { terms, now, record, tokens, given: 0, family: 0, current: 0, revoked: false, used: 0 }
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Register => self.register(),
            Act::Show(back) => self.show(back),
            Act::ShowStranger => {
                if let Some(record) = &mut self.record {
                    let hash = DeviceToken::from_random([0xee; 16]).hash();
                    let want = if self.revoked { Refusal::Revoked } else { Refusal::WrongToken };
                    assert_eq!(record.show(&hash, self.now, &self.terms, &chance(0)), Err(want));
                }
            }
            Act::Beat => self.beat(),
            Act::Pass(minutes) => self.now += 60 * minutes,
            Act::SetBack => self.now = START.max(self.now - 60),
            Act::Forget => self.record = None,
        }
    }

    fn give(&mut self, token: DeviceToken, ends: Unix) {
        assert_eq!(ends, self.now + self.terms.ttl);
        self.tokens.push(Known { token, ends, family: self.family, number: self.given });
    }

    fn register(&mut self) {
        self.given += 1;
        let chance = chance(self.given);
        let got = Record::register(self.record.as_ref(), self.now, &self.terms, &chance);
        // The record may think it unused for longer than it is, by an eighth.
        let idle = self.now.saturating_sub(self.used);
        let surely_used = idle < self.terms.reregister_after - self.terms.reregister_after / 8;
        let surely_unused = idle >= self.terms.reregister_after;
        let current = self.tokens.iter().find(|known| known.number == self.current);
        let current_is_good = current.is_some_and(|known| self.now < known.ends);
        let free = self.record.is_none() || surely_unused || (!self.revoked && !current_is_good);
        match got {
            Ok((record, grant)) => {
                assert!(free || !surely_used, "it is in use");
                (self.record, self.revoked, self.used) = (Some(record), false, self.now);
                (self.family, self.current) = (self.given, self.given);
                assert_eq!(self.record.as_ref().map(Record::family), Some(Family(self.family)));
                self.give(grant.token, grant.expires_at);
            }
            Err(refusal) => {
                assert!(!free);
                let want = if self.revoked { Refusal::Revoked } else { Refusal::Bound };
                assert_eq!(refusal, want);
            }
        }
    }

    fn show(&mut self, back: usize) {
        let Some(record) = &mut self.record else { return };
        let place = self.tokens.len().checked_sub(1 + back);
        let Some(known) = place.and_then(|place| self.tokens.get(place)) else { return };
        let got = record.show(&known.token.hash(), self.now, &self.terms, &chance(known.number));
        let is_own = known.family == self.family;
        let ended = self.now >= known.ends;
        let want = match known.number.cmp(&self.current) {
            _ if self.revoked => Err(Refusal::Revoked),
            _ if !is_own => Err(Refusal::WrongToken),
            std::cmp::Ordering::Less if ended => Err(Refusal::WrongToken),
            std::cmp::Ordering::Less => Err(Refusal::Stolen),
            std::cmp::Ordering::Equal if ended => Err(Refusal::Expired),
            std::cmp::Ordering::Equal => Ok(false),
            // An offer that has ended may have been swept out by a later one.
            std::cmp::Ordering::Greater if ended => {
                assert!(matches!(got, Err(Refusal::Expired | Refusal::WrongToken)));
                return;
            }
            std::cmp::Ordering::Greater => Ok(true),
        };
        assert_eq!(got.map(|known| known.has_moved), want, "token {} of {}", known.number, self.given);
        match got {
            Ok(now_known) => {
                assert_eq!((now_known.hash, now_known.expires_at), (known.token.hash(), known.ends));
                (self.current, self.used) = (known.number, self.used.max(self.now));
            }
            Err(Refusal::Stolen) => (self.revoked, self.used) = (true, self.used.max(self.now)),
            Err(_) => {}
        }
    }

    fn beat(&mut self) {
        let Some(record) = &mut self.record else { return };
        self.given += 1;
        let asks = Renewal { family: Family(self.family), takes_token: true };
        let got = record.renew(asks, self.now, &self.terms, &chance(self.given));
        match got {
            Ok((offer, _)) => {
                assert!(!self.revoked);
                self.used = self.used.max(self.now);
                if let Some(offer) = offer {
                    let youngest = self.tokens.last().map_or(0, |known| known.ends - self.terms.ttl);
                    assert!(self.now + 60 >= youngest + self.terms.rotate_after * 4 / 5, "too early");
                    self.give(offer.token, offer.expires_at);
                }
            }
            Err(refusal) => assert_eq!((refusal, self.revoked), (Refusal::Revoked, true)),
        }
    }
}
