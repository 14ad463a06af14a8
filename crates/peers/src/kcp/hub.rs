//! A socket and the conversations on it, at most one with each address, as kcp-go has it.
//!
//! Two threads: one takes what arrives, one waits for what is due. Who reads or writes a stream sends by itself.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::Settings;
use portcullis_core::wire::kcp::conversation::{Conversation, Plan};
use portcullis_core::wire::kcp::crypt::NonceSource;
use portcullis_core::wire::kcp::fec;
use portcullis_core::wire::kcp::outbox::Outbox;

use super::session::{Opening, Session, opening};
use super::{KcpOptions, KcpStream, chance};

/// How many ended conversations are remembered, so that what comes late for them does not begin them again.
const GONE: usize = 1024;
/// No datagram of KCP is longer than 1,500 bytes; what is, is cut and falls to its checksum or its format.
const DATAGRAM: usize = 2048;
/// Should the datagram that wakes the receiving thread at its end get lost, it ends after this.
const STOP: Duration = Duration::from_millis(500);

/// A socket and its conversations.
#[derive(Debug)]
pub(super) struct Hub {
    address: SocketAddr,
    options: KcpOptions,
    epoch: Instant,
    state: Mutex<State>,
    timer: Condvar,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct State {
    /// `None`: the end has come. Closed then, whoever still has a stream: the port is free.
    socket: Option<Arc<UdpSocket>>,
    sessions: HashMap<SocketAddr, Session>,
    gone: VecDeque<(SocketAddr, u32)>,
    nonces: NonceSource,
    out: Outbox,
    /// When the timer's thread will look again.
    wake_at: Tick,
}

impl State {
    /// The conversation with `peer`, if it is still this one.
    pub(super) fn session(&mut self, peer: SocketAddr, conv: u32) -> Option<&mut Session> {
        self.sessions.get_mut(&peer).filter(|session| session.conversation.conv() == conv)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.socket.is_none()
    }

    /// How many conversations there are.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    fn stop(&mut self) {
        self.socket = None;
        self.sessions.values().for_each(|session| session.changed.notify_all());
    }

    fn bury(&mut self, peer: SocketAddr) {
        if let Some(session) = self.sessions.remove(&peer) {
            session.changed.notify_all();
            self.gone.truncate(GONE - 1);
            self.gone.push_front((peer, session.conversation.conv()));
        }
    }
}

