//! Whether a device is let in: the rules of `portcullis_core::token` on the records of the store, and the audit.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_core::token::bearer::{Answer, Ask, FamilyChange};
use portcullis_core::token::guard::Guard;
use portcullis_core::token::record::Record;
use portcullis_core::token::{Chance, ClientId, Family, Refusal, Terms, Unix};
use portcullis_proxy::DeviceQuestion;

use crate::log::{Entry, Log};
use crate::store::{Batch, Counters, Space, StoreError};

/// How far back the wall clock may be set while the process runs, so that no ended token comes back.
const SET_BACK: Duration = Duration::from_secs(60);

/// What is decided in a device's favour: action of the audit and label of the metric, by the place in
/// [`Counters::good`].
pub(crate) const GOOD: [&str; 5] = ["register", "login", "frame", "rotate", "renew"];

/// Decides about devices.
pub(crate) struct Devices {
    guard: Guard,
    log: Log,
    counters: Arc<Counters>,
    epoch: Instant,
    epoch_wall: SystemTime,
    /// The longest that any listener keeps a device that is unused.
    longest: Option<Terms>,
}

/// What was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    /// What the session is told.
    pub(crate) answer: Answer,
    /// What other sessions of the device are told.
    pub(crate) change: Option<(Family, FamilyChange)>,
    /// May it be told only when it is on disk?
    pub(crate) needs_disk: bool,
}

impl Decided {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { answer: Answer::Refused(refusal), change: None, needs_disk: false }
    }
}

impl Devices {
    pub(crate) fn new(log: Log, counters: Arc<Counters>) -> Self {
        Self {
            guard: Guard::default(),
            log,
            counters,
            epoch: Instant::now(),
            epoch_wall: SystemTime::now(),
            longest: None,
        }
    }

    /// Decides one question.
    ///
    /// # Errors
    /// The store's; nothing is decided then.
    pub(crate) fn decide(
        &mut self,
        question: &DeviceQuestion,
        batch: &mut Batch,
    ) -> Result<Decided, StoreError> {
        if let Ask::Refused(_, refusal) = question.ask {
            return Ok(Decided::refused(refusal));
        }
        let Some(client_id) = question.ask.client_id() else {
            return Ok(Decided::refused(Refusal::Malformed));
        };
        let (ip, passed) = (question.client.ip(), self.epoch.elapsed());
        let is_attempt = matches!(question.ask, Ask::Register { .. } | Ask::Login { .. });
        if is_attempt && !self.guard.allows(ip, client_id, passed) {
            return Ok(Decided::refused(Refusal::Throttled));
        }
        let terms = Terms::from(&*question.tokens);
        if self.longest.is_none_or(|longest| longest.reregister_after < terms.reregister_after) {
            self.longest = Some(terms);
        }
        let is_proven =
            !matches!(question.ask, Ask::Register { .. }) || question.tokens.register_requires.is_none();
        let decided = if is_proven {
            self.judge(question, client_id, &terms, batch)?
        } else {
            Decided::refused(Refusal::Proof)
        };
        if let Answer::Refused(refusal) = decided.answer {
            self.count_against(ip, client_id, refusal);
        }
        Ok(decided)
    }

    fn count_against(&mut self, ip: IpAddr, client_id: &ClientId, refusal: Refusal) {
        if refusal.is_the_clients() {
            self.guard.refused(ip, client_id, self.epoch.elapsed());
        }
    }

