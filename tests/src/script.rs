//! Scripts: who sends how much, who ends how and when. The same script is played over a direct connection and
//! through the gateway, and what each side has seen must be equal.
//!
//! One thread drives both sides, so that the order of the steps is the script's and nobody else's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

/// How long one step may take.
const STEP_WITHIN: Duration = Duration::from_secs(20);

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who connected.
    Client,
    /// Who accepted.
    Endpoint,
}

/// One step. Steps that wait, wait for the event; all others take place at once.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The endpoint takes the connection; until then only the client can act.
    Accept,
    /// A MiB each way, so that a path for large flows has every reason to be in use.
    Warm,
    /// Hands this many more bytes to the kernel, as it takes them.
    Send(Side, usize),
    /// The same, with the end of the direction in the last segment.
    SendFin(Side, usize),
    /// Ends the direction.
    Fin(Side),
    /// Closes the socket, whatever is unread.
    Close(Side),
    /// Cuts the connection.
    Reset(Side),
    /// Stops reading.
    Hold(Side),
    /// Reads on.
    Resume(Side),
    /// Waits until the side has received this many bytes since the last `Got` of that side.
    Got(Side, usize),
    /// Waits until the side has seen the other's end, of either kind.
    Ended(Side),
    /// Waits until the side cannot write any more.
    Broken(Side),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Fin,
    /// With a reset.
    Reset,
}

/// What one side has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Bytes received.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
    /// The first end it saw.
    pub end: Option<End>,
    /// Has writing failed?
    pub broken: bool,
}

/// What both sides have seen, and the step that never came true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The client's part.
    pub client: Seen,
    /// The endpoint's part.
    pub endpoint: Seen,
    /// The index of the step at which the script stopped.
    pub stuck: Option<usize>,
}

/// Plays a script: connects to `to`, says `hello` glued to the first bytes the client sends, and expects the
/// connection at `listener`.
pub fn play(to: SocketAddr, hello: &[u8], listener: &TcpListener, steps: &[Step]) -> Played {
    listener.set_nonblocking(true).unwrap();
    let stream = TcpStream::connect(to).unwrap();
    let mut stage = Stage { client: Peer::new(Some(stream), 1), endpoint: Peer::new(None, 2) };
    if !hello.is_empty() {
        let glued =
            matches!(steps.first(), Some(Step::Send(Side::Client, _) | Step::SendFin(Side::Client, _)));
        stage.client.say(hello, glued);
    }
    let stuck = steps.iter().position(|step| !stage.step(*step, listener));
    Played { client: stage.client.seen(), endpoint: stage.endpoint.seen(), stuck }
}

struct Stage {
    client: Peer,
    endpoint: Peer,
}

impl Stage {
    /// Plays one step; `false` when what it waits for did not come.
    fn step(&mut self, step: Step, listener: &TcpListener) -> bool {
        match step {
            Step::Accept => {
                let accepted = crate::within(STEP_WITHIN, || listener.accept().ok());
                self.endpoint.stream = accepted.map(|(stream, _)| prepare(stream));
                self.endpoint.stream.is_some()
            }
            Step::Warm => [Side::Client, Side::Endpoint].into_iter().all(|from| {
                let to = if from == Side::Client { Side::Endpoint } else { Side::Client };
                self.step(Step::Send(from, 1 << 20), listener) && self.step(Step::Got(to, 1 << 20), listener)
            }),
            Step::Send(side, bytes) => {
                self.peer(side).unsent += bytes as u64;
                // What does not fit goes out while later steps wait.
                self.turn(Duration::ZERO);
                true
            }
            Step::SendFin(side, bytes) => {
                self.peer(side).send_with_end(bytes);
                true
            }
            Step::Fin(side) => self.flushed(side, |peer| peer.shut()),
            Step::Close(side) => self.flushed(side, |peer| peer.stream = None),
            Step::Reset(side) => self.flushed(side, Peer::reset),
            Step::Hold(side) => {
                self.peer(side).holding = true;
                true
            }
            Step::Resume(side) => {
                self.peer(side).holding = false;
                true
            }
            Step::Got(side, bytes) => {
                self.peer(side).wanted += bytes as u64;
                self.wait(|stage| stage.peer(side).received >= stage.peer(side).wanted)
            }
            Step::Ended(side) => self.wait(|stage| stage.peer(side).end.is_some()),
            Step::Broken(side) => self.wait(|stage| {
                stage.peer(side).unsent = stage.peer(side).unsent.max(1);
                stage.peer(side).broken
            }),
        }
    }

    /// Acts when everything the side has to send is with the kernel.
    fn flushed(&mut self, side: Side, act: impl FnOnce(&mut Peer)) -> bool {
        let flushed = self.wait(|stage| stage.peer(side).unsent == 0 || stage.peer(side).broken);
        act(self.peer(side));
        flushed
    }

