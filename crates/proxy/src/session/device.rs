//! A session's device: questions on their way out, answers on their way in.

use std::sync::Arc;

use portcullis_core::outcome::Reason;
use portcullis_core::token::Family;
use portcullis_core::token::bearer::{Answer, FamilyChange};

use crate::device::DeviceQuestion;
use crate::handle::Asked;
use crate::io::Io;
use crate::leg::{Frames, Turn};
use crate::session::{Phase, Session, Step};

impl Session {
    /// Hands over the questions that this step has raised.
    pub(super) fn ask_about_device(&mut self, io: &mut Io) {
        let (Some(frames), Some(tokens)) = (&mut self.frames, &self.plan.settings.tokens) else { return };
        for (serial, ask) in frames.take_asks() {
            io.devices.push(DeviceQuestion {
                asked: Asked { worker: io.worker, serial, token: self.token },
                listener: self.plan.settings.name.clone(),
                client: self.client_address,
                tokens: Arc::clone(tokens),
                ask,
            });
        }
    }

    /// Takes the control plane's answer; one to an earlier question does nothing.
    pub(crate) fn answer_device(&mut self, serial: u16, answer: Answer, io: &mut Io) -> Step {
        self.about_device(io, |frames, turn| frames.handle_answer(serial, answer, turn))
    }

    /// Takes note of what became of its device's family.
    pub(crate) fn change_family(&mut self, family: Family, change: FamilyChange, io: &mut Io) -> Step {
        self.about_device(io, |frames, turn| frames.handle_change(family, change, turn))
    }

    fn about_device(
        &mut self,
        io: &mut Io,
        act: impl FnOnce(&mut Frames, &mut Turn) -> Result<(), Reason>,
    ) -> Step {
        // One whose end is under way is no longer anybody.
        let (Phase::Relaying, Some(frames)) = (&self.phase, &mut self.frames) else { return Step::Wait };
        let before = frames.family().map(|(_, family)| family);
        let done = act(frames, &mut Turn::of(io));
        let after = frames.family().map(|(client_id, family)| (client_id.as_str().into(), family));
        if before != after.as_ref().map(|(_, family)| *family) {
            if let Some(before) = before {
                io.families.leave(before, self.token);
            }
            if let Some((client_id, family)) = after {
                io.families.join(family, self.token);
                self.identity = Some(client_id);
            }
        }
        match done {
            Ok(()) => Step::Wait,
            Err(reason) => self.part(reason, io),
        }
    }

    /// It is gone.
    pub(super) fn leave_family(&mut self, io: &mut Io) {
        let family = self.frames.as_ref().and_then(|frames| frames.family()).map(|(_, family)| family);
        if let Some(family) = family {
            io.families.leave(family, self.token);
        }
    }
}
