//! Getting a leg ready, stage by stage: what may come before TLS, TLS, an upgrade; and the gateway's first words.

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use portcullis_core::config;
use portcullis_core::outcome::{Reason, SessionId};
use portcullis_core::snapshot::ListenerPlan;
use portcullis_core::wire::http_upgrade::{MAX_HEAD, UpgradeStep};
use portcullis_core::wire::proxy_header::{self, Addresses};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::io::Io;
use crate::leg::tls::Shaken;
use crate::leg::{Caller, Codec, Leg, Received, Ws, ws};

/// How far a leg has been opened. Client and endpoint go the same way, one hearing what the other says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Who the client is, told before anything else.
    #[default]
    Header,
    /// The handshake is to begin.
    Tls,
    /// The handshake is under way.
    Shaking,
    /// The upgrade to another codec.
    Http,
    /// Payload may flow.
    Ready,
}

/// What opening a client's leg has come to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It waits for more.
    NotYet,
    /// It waits for a turn that can afford what comes next.
    Later,
    /// Transport and codec are ready; they may have brought a key.
    Ready(Option<Box<str>>),
    /// The client does not speak it; it was told so.
    Refused(Reason),
    /// The client ended its direction, or is gone.
    Ended,
}

/// What opening an endpoint's leg has come to.
#[derive(Debug)]
pub(crate) enum Established {
    /// It has not answered yet.
    NotYet,
    /// It waits for a turn that can afford what comes next.
    Later,
    /// It may be written to.
    Ready,
    /// It is no connection.
    Failed(io::Error),
    /// It is not whom it should be.
    Untrusted,
}

/// What an endpoint is told before it is ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Onward {
    /// How TLS is spoken with it, and the name it is asked for.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The first bytes of the connection, or of a stream over datagrams.
    pub(crate) header: Vec<u8>,
    /// The first message, where messages are spoken.
    pub(crate) first_message: Vec<u8>,
}

/// Whom an endpoint is told that it serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) client: SocketAddr,
    /// Where the client connected to; not known of a connection that broke a moment ago.
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) authority: Option<&'a str>,
    pub(crate) session: SessionId,
    pub(crate) identity: Option<&'a str>,
}

impl Onward {
    /// Has the endpoint told whom it serves: before anything else, or as the first of its messages.
    pub(crate) fn introduce(&mut self, of: &Introduction<'_>, dial: &config::Dial) {
        let nowhere = || SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let header = proxy_header::Header {
            addresses: Addresses { source: of.client, destination: of.destination.unwrap_or_else(nowhere) },
            authority: of.authority,
            unique_id: &of.session.to_string(),
            identity: of.identity,
        };
        let place = if dial.ws.is_some() { &mut self.first_message } else { &mut self.header };
        *place = header.encode();
    }
}

/// What a stage has come to.
pub(super) enum Passed {
    /// The next may begin.
    On,
    NotYet,
    Later,
    Refused(Reason),
    Ended,
}

impl Leg {
    /// Gets transport and codec of a client's leg ready.
    pub(crate) fn open(&mut self, caller: &mut Caller, plan: &ListenerPlan, io: &mut Io) -> Opened {
        loop {
            let (passed, next) = match self.stage {
                Stage::Header => (self.read_header(caller, &plan.settings, io), Stage::Tls),
                Stage::Tls => match &plan.tls {
                    Some(tls) => {
                        let is_http = plan.settings.ws.is_some();
                        self.begin_server(Arc::clone(if is_http { &tls.http } else { &tls.config }));
                        (Passed::On, Stage::Shaking)
                    }
                    None if plan.settings.hello == config::Hello::Sni => (self.peek(caller, io), Stage::Http),
                    None => (Passed::On, Stage::Http),
                },
                Stage::Shaking => (self.shake_client(io), Stage::Http),
                Stage::Http => return self.upgrade(caller, &plan.settings, io),
                Stage::Ready => return Opened::Ready(None),
            };
            match passed {
                Passed::On => self.stage = next,
                Passed::NotYet => return Opened::NotYet,
                Passed::Later => return Opened::Later,
                Passed::Refused(reason) => return Opened::Refused(reason),
                Passed::Ended => return Opened::Ended,
            }
        }
    }

    fn shake_client(&mut self, io: &mut Io) -> Passed {
        match self.shake(&mut io.expensive, &mut io.lent) {
            Shaken::Done => Passed::On,
            Shaken::NotYet => Passed::NotYet,
            Shaken::Later => Passed::Later,
            Shaken::Gone => Passed::Ended,
            Shaken::Failed(_) => {
                self.codec = Codec::Raw;
                Passed::Refused(Reason::Handshake)
            }
        }
    }