    fn judge(
        &self,
        question: &DeviceQuestion,
        client_id: &ClientId,
        terms: &Terms,
        batch: &mut Batch,
    ) -> Result<Decided, StoreError> {
        let key = client_id.as_str();
        let (now, Some(chance)) = (self.now(), chance()) else { return Ok(Decided::refused(Refusal::Store)) };
        let before = match batch.get(Space::Device, key)? {
            Some(bytes) => Some(Record::decode(&bytes).ok_or_else(|| StoreError::Broken("a record".into()))?),
            None => None,
        };
        // What this batch has changed is not on disk yet, and an answer that rests on it waits for that.
        let rests = batch.has_changed(Space::Device, key);
        let mut record = before.clone();
        let (answer, change, is_vital) = match (&question.ask, &mut record) {
            (Ask::Refused(_, refusal), _) => (Answer::Refused(*refusal), None, false),
            (Ask::Register { .. }, _) => match Record::register(before.as_ref(), now, terms, &chance) {
                Ok((mut fresh, grant)) => {
                    let known = fresh.show(&grant.token.hash(), now, terms, &chance);
                    let answer = known.map_or_else(Answer::Refused, |known| Answer::Registered(known, grant));
                    let gone = before.as_ref().map(|before| (before.family(), FamilyChange::Revoked));
                    record = Some(fresh);
                    (answer, gone, true)
                }
                Err(refusal) => (Answer::Refused(refusal), None, false),
            },
            (_, None) => (Answer::Refused(Refusal::Unknown), None, false),
            (Ask::Login { token, .. } | Ask::Show { token, .. }, Some(record)) => {
                match record.show(&token.hash(), now, terms, &chance) {
                    Ok(known) => {
                        let moved = (known.family, FamilyChange::Moved(known.hash));
                        let has_moved = known.has_moved;
                        (Answer::Known(known), has_moved.then_some(moved), has_moved)
                    }
                    Err(refusal) => {
                        let stolen = refusal == Refusal::Stolen;
                        let revoked = (record.family(), FamilyChange::Revoked);
                        (Answer::Refused(refusal), stolen.then_some(revoked), stolen)
                    }
                }
            }
            (Ask::Renew { asks, .. }, Some(record)) => match record.renew(*asks, now, terms, &chance) {
                Ok((offer, at)) => (Answer::Renewed(offer, at), None, offer.is_some()),
                Err(refusal) => (Answer::Refused(refusal), None, false),
            },
        };
        if record != before
            && let Some(record) = record
        {
            match batch.put(Space::Device, key, Some(record.encode().into())) {
                Ok(()) => {}
                Err(StoreError::Full) => return Ok(Decided::refused(Refusal::Full)),
                Err(error) => return Err(error),
            }
        }
        Ok(Decided { answer, change, needs_disk: is_vital || rests })
    }

    /// Takes a device out of a batch; its family, if there was one.
    pub(crate) fn forget(batch: &mut Batch, client_id: &ClientId) -> Result<Option<Family>, StoreError> {
        let key = client_id.as_str();
        let Some(bytes) = batch.get(Space::Device, key)? else { return Ok(None) };
        batch.put(Space::Device, key, None)?;
        Ok(Record::decode(&bytes).map(|record| record.family()).or(Some(Family(0))))
    }

    /// Tells audit and metrics what was decided. Never a token.
    pub(crate) fn tell(&self, question: &DeviceQuestion, answer: &Answer) {
        let action = match &question.ask {
            Ask::Register { .. } => "register",
            Ask::Login { .. } => "login",
            Ask::Show { .. } => "frame",
            Ask::Renew { .. } => "renew",
            Ask::Refused(..) => "message",
        };
        let (action, outcome, reason) = match answer {
            Answer::Registered(..) | Answer::Known(_) => (action, "ok", None),
            Answer::Renewed(Some(_), _) => ("rotate", "ok", None),
            Answer::Renewed(None, _) => ("renew", "ok", None),
            Answer::Refused(refusal) => (action, "refused", Some(*refusal)),
        };
        match reason {
            Some(refusal) => {
                let place = Refusal::ALL.iter().position(|other| *other == refusal);
                let counter = place.and_then(|place| self.counters.refused.get(place));
                counter.map(|counter| counter.fetch_add(1, Ordering::Relaxed));
            }
            None => {
                let place = GOOD.iter().position(|other| *other == action);
                let counter = place.and_then(|place| self.counters.good.get(place));
                counter.map(|counter| counter.fetch_add(1, Ordering::Relaxed));
            }
        }
        // That a device is still there is no decision.
        if action == "renew" && reason.is_none() {
            return;
        }
        self.log.tell(
            Entry::audit("device token")
                .with("listener", question.listener.as_str())
                .with_text("client", question.client)
                .with_some("client_id", question.ask.client_id().map(ClientId::as_str))
                .with("action", action)
                .with("outcome", outcome)
                .with_some("reason", reason.map(Refusal::label)),
        );
    }

    /// Tells which records nobody would miss.
    pub(crate) fn sweep(&self) -> impl Fn(&[u8]) -> bool + use<> {
        let (now, terms) = (self.now(), self.longest);
        move |bytes| {
            let record = Record::decode(bytes);
            terms.is_some_and(|terms| record.is_some_and(|record| record.is_over(now, &terms)))
        }
    }

    fn now(&self) -> Unix {
        let at_least = self.epoch_wall + self.epoch.elapsed().saturating_sub(SET_BACK);
        SystemTime::now().max(at_least).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// Draws random bytes for one decision; `None`: the system has none.
fn chance() -> Option<Chance> {
    let mut bytes = [0; 26];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let (token, rest) = bytes.split_first_chunk()?;
    let (family, rest) = rest.split_first_chunk()?;
    Some(Chance { token: *token, family: *family, spread: *rest.first_chunk()? })
}
