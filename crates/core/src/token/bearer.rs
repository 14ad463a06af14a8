//! What one session knows of its device: who it says it is, whether that was accepted, and which token its frames
//! may carry without a question.
//!
//! A machine without I/O. Questions go to whoever has the store; until one that matters is answered
//! ([`Bearer::is_waiting`]) nothing more of the client is read. No question is asked for a frame with the token
//! that was accepted last.

use super::record::{Grant, Known, Renewal};
use super::{ClientId, DeviceToken, Family, Refusal, TokenHash, Unix};

/// How long a question of no consequence that nobody has answered is not asked again, in seconds.
const AGAIN: u64 = 30;

/// A question.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A device wants a token.
    Register {
        /// Its name.
        client_id: ClientId,
        /// What it shows besides, where the listener asks for that.
        proof: Option<Box<str>>,
    },
    /// It shows the one it has.
    Login {
        /// Its name.
        client_id: ClientId,
        /// The one.
        token: DeviceToken,
    },
    /// A frame carries a token that is not the one remembered.
    Show {
        /// The device that has logged in.
        client_id: ClientId,
        /// The one.
        token: DeviceToken,
    },
    /// A device that has logged in is there, and may want its next token.
    Renew {
        /// Its name.
        client_id: ClientId,
        /// As which family, and for what.
        asks: Renewal,
    },
    /// It was refused without a question, for the audit. There is no answer.
    Refused(Option<ClientId>, Refusal),
}

impl Ask {
    /// The device that it is about, as far as that is known.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Register { client_id, .. }
            | Self::Login { client_id, .. }
            | Self::Show { client_id, .. }
            | Self::Renew { client_id, .. } => Some(client_id),
            Self::Refused(client_id, _) => client_id.as_ref(),
        }
    }
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// It is registered, and logged in.
    Registered(Known, Grant),
    /// It is logged in, or its frame is good.
    Known(Known),
    /// It goes on: with its next token, when one is due; and when to ask again.
    Renewed(Option<Grant>, Unix),
    /// It must leave. Why is not for it to know.
    Refused(Refusal),
}

/// What became of a family.
#[derive(Clone, Copy, Debug)]
pub enum FamilyChange {
    /// This token was shown first: the one before it is good no more.
    Moved(TokenHash),
    /// None of its tokens is good: its sessions end.
    Revoked,
}

/// What is to be done with a frame.
#[derive(Clone, Debug)]
pub enum Pass {
    /// It goes on.
    Yes,
    /// It waits for the answer to this.
    Ask(Ask),
    /// The session ends.
    No(Refusal),
}

/// What an answer means for the session.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// Nothing: it came too late, or it is none of the client's business.
    Nothing,
    /// The client is told its token.
    Registered(Grant),
    /// The client is told when its token ends.
    LoggedIn {
        /// In Unix seconds.
        expires_at: Unix,
    },
    /// The frame that waited goes on.
    Pass,
    /// The client is told the uniform error, and the session ends.
    Refuse(Refusal),
}

/// The device of one session.
#[derive(Debug, Default)]
pub struct Bearer {
    who: Option<Device>,
    /// The question that the client waits for.
    waiting: Option<(u16, Wanted)>,
    /// The serial of a renewal under way, and when it was asked for.
    renewing: Option<(u16, Unix)>,
    serial: u16,
}

/// What is waited for.
#[derive(Clone, Debug)]
enum Wanted {
    Entry(ClientId),
    Frame,
}

/// A device that has logged in.
#[derive(Debug)]
struct Device {
    client_id: ClientId,
    family: Family,
    /// The token that passes without a question until it ends.
    good: Option<(TokenHash, Unix)>,
    renew_at: Unix,
    /// A token that waits for a heartbeat to ride on.
    offer: Option<Grant>,
}

impl Bearer {
    /// The serial of the question made last: its answer must bear it.
    #[must_use]
    pub fn serial(&self) -> u16 {
        self.serial
    }

    /// Does the client wait for an answer? Nothing more of it is read until then.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The device, once it has logged in.
    #[must_use]
    pub fn device(&self) -> Option<(&ClientId, Family)> {
        self.who.as_ref().map(|device| (&device.client_id, device.family))
    }

    /// A client asks for a token. What cannot be read as a name is malformed.
    #[must_use]
    pub fn handle_register(&mut self, client_id: &str, proof: Option<Box<str>>) -> Ask {
        let Some(client_id) = ClientId::parse(client_id) else { return malformed() };
        self.wait_for(Wanted::Entry(client_id.clone()));
        Ask::Register { client_id, proof }
    }

    /// A client shows the token it has.
    #[must_use]
    pub fn handle_login(&mut self, client_id: &str, token: &str) -> Ask {
        let Some(client_id) = ClientId::parse(client_id) else { return malformed() };
        let Some(token) = DeviceToken::parse(token) else {
            return Ask::Refused(Some(client_id), Refusal::Malformed);
        };
        self.wait_for(Wanted::Entry(client_id.clone()));
        Ask::Login { client_id, token }
    }

