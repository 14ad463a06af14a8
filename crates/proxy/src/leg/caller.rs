//! Whose connection a client's leg is: what a proxy in front of us says of it, and what it says before TLS.

use std::net::SocketAddr;

use portcullis_core::config;
use portcullis_core::outcome::Reason;
use portcullis_core::wire::client_hello::{ClientHelloReader, ClientHelloStep, MAX_CLIENT_HELLO};
use portcullis_core::wire::forwarded;
use portcullis_core::wire::proxy_header::{HeaderReader, HeaderStep};

use super::open::Passed;
use super::{Leg, Received};
use crate::io::Io;

/// Who is at the other end of a client's leg, as far as that is known.
#[derive(Debug)]
pub(crate) struct Caller {
    peer: SocketAddr,
    /// The client: the peer, until somebody who is trusted says otherwise.
    client: SocketAddr,
    /// Where the client connected to, where that is not here.
    destination: Option<SocketAddr>,
    /// The name it asked for, looked at on its way to the endpoint.
    name: Option<Box<str>>,
    header: HeaderReader,
    heard: bool,
    hello: ClientHelloReader,
}

impl Caller {
    /// Nothing but the connection is known.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            client: peer,
            destination: None,
            name: None,
            header: HeaderReader::new(),
            heard: false,
            hello: ClientHelloReader::new(),
        }
    }

    /// The client's address.
    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }

    /// Did somebody in between say who the client is?
    pub(crate) fn is_told(&self) -> bool {
        self.client != self.peer
    }

    /// Where a proxy in front of us says that the client connected to.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// The name in a handshake that goes on to the endpoint.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Takes `X-Forwarded-For`, as far as it was written by those who are trusted.
    pub(super) fn handle_forwarded(&mut self, values: &[u8], settings: &config::Ws) {
        self.client = forwarded::client(values, self.client, &settings.trusted_proxies);
    }
}

impl Leg {
    /// Reads the header that every peer of such a listener must send first, and nobody else may.
    pub(super) fn read_header(
        &mut self,
        caller: &mut Caller,
        settings: &config::Listener,
        io: &mut Io,
    ) -> Passed {
        let proxies = &settings.proxy_protocol;
        if proxies.is_empty() {
            return Passed::On;
        }
        if !proxies.iter().any(|net| net.contains(&caller.peer.ip())) {
            return Passed::Refused(Reason::ProxyHeader);
        }
        let mut room = HeaderReader::FIRST;
        while self.may_read() {
            let room_now = room.min(io.buffer.len());
            let count = match self.receive(&mut io.buffer[..room_now], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => count,
                Received::Eof if caller.heard => return Passed::Refused(Reason::ProxyHeader),
                Received::Eof | Received::Broken | Received::Violation(_) => return Passed::Ended,
            };
            caller.heard |= count > 0;
            match caller.header.handle_bytes(&io.buffer[..count]) {
                Ok(HeaderStep::NeedMore { at_most }) => room = at_most,
                Ok(HeaderStep::Done { addresses, surplus }) => {
                    self.put_back(surplus);
                    if let Some(addresses) = addresses {
                        caller.client = addresses.source;
                        caller.destination = Some(addresses.destination);
                    }
                    return Passed::On;
                }
                Err(_) => return Passed::Refused(Reason::ProxyHeader),
            }
        }
        Passed::NotYet
    }

    /// Looks at the first message of a TLS connection that is the endpoint's to answer. One that cannot be read
    /// has no name.
    pub(super) fn peek(&mut self, caller: &mut Caller, io: &mut Io) -> Passed {
        let mut room = MAX_CLIENT_HELLO;
        while self.may_read() {
            let room_now = room.min(io.buffer.len());
            let count = match self.receive(&mut io.buffer[..room_now], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => count,
                Received::Eof | Received::Broken | Received::Violation(_) => return Passed::Ended,
            };
            match caller.hello.handle_bytes(&io.buffer[..count]) {
                Ok(ClientHelloStep::NeedMore { at_most }) => room = at_most,
                Ok(ClientHelloStep::Done { name, seen }) => {
                    self.put_back(seen);
                    caller.name = name;
                    return Passed::On;
                }
                Err(_) => return Passed::On,
            }
        }
        Passed::NotYet
    }

    /// Which address of ours a client has reached.
    pub(crate) fn reached(&self, io: &mut Io) -> Option<SocketAddr> {
        if let Some((seat, _)) = self.talk().and_then(super::Kcp::seat) {
            let port = io.shards.get(seat.shard)?.socket()?.address();
            let ip = seat.from.map_or(port.ip(), |from| from.address);
            return Some(SocketAddr::new(ip.to_canonical(), port.port()));
        }
        self.wire.local()
    }
}
