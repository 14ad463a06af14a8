//! What is known of one device, and every rule about it: a state machine of which the store keeps the states.
//!
//! A device holds its *current* token, the last one it has shown. Rotation adds *offered* ones: the answer that
//! brings one may be lost, so each stays good until it ends, and the current one until an offered one is shown.
//! From then on what was before is *retired*, and a retired token that is shown has two holders: the family is
//! revoked.
//!
//! `now` may go back by a minute: nothing here breaks, times are compared and never subtracted below zero.

mod bytes;

use super::{Chance, DeviceToken, Family, Refusal, Terms, TokenHash, Unix};

/// Offered tokens that wait to be shown. Each unheard offer doubles the time to the next up to a quarter of the
/// time that a token is good, so that even a rotation by the minute and tokens for a year stay below it.
pub const OFFERED: usize = 32;
/// Retired tokens that are known as such. An hourly rotation and tokens for a week need 210.
pub const RETIRED: usize = 224;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    family: Family,
    current: Held,
    offered: Vec<Held>,
    retired: Vec<Retired>,
    /// When the next token is due.
    rotate_at: Unix,
    /// When it was last heard of; late by an eighth of `reregister_after` at most.
    used: Unix,
    revoked: bool,
}

/// A token that is good until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    hash: TokenHash,
    ends: Unix,
}

/// A token that is good no more. 64 bits of its hash are enough: to be taken for one is no gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retired {
    print: u64,
    ends: Unix,
}

/// A token for the device, told once.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The secret.
    pub token: DeviceToken,
    /// When it ends.
    pub expires_at: Unix,
}

/// What a device that was let in is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its family.
    pub family: Family,
    /// The one token that may be taken as good without asking again, until this is told otherwise.
    pub hash: TokenHash,
    /// When that ends.
    pub expires_at: Unix,
    /// When to ask for the next token, or to tell that the device is there.
    pub renew_at: Unix,
    /// Did what it showed retire another? Other sessions of the family have to know.
    pub has_moved: bool,
}

impl Record {
    /// Registers a device of which `before` is known.
    ///
    /// # Errors
    /// [`Refusal::Bound`] while its current token is good and in use, [`Refusal::Revoked`] for so long after a
    /// theft as a device must be unused to be registered again.
    pub fn register(
        before: Option<&Self>,
        now: Unix,
        terms: &Terms,
        chance: &Chance,
    ) -> Result<(Self, Grant), Refusal> {
        if let Some(before) = before
            && now < before.used.saturating_add(terms.reregister_after)
        {
            if before.revoked {
                return Err(Refusal::Revoked);
            }
            if now < before.current.ends {
                return Err(Refusal::Bound);
            }
        }
        let (held, grant) = draw(now, terms, chance);
        let record = Self {
            family: Family(u64::from_le_bytes(chance.family)),
            current: held,
            offered: Vec::new(),
            retired: Vec::new(),
            rotate_at: now.saturating_add(spread(terms.rotate_after, chance)),
            used: now,
            revoked: false,
        };
        Ok((record, grant))
    }

    /// Takes note that a token was shown, by a login or a frame. Changes nothing on most errors.
    ///
    /// # Errors
    /// Why it is not good. [`Refusal::Stolen`]: this record is revoked now, and its sessions are to be closed.
    pub fn show(
        &mut self,
        hash: &TokenHash,
        now: Unix,
        terms: &Terms,
        chance: &Chance,
    ) -> Result<Known, Refusal> {
        if self.revoked {
            return Err(Refusal::Revoked);
        }
        if self.current.hash == *hash {
            if now >= self.current.ends {
                return Err(Refusal::Expired);
            }
            self.touch(now, terms);
            return Ok(self.known(terms, false));
        }
        if let Some(place) = self.offered.iter().position(|offered| offered.hash == *hash) {
            if self.offered.get(place).is_none_or(|offered| now >= offered.ends) {
                return Err(Refusal::Expired);
            }
            self.promote(place, now);
            self.rotate_at = now.saturating_add(spread(terms.rotate_after, chance));
            self.used = self.used.max(now);
            return Ok(self.known(terms, true));
        }
        let print = hash.print();
        if self.retired.iter().any(|retired| retired.print == print && now < retired.ends) {
            self.revoke(now);
            return Err(Refusal::Stolen);
        }
        Err(Refusal::WrongToken)
    }

