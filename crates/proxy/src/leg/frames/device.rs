//! The device of a session that speaks in frames: what it asks for, and which of its frames go on.
//!
//! Owns the message that is being read (the gateway's own are short, and read whole) and the questions that wait to
//! be asked. The rules are `portcullis_core::token::bearer`'s.

use std::mem;
use std::time::Duration;

use portcullis_core::config::{FrameCodec, FrameTypes};
use portcullis_core::token::bearer::{Answer, Ask, Bearer, FamilyChange, Pass, Verdict};
use portcullis_core::token::record::Grant;
use portcullis_core::token::{ClientId, DeviceToken, Family, Refusal, Unix};
use portcullis_core::wheel::Tick;
use portcullis_core::wire::frame::message::{Codec, Login, MESSAGE_MAX, Register};
use portcullis_core::wire::frame::{Header, TokenBytes};

/// What whoever is refused is told, whatever the cause.
pub(super) const REFUSED: &str = "error: not authorized";

/// How long the answer about a frame's token may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is known of the device.
#[derive(Debug)]
pub(crate) struct Device {
    bearer: Bearer,
    /// The message to the gateway that is being read.
    message: Vec<u8>,
    /// Questions that wait to be asked, with their serials: at most one that the client waits for, and one more.
    asks: Vec<(u16, Ask)>,
    /// A frame whose token is being asked for.
    shown: Option<Header>,
    /// The version in which the client asked last.
    version: u8,
    /// When it must have logged in; after that, when a question must be answered.
    by: Tick,
}

/// What the client is to be told.
#[derive(Debug)]
pub(super) enum Say {
    Nothing,
    Token(Grant),
    LoggedIn { expires_at: Unix },
    Refused(Refusal),
}

impl Device {
    pub(super) fn new(by: Tick) -> Self {
        Self { bearer: Bearer::default(), message: Vec::new(), asks: Vec::new(), shown: None, version: 0, by }
    }

    /// Does the client wait for an answer? Then no more of it is looked at.
    pub(super) fn is_waiting(&self) -> bool {
        self.bearer.is_waiting()
    }

    /// Is it known who it is?
    pub(super) fn is_in(&self) -> bool {
        self.bearer.device().is_some()
    }

    /// Who it is.
    pub(super) fn family(&self) -> Option<(&ClientId, Family)> {
        self.bearer.device()
    }

    /// When the session ends unless it has logged in, or the question that it waits for is answered.
    pub(super) fn patience(&self) -> Tick {
        if !self.is_in() || self.is_waiting() { self.by } else { Tick::NEVER }
    }

    /// A message to the gateway begins.
    pub(super) fn begin(&mut self, header: Header, tick: Tick) -> Result<(), Refusal> {
        self.version = header.version;
        if self.is_in() {
            self.by = tick.after(ANSWER_WITHIN);
        }
        self.message = Vec::new();
        if usize::from(header.length) > MESSAGE_MAX {
            return Err(self.refused(None, Refusal::Malformed));
        }
        Ok(())
    }

    /// Another piece of it.
    pub(super) fn read(&mut self, piece: &[u8]) {
        self.message.extend_from_slice(piece);
    }

    /// The message is whole.
    pub(super) fn end(&mut self, kind: u16, types: &FrameTypes, codec: FrameCodec) -> Result<(), Refusal> {
        let (codec, message) = (Codec::of(codec), mem::take(&mut self.message));
        let ask = if kind == types.register {
            (codec.register)(&message)
                .map(|Register { client_id, proof }| self.bearer.handle_register(&client_id, proof))
        } else {
            (codec.login)(&message)
                .map(|Login { client_id, token }| self.bearer.handle_login(&client_id, &token))
        };
        match ask.unwrap_or(Ask::Refused(None, Refusal::Malformed)) {
            Ask::Refused(client_id, refusal) => Err(self.refused(client_id, refusal)),
            ask => {
                self.asks.push((self.bearer.serial(), ask));
                Ok(())
            }
        }
    }

    /// May a frame go on? `Ok(false)`: it waits for an answer.
    pub(super) fn may_pass(&mut self, header: Header, tick: Tick, now: Unix) -> Result<bool, Refusal> {
        let token = header.token.map(|TokenBytes(bytes)| DeviceToken::from_wire(bytes));
        match self.bearer.handle_frame(token, now) {
            Pass::Yes => Ok(true),
            Pass::Ask(ask) => {
                self.asks.push((self.bearer.serial(), ask));
                self.version = header.version;
                self.by = tick.after(ANSWER_WITHIN);
                self.shown = Some(header);
                Ok(false)
            }
            Pass::No(refusal) => {
                self.version = header.version;
                let client_id = self.bearer.device().map(|(client_id, _)| client_id.clone());
                Err(self.refused(client_id, refusal))
            }
        }
    }

    /// The frame whose token was found good.
    pub(super) fn take_shown(&mut self) -> Option<Header> {
        if self.is_waiting() { None } else { self.shown.take() }
    }

    /// Does a frame wait to go on?
    pub(super) fn has_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// A frame was heard; returns the token that is to ride on the answer, where it is one to a heartbeat.
    pub(super) fn heard(&mut self, has_answer: bool, now: Unix) -> Option<Grant> {
        let offer = if has_answer { self.bearer.take_offer(now) } else { None };
        if let Some(ask) = self.bearer.poll_renewal(has_answer, now) {
            self.asks.push((self.bearer.serial(), ask));
        }
        offer
    }

    /// Takes an answer.
    pub(super) fn handle_answer(&mut self, serial: u16, answer: Answer, now: Unix) -> Say {
        match self.bearer.handle_answer(serial, answer, now) {
            Verdict::Nothing | Verdict::Pass => Say::Nothing,
            Verdict::Registered(grant) => Say::Token(grant),
            Verdict::LoggedIn { expires_at } => Say::LoggedIn { expires_at },
            Verdict::Refuse(refusal) => Say::Refused(refusal),
        }
    }

    /// Takes note of what became of its family; true: it must leave.
    pub(super) fn handle_change(&mut self, family: Family, change: FamilyChange) -> bool {
        matches!(self.bearer.handle_change(family, change), Verdict::Refuse(_))
    }

    /// The version in which it is answered.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// The questions to be asked.
    pub(super) fn take_asks(&mut self) -> Vec<(u16, Ask)> {
        mem::take(&mut self.asks)
    }

    /// Refuses without a question; the audit hears of it.
    fn refused(&mut self, client_id: Option<ClientId>, refusal: Refusal) -> Refusal {
        self.asks.push((self.bearer.serial(), Ask::Refused(client_id, refusal)));
        refusal
    }
}
