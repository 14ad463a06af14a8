//! The WebSocket codec of a leg: messages in, messages out, and what the protocol wants itself.

use std::collections::VecDeque;
use std::io;

use portcullis_core::config;
use portcullis_core::outcome::Reason;
use portcullis_core::wire::http_upgrade::UpgradeRules;
use portcullis_core::wire::ws::framing::{Chunk, Downlink, Framing, Piece, Uplink};
use portcullis_core::wire::ws::{self, Control, Decoder, Event, FrameHeader, Opcode, Role};

use crate::io::Dice;
use crate::leg::{Border, Unit};

/// So many frames of its own wait at most; then the oldest pong is dropped (RFC 6455 section 5.5.3).
const OWN_AT_MOST: usize = 32;

/// The codec's state.
#[derive(Debug)]
pub(crate) struct Ws {
    role: Role,
    decoder: Decoder,
    form: Form,
    /// What it has to say itself, in order.
    own: VecDeque<(Opcode, Control)>,
    closed: bool,
    /// How the peer has said goodbye.
    heard: Option<Box<Control>>,
}

/// What messages become on the other leg.
#[derive(Debug)]
enum Form {
    /// It is a stream.
    Stream { to: Uplink, from: Downlink },
    /// It has messages too. Is one open, of those that are sent here?
    Messages { open: bool },
}

impl Ws {
    /// The codec of a client's leg, whose other leg is a stream.
    pub(crate) fn server(settings: &config::Ws) -> Self {
        let to = Uplink::new(settings.framing_up, settings.max_message);
        Self::new(Role::Server, Form::Stream { to, from: Downlink::new(settings.framing_down) })
    }

    /// The codec of an endpoint's leg, whose other leg is a stream.
    pub(crate) fn client() -> Self {
        let form =
            Form::Stream { to: Uplink::new(Framing::Raw, u32::MAX), from: Downlink::new(Framing::Raw) };
        Self::new(Role::Client, form)
    }

    fn new(role: Role, form: Form) -> Self {
        let decoder = Decoder::new(role);
        Self { role, decoder, form, own: VecDeque::new(), closed: false, heard: None }
    }

    /// The other leg has messages too. Call before the first of them.
    pub(super) fn keep_borders(&mut self) {
        self.form = Form::Messages { open: false };
    }

    pub(super) fn keeps_borders(&self) -> bool {
        matches!(self.form, Form::Messages { .. })
    }

    /// Is this end the client?
    pub(super) fn is_client(&self) -> bool {
        self.role == Role::Client
    }

    /// Is each unit sent as one frame?
    pub(super) fn frames_units(&self) -> bool {
        self.is_client() || self.keeps_borders()
    }

    /// The payload of the peer's close frame.
    pub(super) fn heard(&self) -> Option<Control> {
        self.heard.as_deref().copied()
    }

    /// Decodes what was read and gives each piece of payload to `sink`.
    ///
    /// `Ok(true)`: the peer has closed.
    pub(crate) fn decode(
        &mut self,
        mut bytes: &mut [u8],
        mut sink: impl FnMut(Unit<'_>),
    ) -> Result<bool, Reason> {
        loop {
            let event = match self.decoder.next(&mut bytes) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(self.decoder.is_over()),
                Err(violation) => return Err(self.reject(violation.code())),
            };
            match event {
                Event::Data { opcode, start, bytes, message_end } => match &mut self.form {
                    // How a message is cut is no business of anybody: a piece of nothing says only where it ends.
                    Form::Messages { .. } if bytes.is_empty() && !message_end => {}
                    Form::Messages { .. } => {
                        let border = Some(Border { kind: opcode, last: message_end });
                        sink(Unit { border, ..Unit::of(bytes) });
                    }
                    Form::Stream { to, .. } => match to.handle_data(start, bytes, message_end) {
                        Ok(Piece::Bytes([])) => {}
                        Ok(Piece::Bytes(bytes)) => sink(Unit::of(bytes)),
                        Ok(Piece::Prefixed(prefix, bytes)) => sink(Unit { lead: &prefix, ..Unit::of(bytes) }),
                        Ok(Piece::Whole(message)) => sink(Unit::of(&message)),
                        Err(violation) => return Err(self.reject(violation.code())),
                    },
                },
                Event::Ping(payload) => self.say(Opcode::Pong, payload),
                Event::Pong(_) => {}
                Event::Close(close) => {
                    self.heard = Some(Box::new(close.payload()));
                    self.say(Opcode::Close, close.answer());
                    self.closed = true;
                }
            }
        }
    }

    /// Is the peer's close frame in what it still sends? Payload and what breaks the protocol are dropped.
    pub(crate) fn hears_close(&mut self, mut bytes: &mut [u8]) -> bool {
        while let Ok(Some(event)) = self.decoder.next(&mut bytes) {
            if matches!(event, Event::Close(_)) {
                return true;
            }
        }
        false
    }

