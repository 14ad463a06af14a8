//! What stands behind the proxies: one thread that echoes on one port, floods on another and drops on a third.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::net::{EventFlags, Poller, ready};

/// The most bytes in one read or write.
const CHUNK: usize = 256 << 10;

/// Where the endpoints listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Sends back what comes.
    pub(crate) echo: SocketAddr,
    /// Sends zeros as fast as they are taken.
    pub(crate) source: SocketAddr,
    /// Takes whatever comes.
    pub(crate) sink: SocketAddr,
}

/// What is done with a connection; a listener's token is its role, a connection's is its slot and three.
#[derive(Clone, Copy)]
enum Role {
    Echo,
    Source,
    Sink,
}
const ROLES: [Role; 3] = [Role::Echo, Role::Source, Role::Sink];

impl Server {
    /// Starts the thread; it lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let listeners = [listen()?, listen()?, listen()?];
        let [echo, source, sink] = listeners.each_ref().map(TcpListener::local_addr);
        let server = Self { echo: echo?, source: source?, sink: sink? };
        let mut serving = Serving {
            poller: Poller::new()?,
            sessions: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; CHUNK],
        };
        for (token, listener) in listeners.iter().enumerate() {
            serving.poller.add(listener, token, EventFlags::IN)?;
        }
        thread::Builder::new().name("endpoints".into()).spawn(move || {
            if let Err(error) = serving.run(&listeners) {
                eprintln!("the endpoints ended: {error}");
            }
        })?;
        Ok(server)
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // std's backlog of 128 is too short for 64 slots that all come back at once through a proxy.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Serving {
    poller: Poller,
    sessions: Vec<Option<(Role, TcpStream)>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Serving {
    fn run(&mut self, listeners: &[TcpListener; ROLES.len()]) -> io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.poller.wait(&mut events, Duration::from_secs(60))?;
            for &(token, flags) in &events {
                match token.checked_sub(ROLES.len()) {
                    None => self.accept(ROLES[token], &listeners[token])?,
                    Some(slot) => self.serve(slot, flags),
                }
            }
        }
    }

    fn accept(&mut self, role: Role, listener: &TcpListener) -> io::Result<()> {
        let flags = match role {
            Role::Echo | Role::Sink => EventFlags::IN,
            Role::Source => EventFlags::IN | EventFlags::OUT,
        };
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.sessions.push(None);
                self.sessions.len() - 1
            });
            self.poller.add(&stream, slot + ROLES.len(), flags)?;
            self.sessions[slot] = Some((role, stream));
        }
        Ok(())
    }

    /// One read or one write; level-triggered, so what is left comes again.
    fn serve(&mut self, slot: usize, flags: EventFlags) {
        let Some((role, stream)) = &self.sessions[slot] else { return };
        let alive = match role {
            Role::Echo => echo(stream, &mut self.buffer),
            Role::Source if flags.contains(EventFlags::OUT) => {
                ready((&mut &*stream).write(&self.buffer)).is_ok()
            }
            Role::Source | Role::Sink => swallow(stream, &mut self.buffer),
        };
        if !alive {
            self.sessions[slot] = None;
            self.free.push(slot);
        }
    }
}

/// Drops what has come; `false` when the connection is over.
fn swallow(mut stream: &TcpStream, buffer: &mut [u8]) -> bool {
    !matches!(ready(stream.read(buffer)), Ok(Some(0)) | Err(_))
}

/// Sends back what has come; `false` when the connection is over. Messages are far below a socket's buffer, so
/// a write that does not take one whole means a client that does not read: it is cut.
fn echo(mut stream: &TcpStream, buffer: &mut [u8]) -> bool {
    match ready(stream.read(buffer)) {
        Ok(None) => true,
        Ok(Some(0)) | Err(_) => false,
        Ok(Some(read)) => ready(stream.write(&buffer[..read])).is_ok_and(|wrote| wrote == Some(read)),
    }
}