impl Hub {
    pub(super) fn new(socket: UdpSocket, options: &KcpOptions) -> io::Result<Self> {
        socket.set_read_timeout(Some(STOP))?;
        let seed = [chance(), chance(), chance(), chance()].map(u64::to_le_bytes);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(seed.as_flattened());
        let address = socket.local_addr()?;
        let state = State {
            socket: Some(Arc::new(socket)),
            sessions: HashMap::new(),
            gone: VecDeque::new(),
            nonces: NonceSource::new(&bytes, 0),
            out: Outbox::default(),
            wake_at: Tick::NEVER,
        };
        let (epoch, state, timer) = (Instant::now(), Mutex::new(state), Condvar::new());
        Ok(Self { address, options: options.clone(), epoch, state, timer })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Tick {
        Tick(self.epoch.elapsed().as_millis() as u64)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a conversation with `peer`; nothing is sent.
    pub(super) fn dial(self: &Arc<Self>, peer: SocketAddr, conv: u32) -> KcpStream {
        let opening = Opening { conv, framed: self.options.code.is_some() };
        self.begin(&mut self.lock(), peer, opening, true)
    }

    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        peer: SocketAddr,
        opening: Opening,
        dialled: bool,
    ) -> KcpStream {
        let KcpOptions { crypt, code, settings, seqid, idle_timeout, .. } = &self.options;
        let framed = opening.framed && code.is_some();
        let headers = crypt.overhead() + if framed { fec::HEADER } else { 0 };
        let plan = Plan {
            conv: opening.conv,
            settings: &Settings { mtu: settings.mtu.saturating_sub(headers as u16), ..*settings },
            start: self.options.start(),
            code: *code,
            framed,
            seqid: *seqid,
            mul_acc: fec::mul_acc_scalar,
            dialled,
        };
        let session = Session::new(Conversation::new(plan), *idle_timeout, self.now());
        state.bury(peer);
        state.sessions.insert(peer, session);
        KcpStream::new(Arc::clone(self), peer, opening.conv)
    }

    /// Sends what is due to `peer`. What the socket does not take is lost, as datagrams are.
    pub(super) fn transmit(&self, state: &mut State, peer: SocketAddr) {
        let now = self.now();
        let State { socket, sessions, nonces, out, wake_at, .. } = state;
        let (Some(socket), Some(session)) = (socket, sessions.get_mut(&peer)) else { return };
        out.clear();
        session.conversation.transmit(now, &self.options.crypt, nonces, out);
        out.iter().for_each(|datagram| drop(socket.send_to(datagram, peer)));
        if session.conversation.is_dead() {
            session.changed.notify_all();
        }
        let next = session.poll_timeout();
        if next < *wake_at {
            *wake_at = next;
            self.timer.notify_one();
        }
    }

    /// Forgets a conversation; the peer is not told, for KCP has no word for it.
    pub(super) fn forget(&self, peer: SocketAddr, conv: u32) {
        let mut state = self.lock();
        if state.session(peer, conv).is_some() {
            state.bury(peer);
        }
    }

    /// Takes what arrives until the end; `accept` gets each conversation that a stranger begins.
    fn receive(self: &Arc<Self>, accept: Option<&Accept>) {
        let Some(socket) = self.lock().socket.clone() else { return };
        let mut buffer = [0; DATAGRAM];
        loop {
            let received = socket.recv_from(&mut buffer);
            if self.lock().is_stopping() {
                return;
            }
            match received {
                Ok((length, from)) => {
                    let Some(plain) = self.options.crypt.open(&mut buffer[..length]) else { continue };
                    let begun = self.handle_datagram(from, plain, accept.is_some());
                    if let (Some(stream), Some(accept)) = (begun, accept) {
                        accept(stream);
                    }
                }
                Err(error) if is_passing(error.kind()) => {}
                Err(_) => return self.lock().stop(),
            }
        }
    }

    fn handle_datagram(
        self: &Arc<Self>,
        from: SocketAddr,
        plain: &[u8],
        accepting: bool,
    ) -> Option<KcpStream> {
        let mut state = self.lock();
        let known = state.sessions.get(&from).map(|session| session.conversation.conv());
        let opening = opening(plain, self.options.sn).filter(|opening| {
            accepting && known != Some(opening.conv) && !state.gone.contains(&(from, opening.conv))
        });
        let begun = opening.map(|opening| self.begin(&mut state, from, opening, false));
        let session = state.sessions.get_mut(&from)?;
        session.conversation.handle_datagram(self.now(), plain, None);
        session.changed.notify_all();
        self.transmit(&mut state, from);
        begun
    }

    /// Sends what is due when it is due, until the end.
    fn keep_time(&self) {
        let mut state = self.lock();
        while !state.is_stopping() {
            let now = self.now();
            let is_due =
                |(peer, session): (&SocketAddr, &Session)| (session.poll_timeout() <= now).then_some(*peer);
            let due: Vec<SocketAddr> = state.sessions.iter().filter_map(is_due).collect();
            for peer in due {
                if let Some(session) = state.sessions.get_mut(&peer) {
                    session.handle_timeout(now);
                }
                self.transmit(&mut state, peer);
            }
            let next = state.sessions.values().map(Session::poll_timeout).min();
            state.wake_at = next.unwrap_or(Tick::NEVER).max(Tick(now.0 + 1));
            let timeout = (state.wake_at != Tick::NEVER).then(|| state.wake_at.since(now));
            state = wait(&self.timer, state, timeout);
        }
    }
}

/// Waits to be told, or until the timeout.
pub(super) fn wait<'s>(
    told: &Condvar,
    state: MutexGuard<'s, State>,
    timeout: Option<Duration>,
) -> MutexGuard<'s, State> {
    match timeout {
        Some(timeout) => told.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0,
        None => told.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}

/// Does the socket go on after this?
fn is_passing(kind: ErrorKind) -> bool {
    let refused = matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
    refused || matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The threads of a hub; dropped, they end, and with them every conversation, without a word to the peers.
#[derive(Debug)]
pub(super) struct Running {
    hub: Arc<Hub>,
    threads: Vec<JoinHandle<()>>,
}

/// What takes the conversations that strangers begin.
pub(super) type Accept = Box<dyn Fn(KcpStream) + Send>;

impl Running {
    /// Starts them; without `accept` strangers begin nothing.
    pub(super) fn start(hub: &Arc<Hub>, accept: Option<Accept>) -> io::Result<Self> {
        let mut running = Self { hub: Arc::clone(hub), threads: Vec::new() };
        let receiving = Arc::clone(hub);
        let timing = Arc::clone(hub);
        let thread = |name: &str| thread::Builder::new().name(name.into()).stack_size(256 << 10);
        running.threads.push(thread("kcp-receive").spawn(move || receiving.receive(accept.as_ref()))?);
        running.threads.push(thread("kcp-time").spawn(move || timing.keep_time())?);
        Ok(running)
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let socket = self.hub.lock().socket.clone();
        self.hub.lock().stop();
        self.hub.timer.notify_one();
        // The receiving thread sees it when something arrives, or else a little later.
        let mut address = self.hub.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        socket.map(|socket| socket.send_to(&[], address));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