    /// The next frame of a stream's payload, off the front of `input`; not masked.
    pub(crate) fn encode<'b>(&mut self, input: &mut &'b [u8]) -> Option<Chunk<'b>> {
        match &mut self.form {
            // Nothing follows a close frame (RFC 6455 section 5.5.1).
            Form::Stream { from, .. } if !self.closed => from.next(input),
            Form::Stream { .. } | Form::Messages { .. } => None,
        }
    }

    /// The header of the frame that is to carry a unit of `len` bytes; without a border it is a message.
    /// `None`: nothing may be sent any more.
    pub(super) fn header(
        &mut self,
        border: Option<Border>,
        len: u64,
        mask: Option<[u8; 4]>,
    ) -> Option<FrameHeader> {
        if self.closed {
            return None;
        }
        let Border { kind, last } = border.unwrap_or(Border { kind: Opcode::Binary, last: true });
        let is_open = match &mut self.form {
            Form::Messages { open } => std::mem::replace(open, !last),
            Form::Stream { .. } => false,
        };
        Some(ws::header(if is_open { Opcode::Continuation } else { kind }, last, len, mask))
    }

    /// The key to mask a frame with; only clients do.
    ///
    /// # Errors
    /// The kernel's, when it has no random number.
    pub(super) fn mask(&self, dice: &mut Dice) -> io::Result<Option<[u8; 4]>> {
        match self.role {
            Role::Server => Ok(None),
            Role::Client => dice.throw().map(|number| Some(number.to_ne_bytes())),
        }
    }

    /// Takes the frames that the codec itself wants to send.
    ///
    /// # Errors
    /// The kernel's, when it has no random number.
    pub(super) fn take_own(&mut self, dice: &mut Dice) -> io::Result<Vec<u8>> {
        let mut frames = Vec::new();
        for (opcode, payload) in std::mem::take(&mut self.own) {
            frames.extend_from_slice(&ws::frame(opcode, &payload, self.mask(dice)?));
        }
        Ok(frames)
    }

    /// Asks whether the peer is there.
    pub(crate) fn ping(&mut self) {
        if self.own.is_empty() {
            self.say(Opcode::Ping, Control::EMPTY);
        }
    }

    /// Closes with these words, once.
    pub(crate) fn close(&mut self, words: Control) {
        if !self.closed {
            self.say(Opcode::Close, words);
            self.closed = true;
        }
    }

    fn say(&mut self, opcode: Opcode, payload: Control) {
        if self.closed {
            return;
        }
        if self.own.len() >= OWN_AT_MOST {
            self.own.pop_front();
        }
        self.own.push_back((opcode, payload));
    }

    fn reject(&mut self, code: u16) -> Reason {
        self.close(Control::close(code, ""));
        match (self.role, code) {
            (Role::Client, _) => Reason::EndpointProtocol,
            (Role::Server, 1009) => Reason::TooLarge,
            (Role::Server, _) => Reason::Protocol,
        }
    }
}

/// What a listener asks of an upgrade.
pub(super) fn rules(settings: &config::Ws, max_key: u32) -> UpgradeRules<'_> {
    UpgradeRules {
        header: &settings.header,
        query: settings.query,
        origins: &settings.origins,
        paths: &settings.paths,
        max_key,
    }
}

/// The close code that tells a client why its session ends (RFC 6455 section 7.4.1).
pub(super) fn close_code(reason: Reason) -> u16 {
    match reason {
        Reason::ClientEnded | Reason::EndpointEnded | Reason::HalfCloseTimeout | Reason::ClientLeft => 1000,
        Reason::Idle
        | Reason::Heartbeat
        | Reason::Drained
        | Reason::Killed
        | Reason::MaxAge
        | Reason::EndpointDown => 1001,
        Reason::Protocol => 1002,
        Reason::TooLarge => 1009,
        Reason::EndpointReset | Reason::EndpointProtocol | Reason::ClientReset | Reason::Bug => 1011,
        Reason::MessageRate
        | Reason::HelloTimeout
        | Reason::HelloEvicted
        | Reason::Unproven
        | Reason::Replaced
        | Reason::ProxyHeader
        | Reason::Handshake
        | Reason::HelloMalformed
        | Reason::KeyMalformed
        | Reason::KeyUnknown
        | Reason::KeyForbidden
        | Reason::TokenRefused
        | Reason::TicketUsed
        | Reason::Denied
        | Reason::Banned
        | Reason::IpSessions
        | Reason::IpRate
        | Reason::ListenerSessions
        | Reason::ListenerRate
        | Reason::ProcessRate
        | Reason::OverloadShare
        | Reason::Shed
        | Reason::DialBudget
        | Reason::NameNotFound
        | Reason::NameTimeout
        | Reason::DialRefused
        | Reason::DialTimeout
        | Reason::DialUnreachable
        | Reason::DialUntrusted
        | Reason::DeviceRefused
        | Reason::DeviceRevoked
        | Reason::NoEndpoint
        | Reason::QueueFull
        | Reason::QueueTimeout
        | Reason::Overload => 1008,
    }
}

/// The close code that tells an endpoint why its session ends: it is over, or its client has gone away.
pub(super) fn endpoint_code(reason: Reason) -> u16 {
    if matches!(reason, Reason::ClientEnded | Reason::EndpointEnded | Reason::HalfCloseTimeout) {
        1000
    } else {
        1001
    }
}
