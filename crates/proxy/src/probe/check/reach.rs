//! How a probe gets to its endpoint: by an address or a name, on a connection of its own or on the conversation of
//! earlier probes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::config::{Probe, ProxyHeader, Transport};
use portcullis_core::endpoint::Host;
use portcullis_core::opening::DialError;
use portcullis_core::upstream::Standing;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::proxy_header::LOCAL;
use portcullis_sys::socket::{Socket, Tuning};

use super::{Around, Check, Errand, Found, Named, READ, SILENCE, Stage, Turn};
use crate::handle::{Asked, NameError, Question};
use crate::io::Io;
use crate::leg::{Established, Kcp, Leg, Onward, Received, Terms};
use crate::session::{dial_tcp, onward, source, why};

impl Check {
    pub(super) fn begin(&mut self, io: &mut Io, around: &mut Around) -> Turn {
        let Some(health) = self.health() else { return Turn::Over(Found::Nothing) };
        let timeout = health.timeout;
        self.began = io.now;
        self.until = io.next_tick().after(timeout);
        let is_let_be = self.endpoint.standing() == Standing::Maint
            || (self.errand == Errand::Health && self.endpoint.fitness.agent_standing() == Standing::Maint);
        if is_let_be {
            return Turn::Over(Found::Nothing);
        }
        if self.leg.is_some() {
            return self.begin_on_conversation(io, around);
        }
        let port = match self.errand {
            Errand::Health => self.endpoint.address.port,
            Errand::Agent(agent) => match agent.port.try_into() {
                Ok(port) => port,
                Err(_) => return Turn::Over(Found::Nothing),
            },
        };
        match &self.endpoint.address.host {
            Host::Ip(ip) => self.dial(SocketAddr::new(*ip, port.get()), io, around),
            Host::Name(name) => {
                around.serial = around.serial.wrapping_add(1);
                let asked = Asked { worker: io.worker, serial: around.serial, token: self.token };
                io.questions.push(Question { asked, host: name.clone(), port: Some(port) });
                self.stage = Stage::Naming { serial: around.serial, answer: None };
                Turn::Wait
            }
        }
    }

    /// The conversation of earlier probes goes on: what came late for those is no answer to this one.
    fn begin_on_conversation(&mut self, io: &mut Io, around: &Around) -> Turn {
        let exchange = self.exchange();
        let Some(leg) = &mut self.leg else { return Turn::Over(Found::Nothing) };
        leg.pull(io, &around.cell);
        while leg.may_read() {
            if !matches!(leg.receive(&mut io.buffer[..READ], &mut io.lent), Received::Some(_)) {
                break;
            }
        }
        match exchange {
            // It has never answered: it is still being opened.
            _ if !leg.talk().is_some_and(Kcp::is_open) => self.stage = Stage::Opening(Box::default()),
            Some(exchange) => self.say(exchange, io),
            None => self.inquire(io),
        }
        Turn::Wait
    }

    pub(super) fn inquire(&mut self, io: &Io) {
        let Some(leg) = &self.leg else { return };
        let heard = leg.heard_at().unwrap_or_default();
        let answers = leg.talk().is_some_and(Kcp::answers);
        let silent = if answers { Tick::NEVER } else { io.next_tick().after(SILENCE).min(self.until) };
        self.stage = Stage::Asking { heard, again: io.now, silent };
    }

    pub(super) fn dial(&mut self, address: SocketAddr, io: &mut Io, around: &mut Around) -> Turn {
        self.moved = false;
        let (Some(config), Some(health)) = (&around.config, self.health()) else {
            return Turn::Over(Found::Nothing);
        };
        let dial = &self.upstream.settings.dial;
        let source = source(dial, address, u64::from(around.serial));
        let leg = match (self.errand, &dial.transport, &self.upstream.crypt) {
            (Errand::Agent(_), ..) => Socket::connect(address, source, &Tuning::default())
                .map(|socket| (Leg::tcp(socket), Onward::default())),
            (Errand::Health, Transport::Kcp(settings), Some(crypt)) => {
                let terms = Terms { settings: Arc::clone(settings), crypt: Arc::clone(crypt) };
                // Without a question there is no answer to wait for.
                self.moved = !settings.probe;
                Kcp::dialled(address, source, &terms, io).map(|kcp| (Leg::kcp(kcp), Onward::default()))
            }
            (Errand::Health, ..) => {
                let told = match health.kind {
                    Probe::Connect => Onward::default(),
                    Probe::Tls | Probe::Frame { .. } | Probe::Http { .. } => {
                        let host = match &self.endpoint.address.host {
                            Host::Name(name) => Some(name),
                            Host::Ip(_) => None,
                        };
                        let told = onward(dial, self.upstream.tls.as_deref(), host, address);
                        let is_told = dial.proxy_protocol == ProxyHeader::V2 && dial.ws.is_none();
                        Onward { header: if is_told { LOCAL.to_vec() } else { Vec::new() }, ..told }
                    }
                };
                dial_tcp(address, source, dial, (config, io)).map(|leg| (leg, told))
            }
        };
        match leg.and_then(|(leg, told)| leg.watch(&io.poller, self.token).map(|()| (leg, told))) {
            Ok((leg, told)) => {
                self.leg = Some(leg);
                self.stage = Stage::Opening(Box::new(told));
                Turn::Wait
            }
            Err(error) => Turn::Over(failed(&error)),
        }
    }

    pub(super) fn named(&mut self, answer: Named, io: &mut Io, around: &mut Around) -> Turn {
        let address = match answer {
            Ok(addresses) => match addresses.first() {
                Some(address) => *address,
                None => return Turn::Over(Found::Bad("its name has no address".into())),
            },
            Err(NameError::NotFound) => return Turn::Over(Found::Bad("its name has no address".into())),
            // Names that cannot be asked for keep no endpoint from being asked where it last was.
            Err(NameError::Timeout | NameError::Busy) => match self.address {
                Some(address) => address,
                None => return Turn::Over(Found::Nothing),
            },
        };
        self.address = Some(address);
        self.dial(address, io, around)
    }

    pub(super) fn open(&mut self, io: &mut Io) -> Turn {
        let (Stage::Opening(onward), Some(leg)) = (&mut self.stage, &mut self.leg) else { return Turn::Wait };
        match leg.establish(onward, io) {
            Established::NotYet => Turn::Wait,
            Established::Later => {
                self.moved = true;
                Turn::Again
            }
            Established::Failed(error) => Turn::Over(failed(&error)),
            Established::Untrusted => Turn::Over(Found::Bad("its certificate is not accepted".into())),
            Established::Ready => self.opened(io),
        }
    }
}

/// What a connection that failed says of the endpoint; what this process or machine lacks says nothing.
fn failed(error: &io::Error) -> Found {
    match why(error) {
        DialError::Overload | DialError::NoPort => Found::Nothing,
        DialError::Refused => Found::Bad("it refused the connection".into()),
        DialError::Timeout => Found::Bad("it did not answer in time".into()),
        DialError::Unreachable | DialError::Untrusted | DialError::NoEndpoint | DialError::QueueFull => {
            Found::Bad("there is no way to it".into())
        }
    }
}
