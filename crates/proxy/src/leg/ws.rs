//! The WebSocket codec of a client's leg: messages in, messages out, and what the protocol wants itself.

use portcullis_core::config;
use portcullis_core::outcome::Reason;
use portcullis_core::wire::http_upgrade::UpgradeRules;
use portcullis_core::wire::ws::framing::{Chunk, Downlink, Piece, Uplink};
use portcullis_core::wire::ws::{Control, Decoder, Event, Opcode, Role, frame};

use crate::leg::Unit;

/// The codec's state. What it has to say itself is at most one frame: a close replaces a pong, and a later
/// pong an earlier one (RFC 6455 section 5.5.3).
#[derive(Debug)]
pub(crate) struct Ws {
    decoder: Decoder,
    up: Uplink,
    down: Downlink,
    own: Option<Box<[u8]>>,
    closed: bool,
}

impl Ws {
    pub(crate) fn new(settings: &config::Ws) -> Self {
        Self {
            decoder: Decoder::new(Role::Server),
            up: Uplink::new(settings.framing_up, settings.max_message),
            down: Downlink::new(settings.framing_down),
            own: None,
            closed: false,
        }
    }

    /// Decodes what was read and gives each piece of payload to `sink`.
    ///
    /// `Ok(true)`: the client has closed.
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
                Event::Data { start, bytes, message_end, .. } => {
                    match self.up.handle_data(start, bytes, message_end) {
                        Ok(Piece::Bytes([])) => {}
                        Ok(Piece::Bytes(bytes)) => sink(Unit::of(bytes)),
                        Ok(Piece::Prefixed(prefix, bytes)) => {
                            sink(Unit { lead: &prefix, bytes, payload: bytes.len() });
                        }
                        Ok(Piece::Whole(message)) => sink(Unit::of(&message)),
                        Err(violation) => return Err(self.reject(violation.code())),
                    }
                }
                Event::Ping(payload) => self.say(Opcode::Pong, payload),
                Event::Pong(_) => {}
                Event::Close(close) => {
                    self.say(Opcode::Close, close.answer());
                    self.closed = true;
                }
            }
        }
    }

    /// Is the client's close frame in what it still sends? Payload and what breaks the protocol are dropped.
    pub(crate) fn hears_close(&mut self, mut bytes: &mut [u8]) -> bool {
        while let Ok(Some(event)) = self.decoder.next(&mut bytes) {
            if matches!(event, Event::Close(_)) {
                return true;
            }
        }
        false
    }

    /// The next frame of payload, off the front of `input`.
    pub(crate) fn encode<'b>(&mut self, input: &mut &'b [u8]) -> Option<Chunk<'b>> {
        // Nothing follows a close frame (RFC 6455 section 5.5.1).
        if self.closed { None } else { self.down.next(input) }
    }

    /// Takes the frame that the codec itself wants to send.
    pub(crate) fn take_own(&mut self) -> Option<Box<[u8]>> {
        self.own.take()
    }

    /// Asks whether the client is there.
    pub(crate) fn ping(&mut self) {
        if self.own.is_none() {
            self.say(Opcode::Ping, Control::EMPTY);
        }
    }

    /// Closes with `code`, once.
    pub(crate) fn close(&mut self, code: u16) {
        if !self.closed {
            self.say(Opcode::Close, Control::close(code, ""));
            self.closed = true;
        }
    }

    fn say(&mut self, opcode: Opcode, payload: Control) {
        if !self.closed {
            self.own = Some(frame(opcode, &payload, None).into());
        }
    }

    fn reject(&mut self, code: u16) -> Reason {
        self.close(code);
        if code == 1009 { Reason::TooLarge } else { Reason::Protocol }
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
        Reason::Idle | Reason::Drained | Reason::Killed => 1001,
        Reason::Protocol => 1002,
        Reason::TooLarge => 1009,
        Reason::EndpointReset | Reason::ClientReset | Reason::Bug => 1011,
        Reason::HelloTimeout
        | Reason::HelloEvicted
        | Reason::Unproven
        | Reason::Replaced
        | Reason::Handshake
        | Reason::HelloMalformed
        | Reason::KeyMalformed
        | Reason::KeyUnknown
        | Reason::KeyForbidden
        | Reason::TokenRefused
        | Reason::TicketUsed
        | Reason::DialBudget
        | Reason::NameNotFound
        | Reason::NameTimeout
        | Reason::DialRefused
        | Reason::DialTimeout
        | Reason::DialUnreachable
        | Reason::DialUntrusted
        | Reason::NoEndpoint
        | Reason::Overload => 1008,
    }
}