    /// A frame is to go on; `token` is what it carries, if it is of version 2.
    #[must_use]
    pub fn handle_frame(&mut self, token: Option<DeviceToken>, now: Unix) -> Pass {
        let Some(device) = &self.who else { return Pass::No(Refusal::NotLoggedIn) };
        let Some(token) = token else { return Pass::Yes };
        if device.good.is_some_and(|(hash, ends)| now < ends && hash == token.hash()) {
            return Pass::Yes;
        }
        let client_id = device.client_id.clone();
        self.wait_for(Wanted::Frame);
        Pass::Ask(Ask::Show { client_id, token })
    }

    /// The token that the answer to a heartbeat is to bring.
    pub fn take_offer(&mut self, now: Unix) -> Option<Grant> {
        let offer = self.who.as_mut()?.offer.take();
        offer.filter(|offer| now < offer.expires_at)
    }

    /// A message came: the question that is due for it, if any. The answer to one about a heartbeat rides on the
    /// next heartbeat.
    #[must_use]
    pub fn poll_renewal(&mut self, is_heartbeat: bool, now: Unix) -> Option<Ask> {
        let device = self.who.as_ref()?;
        // A question may get lost where too many are asked.
        let is_asked = self.renewing.is_some_and(|(_, at)| now < at.saturating_add(AGAIN));
        if now < device.renew_at || device.offer.is_some() || is_asked {
            return None;
        }
        let asks = Renewal { family: device.family, takes_token: is_heartbeat };
        let client_id = device.client_id.clone();
        self.serial = self.serial.wrapping_add(1);
        self.renewing = Some((self.serial, now));
        Some(Ask::Renew { client_id, asks })
    }

    /// Takes an answer.
    pub fn handle_answer(&mut self, serial: u16, answer: Answer, now: Unix) -> Verdict {
        if self.renewing.take_if(|(asked, _)| *asked == serial).is_some() {
            return self.renewed(answer, now);
        }
        let Some((_, wanted)) = self.waiting.take_if(|(awaited, _)| *awaited == serial) else {
            return Verdict::Nothing;
        };
        match (answer, wanted) {
            (Answer::Registered(known, grant), Wanted::Entry(client_id)) => {
                self.enter(client_id, &known);
                Verdict::Registered(grant)
            }
            (Answer::Known(known), Wanted::Entry(client_id)) => {
                self.enter(client_id, &known);
                Verdict::LoggedIn { expires_at: known.expires_at }
            }
            (Answer::Known(known), Wanted::Frame) => match &mut self.who {
                Some(device) if device.family == known.family => {
                    device.good = Some((known.hash, known.expires_at));
                    device.renew_at = known.renew_at;
                    Verdict::Pass
                }
                // It was registered anew meanwhile.
                _ => Verdict::Refuse(Refusal::Revoked),
            },
            (Answer::Refused(refusal), _) => Verdict::Refuse(refusal),
            (Answer::Registered(..) | Answer::Renewed(..), _) => Verdict::Refuse(Refusal::Malformed),
        }
    }

    /// Takes note of what became of its family.
    pub fn handle_change(&mut self, family: Family, change: FamilyChange) -> Verdict {
        let Some(device) = self.who.as_mut().filter(|device| device.family == family) else {
            return Verdict::Nothing;
        };
        match change {
            FamilyChange::Moved(hash) => {
                device.good = device.good.filter(|(good, _)| *good == hash);
                Verdict::Nothing
            }
            FamilyChange::Revoked => Verdict::Refuse(Refusal::Revoked),
        }
    }

    fn wait_for(&mut self, wanted: Wanted) {
        self.serial = self.serial.wrapping_add(1);
        self.waiting = Some((self.serial, wanted));
    }

    fn enter(&mut self, client_id: ClientId, known: &Known) {
        self.renewing = None;
        self.who = Some(Device {
            client_id,
            family: known.family,
            good: Some((known.hash, known.expires_at)),
            renew_at: known.renew_at,
            offer: None,
        });
    }

    fn renewed(&mut self, answer: Answer, now: Unix) -> Verdict {
        let Some(device) = &mut self.who else { return Verdict::Nothing };
        match answer {
            Answer::Renewed(offer, at) => {
                device.offer = offer;
                // Whoever had only to be told that it is there may be due for a token: it asks with a heartbeat.
                device.renew_at = at;
                Verdict::Nothing
            }
            // The device goes on with what it has.
            Answer::Refused(Refusal::Store | Refusal::Full | Refusal::Throttled) => {
                device.renew_at = now.saturating_add(AGAIN);
                Verdict::Nothing
            }
            Answer::Refused(refusal) => Verdict::Refuse(refusal),
            Answer::Registered(..) | Answer::Known(_) => Verdict::Nothing,
        }
    }
}

fn malformed() -> Ask {
    Ask::Refused(None, Refusal::Malformed)
}
