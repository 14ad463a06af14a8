//! What stands behind the proxies: one thread that echoes on one port and floods on another.

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
}

/// Tokens of the two listeners; a connection's token is its slot and two.
const ECHO: usize = 0;
const SOURCE: usize = 1;

impl Server {
    /// Starts the thread; it lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let echo = listen()?;
        let source = listen()?;
        let server = Self { echo: echo.local_addr()?, source: source.local_addr()? };
        let mut serving = Serving {
            poller: Poller::new()?,
            sessions: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; CHUNK],
        };
        serving.poller.add(&echo, ECHO, EventFlags::IN)?;
        serving.poller.add(&source, SOURCE, EventFlags::IN)?;
        thread::Builder::new().name("endpoints".into()).spawn(move || {
            if let Err(error) = serving.run(&echo, &source) {
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
    sessions: Vec<Option<TcpStream>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Serving {
    fn run(&mut self, echo: &TcpListener, source: &TcpListener) -> io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.poller.wait(&mut events, Duration::from_secs(60))?;
            for &(token, flags) in &events {
                match token {
                    ECHO => self.accept(echo, EventFlags::IN)?,
                    SOURCE => self.accept(source, EventFlags::IN | EventFlags::OUT)?,
                    token => self.serve(token - 2, flags),
                }
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener, flags: EventFlags) -> io::Result<()> {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.sessions.push(None);
                self.sessions.len() - 1
            });
            self.poller.add(&stream, slot + 2, flags)?;
            self.sessions[slot] = Some(stream);
        }
        Ok(())
    }

    /// One read or one write; level-triggered, so what is left comes again.
    fn serve(&mut self, slot: usize, flags: EventFlags) {
        let Some(stream) = &self.sessions[slot] else { return };
        let alive = if flags.contains(EventFlags::OUT) {
            ready((&mut &*stream).write(&self.buffer)).is_ok()
        } else {
            echo(stream, &mut self.buffer)
        };
        if !alive {
            self.sessions[slot] = None;
            self.free.push(slot);
        }
    }
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
