//! Agreeing on keys: a client's first message, the signature that answers it, and what an endpoint answers.

use std::io;
use std::mem;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig};

use super::{LEAST_RECEIVED, Outlet, Talk, Tls};
use crate::leg::{Leg, Wire};
use crate::ring::{Lent, Ring};

/// What a handshake has come to.
#[derive(Debug)]
pub(crate) enum Shaken {
    /// It waits for the peer.
    NotYet,
    /// It waits for a turn that can afford its signature.
    Later,
    /// Payload may flow.
    Done,
    /// The peer went away.
    Gone,
    /// They do not agree; the peer was told so.
    Failed(rustls::Error),
}

impl Tls {
    /// Has the library look at what came of the handshake.
    fn learn(&mut self, ring: &mut Option<Box<Ring>>, lent: &mut Lent) -> Result<(), rustls::Error> {
        let kept = mem::take(&mut self.unfed);
        let mut sealed = &*kept;
        if let Talk::Hello(acceptor, config) = &mut self.talk {
            let unreadable = |_| rustls::Error::General("a message longer than any".into());
            while !sealed.is_empty() {
                acceptor.read_tls(&mut sealed).map_err(unreadable)?;
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        self.talk = Talk::Accepted(Box::new(accepted), Arc::clone(config));
                        break;
                    }
                    Err((error, mut alert)) => {
                        // A peer that is gone is not told; why it is not let in is the same.
                        let _told = alert.write_all(&mut Outlet { socket: &self.socket, ring, lent });
                        return Err(error);
                    }
                }
            }
            self.unfed = sealed.to_vec();
            return Ok(());
        }
        while let Talk::Talking(connection) = &mut self.talk
            && connection.is_handshaking()
            && !sealed.is_empty()
        {
            let read = connection.read_tls(&mut sealed);
            read.map_err(|_| rustls::Error::General("a message longer than any".into()))?;
            self.process()?;
        }
        self.unfed = sealed.to_vec();
        Ok(())
    }

    /// Answers the client's first message: this signs.
    fn answer(&mut self, ring: &mut Option<Box<Ring>>, lent: &mut Lent) -> Result<(), rustls::Error> {
        let Talk::Accepted(accepted, config) = mem::replace(&mut self.talk, Talk::Failed) else {
            return Ok(());
        };
        match accepted.into_connection(config) {
            Ok(server) => {
                let mut connection = Connection::Server(server);
                connection.set_buffer_limit(None);
                self.talk = Talk::Talking(Box::new(connection));
                self.process()
            }
            Err((error, mut alert)) => {
                let _told = alert.write_all(&mut Outlet { socket: &self.socket, ring, lent });
                Err(error)
            }
        }
    }
}

impl Leg {
    /// Begins as a server; what was read too far is the first of it.
    pub(in crate::leg) fn begin_server(&mut self, config: Arc<ServerConfig>) {
        let unread = self.take_unread();
        if let Wire::Tls(tls) = &mut self.wire {
            tls.unfed = unread;
            tls.talk = Talk::Hello(Box::default(), config);
        }
    }

    /// Begins as a client.
    ///
    /// # Errors
    /// The library's, when it cannot ask for that name.
    pub(in crate::leg) fn begin_client(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<(), rustls::Error> {
        let mut connection = Connection::Client(ClientConnection::new(config, name)?);
        connection.set_buffer_limit(None);
        if let Wire::Tls(tls) = &mut self.wire {
            tls.talk = Talk::Talking(Box::new(connection));
        }
        Ok(())
    }

    /// Goes on with the handshake as far as possible. `expensive` are the signatures that the turn can still
    /// afford.
    pub(in crate::leg) fn shake(&mut self, expensive: &mut usize, lent: &mut Lent) -> Shaken {
        self.flush(lent);
        self.empty_library(lent);
        loop {
            let shaken = self.shake_once(expensive, lent);
            self.empty_library(lent);
            match shaken {
                Ok(Some(shaken)) => return shaken,
                Ok(None) => {}
                Err(error) => {
                    if let Wire::Tls(tls) = &mut self.wire {
                        tls.talk = Talk::Failed;
                        tls.unfed = Vec::new();
                    }
                    return Shaken::Failed(error);
                }
            }
        }
    }

    /// One step; `None`: there may be another.
    fn shake_once(
        &mut self,
        expensive: &mut usize,
        lent: &mut Lent,
    ) -> Result<Option<Shaken>, rustls::Error> {
        let Wire::Tls(tls) = &mut self.wire else { return Ok(Some(Shaken::Gone)) };
        match &mut tls.talk {
            Talk::Plain | Talk::Failed => return Ok(Some(Shaken::Gone)),
            Talk::Hello(..) | Talk::Talking(_) => {}
            Talk::Accepted(..) => {
                if *expensive == 0 {
                    return Ok(Some(Shaken::Later));
                }
                *expensive -= 1;
                return tls.answer(&mut self.ring, lent).map(|()| None);
            }
        }
        if let Talk::Talking(connection) = &tls.talk
            && !connection.is_handshaking()
        {
            return Ok(Some(Shaken::Done));
        }
        // What an endpoint answers is a certificate to check, and what a client answers may be one.
        let costs = matches!(tls.talk, Talk::Talking(_));
        if tls.unfed.is_empty() {
            if !self.state.may_read {
                return Ok(Some(Shaken::NotYet));
            }
            if costs && *expensive == 0 {
                return Ok(Some(Shaken::Later));
            }
            let mut sealed = lent.sealed();
            let room = sealed.len().min(LEAST_RECEIVED);
            match tls.socket.recv(&mut sealed[..room]) {
                Ok(some) if some > 0 => {
                    self.state.may_read = some == room || self.state.end_queued;
                    tls.unfed.extend_from_slice(&sealed[..some]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.may_read = false,
                Ok(_) | Err(_) => {
                    lent.give_sealed(sealed);
                    return Ok(Some(Shaken::Gone));
                }
            }
            lent.give_sealed(sealed);
        }
        if costs && *expensive == 0 {
            return Ok(Some(Shaken::Later));
        }
        *expensive -= usize::from(costs);
        tls.learn(&mut self.ring, lent).map(|()| None)
    }
}
