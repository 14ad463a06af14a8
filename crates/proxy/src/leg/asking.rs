//! Asking an endpoint for a WebSocket: our request on its way, and the answer until its head is whole.

use std::io;
use std::mem;
use std::net::IpAddr;

use portcullis_core::config::DialWs;
use portcullis_core::wire::http_upgrade::MAX_HEAD;
use portcullis_core::wire::http_upgrade::client::{AnswerReader, AnswerStep, Request, forwarded, request};

use crate::io::{Dice, Io};
use crate::leg::{Codec, Established, Leg, Received, Ws};

/// An upgrade that we ask for.
#[derive(Debug)]
pub(crate) struct Asking {
    /// The request; empty once it was sent.
    request: Vec<u8>,
    answer: AnswerReader,
    /// No more than this many bytes may belong to the answer's head.
    room: usize,
}

/// On whose behalf it is asked, and of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    /// The endpoint as `host:port`, for a `Host` that is not configured.
    pub(crate) endpoint: &'a str,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// Did the client come over TLS?
    pub(crate) is_secure: bool,
}

impl Asking {
    /// Makes the request. The client's own path, key and sub-protocols are no part of it: they said where the
    /// client belongs, and the gateway has answered them.
    ///
    /// # Errors
    /// The kernel's, when it has no random number; [`io::ErrorKind::InvalidInput`] where a part of the request
    /// cannot be sent.
    pub(crate) fn new(settings: &DialWs, whose: &Whose<'_>, dice: &mut Dice) -> io::Result<Self> {
        let mut nonce = [0; 16];
        for place in nonce.as_chunks_mut::<4>().0 {
            *place = dice.throw()?.to_ne_bytes();
        }
        let told = forwarded(whose.client, whose.is_secure);
        let told = told.each_ref().map(|(name, value)| (*name, value.as_str()));
        let asked = Request {
            host: settings.host.as_deref().unwrap_or(whose.endpoint),
            path: &settings.path,
            headers: if settings.forwarded { &told } else { &[] },
            nonce,
        };
        let request = request(&asked).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Self { request, answer: AnswerReader::new(nonce), room: MAX_HEAD })
    }
}

impl Leg {
    /// A leg that becomes a WebSocket once its transport is there.
    pub(crate) fn asking(self, asking: Asking) -> Self {
        Self { codec: Codec::Asking(Box::new(asking)), ..self }
    }

    /// Sends the request, then reads the answer. What is no agreement is no connection: a refusal.
    pub(super) fn ask_upgrade(&mut self, io: &mut Io) -> Established {
        let Codec::Asking(asking) = &mut self.codec else { return Established::Ready };
        let request = mem::take(&mut asking.request);
        if request.is_empty() {
            self.flush(&mut io.lent);
        } else {
            self.write_wire([&[], &[], &request], &mut io.lent);
        }
        while self.may_read() {
            let Codec::Asking(asking) = &self.codec else { break };
            let room = asking.room.clamp(1, io.buffer.len());
            let count = match self.receive(&mut io.buffer[..room], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => count,
                Received::Eof | Received::Broken | Received::Violation(_) => return refused(),
            };
            let Codec::Asking(asking) = &mut self.codec else { break };
            match asking.answer.handle_bytes(&io.buffer[..count]) {
                Ok(AnswerStep::NeedMore { at_most }) => asking.room = at_most,
                Ok(AnswerStep::Done { protocol: None, surplus }) => {
                    self.codec = Codec::Ws(Box::new(Ws::client()));
                    self.put_back(surplus);
                    return Established::Ready;
                }
                // No sub-protocol was asked for (RFC 6455 section 4.1).
                Ok(AnswerStep::Done { protocol: Some(_), .. }) | Err(_) => return refused(),
            }
        }
        if self.is_broken() { refused() } else { Established::NotYet }
    }
}

fn refused() -> Established {
    Established::Failed(io::ErrorKind::ConnectionRefused.into())
}
