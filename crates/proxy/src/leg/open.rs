//! Getting a leg ready: the client's codec, the endpoint's connection, and the gateway's first words.

use std::io;

use portcullis_core::config;
use portcullis_core::wire::http_upgrade::{MAX_HEAD, UpgradeStep};

use crate::io::Io;
use crate::leg::{Codec, Leg, Received, Ws, ws};

/// What opening a client's leg has come to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It waits for more.
    NotYet,
    /// Transport and codec are ready; the codec may have brought a key.
    Ready(Option<Box<str>>),
    /// The client does not speak the codec; it was told so.
    Refused,
    /// The client ended its direction, or is gone.
    Ended,
}

/// What opening an endpoint's leg has come to.
#[derive(Debug)]
pub(crate) enum Established {
    /// It has not answered yet.
    NotYet,
    /// It may be written to.
    Ready,
    /// It is no connection.
    Failed(io::Error),
}

impl Leg {
    /// Gets transport and codec of a client's leg ready.
    pub(crate) fn open(&mut self, settings: &config::Listener, io: &mut Io) -> Opened {
        let (Codec::Upgrading(_), Some(ws)) = (&self.codec, &settings.ws) else { return Opened::Ready(None) };
        let rules = ws::rules(ws, settings.hello_max_bytes);
        let mut room = MAX_HEAD;
        while self.may_read() {
            let count = match self.receive(&mut io.buffer[..room]) {
                Received::Some(count) | Received::Last(count) => count,
                Received::Eof | Received::Broken | Received::Violation(_) => return Opened::Ended,
            };
            let Codec::Upgrading(reader) = &mut self.codec else { break };
            match reader.handle_bytes(&io.buffer[..count], &rules) {
                Ok(UpgradeStep::NeedMore { at_most }) => room = at_most.clamp(1, io.buffer.len()),
                Ok(UpgradeStep::Done { upgrade, response, surplus }) => {
                    self.write_wire([&[], &[], &response], &mut io.lent);
                    self.codec = Codec::Ws(Box::new(Ws::new(ws)));
                    self.put_back(surplus);
                    return Opened::Ready(upgrade.key.unwrap_or_default());
                }
                Err(error) => {
                    self.write_wire([&[], &[], error.response()], &mut io.lent);
                    self.codec = Codec::Raw;
                    return Opened::Refused;
                }
            }
        }
        Opened::NotYet
    }

    /// Gets an endpoint's leg ready, once the poller saw something of it.
    pub(crate) fn establish(&mut self) -> Established {
        match self.wire.establish(self.state.hung_up) {
            Ok(true) => Established::Ready,
            Ok(false) => Established::NotYet,
            Err(error) => Established::Failed(error),
        }
    }
}

/// The messages of a listener, ready for its codec.
pub(crate) fn message(hello: config::Hello, text: &[u8]) -> Vec<u8> {
    match hello {
        _ if text.is_empty() => Vec::new(),
        config::Hello::LengthPrefixed => portcullis_core::wire::hello::length_prefixed(text),
        config::Hello::Header | config::Hello::Sni | config::Hello::None => text.to_vec(),
    }
}