    fn wait(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + STEP_WITHIN;
        while !done(self) {
            if Instant::now() > deadline {
                return false;
            }
            self.turn(Duration::from_millis(20));
        }
        true
    }

    /// Moves what can be moved on either side.
    fn turn(&mut self, time: Duration) {
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        let mut waited: Vec<PollFd<'_>> =
            [&self.client, &self.endpoint].into_iter().filter_map(Peer::interest).collect();
        poll(&mut waited, Some(&time)).unwrap();
        self.client.turn();
        self.endpoint.turn();
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Endpoint => &mut self.endpoint,
        }
    }
}

/// One end of a connection that never blocks.
pub(crate) struct Peer {
    pub(crate) stream: Option<TcpStream>,
    salt: usize,
    pub(crate) unsent: u64,
    sent: u64,
    received: u64,
    wanted: u64,
    hash: digest::Context,
    end: Option<End>,
    broken: bool,
    holding: bool,
}

impl Peer {
    fn new(stream: Option<TcpStream>, salt: usize) -> Self {
        Self {
            stream: stream.map(prepare),
            salt,
            unsent: 0,
            sent: 0,
            received: 0,
            wanted: 0,
            hash: digest::Context::new(&digest::SHA256),
            end: None,
            broken: false,
            holding: false,
        }
    }

    /// Sends bytes that are no part of the script; `glued`: to be sent with what follows.
    fn say(&mut self, bytes: &[u8], glued: bool) {
        let Some(stream) = &self.stream else { return };
        let flags = if glued { SendFlags::MORE } else { SendFlags::empty() };
        assert_eq!(rustix::net::send(stream, bytes, flags), Ok(bytes.len()));
    }

    fn interest(&self) -> Option<PollFd<'_>> {
        let stream = self.stream.as_ref()?;
        let mut flags = PollFlags::empty();
        if !self.holding && self.end.is_none() {
            flags |= PollFlags::IN;
        }
        if self.unsent > 0 && !self.broken {
            flags |= PollFlags::OUT;
        }
        // A broken socket is always ready, and polling it would be spinning.
        (!flags.is_empty()).then(|| PollFd::new(stream, flags))
    }

    fn turn(&mut self) {
        self.write();
        self.read();
    }

    fn write(&mut self) {
        let Some(mut stream) = self.stream.as_ref() else { return };
        while self.unsent > 0 && !self.broken {
            let piece = pattern(self.salt, self.sent, self.unsent.min(64 << 10) as usize);
            match stream.write(piece) {
                Ok(wrote) => {
                    self.sent += wrote as u64;
                    self.unsent -= wrote as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.broken = true,
            }
        }
    }

    fn read(&mut self) {
        let Some(mut stream) = self.stream.as_ref() else { return };
        let mut buffer = [0; 64 << 10];
        while !self.holding && self.end.is_none() {
            match stream.read(&mut buffer) {
                Ok(0) => self.end = Some(End::Fin),
                Ok(read) => {
                    self.received += read as u64;
                    self.hash.update(&buffer[..read]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = Some(End::Reset),
            }
        }
    }

    /// The kernel keeps what is sent with MSG_MORE until the shutdown that follows puts the FIN behind it.
    fn send_with_end(&mut self, bytes: usize) {
        let Some(stream) = self.stream.as_ref() else { return };
        let piece = pattern(self.salt, self.sent, bytes);
        assert_eq!(rustix::net::send(stream, piece, SendFlags::MORE), Ok(bytes), "it fits a socket's buffer");
        self.sent += bytes as u64;
        self.shut();
    }

    fn shut(&mut self) {
        // The other side may have cut the connection: then there is nothing left to end.
        self.broken |= self.stream.as_ref().is_some_and(|stream| stream.shutdown(Shutdown::Write).is_err());
    }

    fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            cut(stream);
        }
    }

    fn seen(&self) -> Seen {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.hash.clone().finish().as_ref());
        Seen { bytes: self.received, digest, end: self.end, broken: self.broken }
    }
}

/// Closes a connection with a RST.
pub fn cut(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn prepare(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Length of the pattern's period: a prime, so that a piece that is lost, doubled or swapped shows.
const PERIOD: usize = 1_048_573;

/// The bytes at `offset` of the stream of `salt`; at most 1 MiB at a time.
#[must_use]
pub fn pattern(salt: usize, offset: u64, length: usize) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                // xorshift64: no byte's neighbours tell where it stands.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        bytes.extend_from_within(..);
        bytes.extend_from_within(..(1 << 20));
        bytes
    });
    let from = (offset as usize + salt * 7919) % PERIOD;
    &bytes[from..from + length]
}

/// Reads to the end; what came and how it ended.
///
/// # Errors
/// Time-outs, as [`ErrorKind::WouldBlock`].
pub fn read_to_end(mut stream: &TcpStream) -> io::Result<(Vec<u8>, End)> {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok((seen, End::Fin)),
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(error);
            }
            Err(_) => return Ok((seen, End::Reset)),
        }
    }
}