    /// From an HTTP request to messages, where the listener speaks them.
    fn upgrade(&mut self, caller: &mut Caller, settings: &config::Listener, io: &mut Io) -> Opened {
        let (Codec::Upgrading(_), Some(ws)) = (&self.codec, &settings.ws) else {
            self.stage = Stage::Ready;
            return Opened::Ready(self.asked_name(caller, settings));
        };
        let rules = ws::rules(ws, settings.hello_max_bytes);
        let mut room = MAX_HEAD;
        while self.may_read() {
            let count = match self.receive(&mut io.buffer[..room], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => count,
                Received::Eof | Received::Broken | Received::Violation(_) => return Opened::Ended,
            };
            let Codec::Upgrading(reader) = &mut self.codec else { break };
            match reader.handle_bytes(&io.buffer[..count], &rules) {
                Ok(UpgradeStep::NeedMore { at_most }) => room = at_most.clamp(1, io.buffer.len()),
                Ok(UpgradeStep::Done { upgrade, response, surplus }) => {
                    self.write_wire([&[], &[], &response], &mut io.lent);
                    self.codec = Codec::Ws(Box::new(Ws::server(ws)));
                    self.put_back(surplus);
                    self.stage = Stage::Ready;
                    caller.handle_forwarded(&upgrade.forwarded_for, ws);
                    let key = upgrade.key.unwrap_or_default();
                    return Opened::Ready(key.or_else(|| self.asked_name(caller, settings)));
                }
                Err(error) => {
                    self.write_wire([&[], &[], error.response()], &mut io.lent);
                    self.codec = Codec::Raw;
                    return Opened::Refused(Reason::HelloMalformed);
                }
            }
        }
        Opened::NotYet
    }

    /// The name that a client asked for in its handshake, where that is its key.
    fn asked_name(&self, caller: &Caller, settings: &config::Listener) -> Option<Box<str>> {
        let is_key = settings.hello == config::Hello::Sni;
        self.server_name().or(caller.name()).filter(|_| is_key).map(Into::into)
    }

    /// Gets an endpoint's leg ready, once the poller saw something of it.
    pub(crate) fn establish(&mut self, onward: &mut Onward, io: &mut Io) -> Established {
        match self.wire.establish(self.state.hung_up) {
            Ok(true) => {}
            Ok(false) => return Established::NotYet,
            Err(error) => return Established::Failed(error),
        }
        loop {
            match self.stage {
                Stage::Header => {
                    self.write_wire([&[], &[], &mem::take(&mut onward.header)], &mut io.lent);
                    if self.is_broken() {
                        return Established::Failed(io::ErrorKind::ConnectionReset.into());
                    }
                    self.stage = Stage::Tls;
                }
                Stage::Tls => match mem::take(&mut onward.tls) {
                    Some((config, name)) => match self.begin_client(config, name) {
                        Ok(()) => self.stage = Stage::Shaking,
                        Err(_) => return Established::Untrusted,
                    },
                    None => self.stage = Stage::Http,
                },
                Stage::Shaking => match self.shake(&mut io.expensive, &mut io.lent) {
                    Shaken::Done => self.stage = Stage::Http,
                    Shaken::NotYet => return Established::NotYet,
                    Shaken::Later => return Established::Later,
                    Shaken::Gone => return Established::Failed(io::ErrorKind::ConnectionReset.into()),
                    Shaken::Failed(rustls::Error::InvalidCertificate(_)) => return Established::Untrusted,
                    // It does not speak TLS, or not with us.
                    Shaken::Failed(_) => return Established::Failed(io::ErrorKind::ConnectionRefused.into()),
                },
                Stage::Http => match self.ask_upgrade(io) {
                    Established::Ready => self.stage = Stage::Ready,
                    not_yet => return not_yet,
                },
                Stage::Ready => {
                    self.say(&mem::take(&mut onward.first_message), &mut io.lent);
                    return Established::Ready;
                }
            }
        }
    }
}

/// The messages of a listener, ready for its codec.
pub(crate) fn message(hello: config::Hello, text: &[u8]) -> Vec<u8> {
    match hello {
        _ if text.is_empty() => Vec::new(),
        config::Hello::LengthPrefixed => portcullis_core::wire::hello::length_prefixed(text),
        config::Hello::Frontd
        | config::Hello::Funny
        | config::Hello::Header
        | config::Hello::Sni
        | config::Hello::None => text.to_vec(),
    }
}
