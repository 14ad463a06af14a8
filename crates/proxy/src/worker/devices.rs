//! What the control plane says about devices, to the sessions that it concerns.

use portcullis_core::token::Family;
use portcullis_core::token::bearer::{Answer, FamilyChange};

use crate::handle::Asked;
use crate::worker::Worker;

impl Worker {
    /// Hands an answer to the session that has asked.
    pub(super) fn answer_device(&mut self, asked: Asked, answer: Answer) {
        self.guarded(asked.token, |session, io| session.answer_device(asked.serial, answer, io));
        self.wake(asked.token);
    }

    /// Tells every session of a family what became of it.
    pub(super) fn change_family(&mut self, family: Family, change: FamilyChange) {
        for token in self.io.families.of(family) {
            self.guarded(token, |session, io| session.change_family(family, change, io));
            self.wake(token);
        }
    }
}