    /// Takes note that a device of `family` is there, and offers it the next token when that is due and the
    /// answer can carry one. Returns the offer, and when to ask again.
    ///
    /// # Errors
    /// [`Refusal::Revoked`] when that family is not in force: the session that asks must end.
    pub fn renew(
        &mut self,
        asks: Renewal,
        now: Unix,
        terms: &Terms,
        chance: &Chance,
    ) -> Result<(Option<Grant>, Unix), Refusal> {
        if self.revoked || self.family != asks.family {
            return Err(Refusal::Revoked);
        }
        self.touch(now, terms);
        self.offered.retain(|offered| now < offered.ends);
        let mut offer = None;
        if asks.takes_token && now >= self.rotate_at && self.offered.len() < OFFERED {
            // Unheard offers come ever later: each must stay good for as long as it may be the one that was heard.
            let usual = spread(terms.rotate_after, chance);
            let doubled = usual.saturating_mul(1 << self.offered.len().min(20));
            let (held, grant) = draw(now, terms, chance);
            self.offered.push(held);
            self.rotate_at = now.saturating_add(doubled.min(usual.max(terms.ttl / 4)));
            offer = Some(grant);
        }
        Ok((offer, self.renew_at(terms)))
    }

    /// Revokes the family: none of its tokens is good from here on.
    pub fn revoke(&mut self, now: Unix) {
        self.revoked = true;
        self.used = self.used.max(now);
        self.offered.clear();
        self.retired.clear();
    }

    /// The family in force, or the one that was revoked.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Is there nothing in it that would be missed? Every token has ended, and it might be registered again.
    #[must_use]
    pub fn is_over(&self, now: Unix, terms: &Terms) -> bool {
        let ended = self.revoked
            || (now >= self.current.ends && self.offered.iter().all(|offered| now >= offered.ends));
        ended && now >= self.used.saturating_add(terms.reregister_after)
    }

    fn known(&self, terms: &Terms, has_moved: bool) -> Known {
        Known {
            family: self.family,
            hash: self.current.hash,
            expires_at: self.current.ends,
            renew_at: self.renew_at(terms),
            has_moved,
        }
    }

    fn renew_at(&self, terms: &Terms) -> Unix {
        // A device that is connected must never look unused.
        self.rotate_at.min(self.used.saturating_add(terms.reregister_after / 2))
    }

    /// Written down an eighth of its use at a time, so that a login costs no write as a rule.
    fn touch(&mut self, now: Unix, terms: &Terms) {
        if now >= self.used.saturating_add((terms.reregister_after / 8).max(1)) {
            self.used = now;
        }
    }

    /// The offered token at `place` was shown: what came before it is retired.
    fn promote(&mut self, place: usize, now: Unix) {
        let mut before: Vec<Held> = self.offered.drain(..=place).collect();
        if let Some(shown) = before.pop() {
            let last = std::mem::replace(&mut self.current, shown);
            before.push(last);
        }
        self.retired.retain(|retired| now < retired.ends);
        self.retired.extend(before.iter().map(|held| Retired { print: held.hash.print(), ends: held.ends }));
        let surplus = self.retired.len().saturating_sub(RETIRED);
        self.retired.drain(..surplus);
    }
}

/// Who asks for renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The family that the session was let in by.
    pub family: Family,
    /// Can the answer carry a token? Only to a heartbeat it does.
    pub takes_token: bool,
}

impl TokenHash {
    fn print(&self) -> u64 {
        let mut print = [0; 8];
        print.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(print)
    }
}

fn draw(now: Unix, terms: &Terms, chance: &Chance) -> (Held, Grant) {
    let token = DeviceToken::from_random(chance.token);
    let ends = now.saturating_add(terms.ttl);
    (Held { hash: token.hash(), ends }, Grant { token, expires_at: ends })
}

/// `time` give or take a fifth, at least a second.
fn spread(time: u64, chance: &Chance) -> u64 {
    let share = u128::from(u16::from_le_bytes(chance.spread));
    // From four fifths on, and two fifths of it by chance.
    let spread = u128::from(time) * (4 * 65_535 + 2 * share) / (5 * 65_535);
    u64::try_from(spread).unwrap_or(u64::MAX).max(1)
}
