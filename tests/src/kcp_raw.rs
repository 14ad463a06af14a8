//! KCP by hand: a client that says exactly what a test wants said, honest or not.
//!
//! Written from the wire's description and sharing nothing with the gateway's own: a fault there must not cancel
//! out. One segment a datagram, no forward error correction but where a test wraps a datagram itself.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::scene::hello;

/// Commands of a segment.
pub const PUSH: u8 = 81;
/// See [`PUSH`].
pub const ACK: u8 = 82;
/// See [`PUSH`]: asks for the window.
pub const WASK: u8 = 83;
/// See [`PUSH`]: tells the window.
pub const WINS: u8 = 84;

/// How long an honest exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// When what is not acknowledged is sent again.
const AGAIN: Duration = Duration::from_millis(50);
/// What an honest client puts into one segment at most.
const PIECE: usize = 1200;

/// One segment. Every field is as wrong as a test wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Names the session, with the address.
    pub conv: u32,
    /// PUSH, ACK, WASK or WINS.
    pub command: u8,
    /// How many fragments of the message follow.
    pub fragment: u8,
    /// How many segments the sender has room for.
    pub window: u16,
    /// The sender's clock in milliseconds; of an ACK, that of what it acknowledges.
    pub ts: u32,
    /// The number of a PUSH, or of what an ACK acknowledges.
    pub sn: u32,
    /// Everything below has arrived at the sender.
    pub una: u32,
    /// The content of a PUSH.
    pub payload: Vec<u8>,
}

impl Segment {
    /// A segment with a window of 128, and nothing in it.
    #[must_use]
    pub fn new(conv: u32, command: u8, sn: u32) -> Self {
        Self { conv, command, fragment: 0, window: 128, ts: 0, sn, una: 0, payload: Vec::new() }
    }

    /// A PUSH.
    #[must_use]
    pub fn push(conv: u32, sn: u32, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..Self::new(conv, PUSH, sn) }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.conv.to_le_bytes().to_vec();
        bytes.extend([self.command, self.fragment]);
        bytes.extend(self.window.to_le_bytes());
        for number in [self.ts, self.sn, self.una, u32::try_from(self.payload.len()).unwrap()] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// All segments of a datagram, which must be whole.
    #[must_use]
    pub fn all(mut datagram: &[u8]) -> Vec<Self> {
        let mut segments = Vec::new();
        while !datagram.is_empty() {
            let number = |at: usize| u32::from_le_bytes(datagram[at..at + 4].try_into().unwrap());
            let end = 24 + number(20) as usize;
            segments.push(Self {
                conv: number(0),
                command: datagram[4],
                fragment: datagram[5],
                window: u16::from_le_bytes([datagram[6], datagram[7]]),
                ts: number(8),
                sn: number(12),
                una: number(16),
                payload: datagram[24..end].to_vec(),
            });
            datagram = &datagram[end..];
        }
        segments
    }
}

/// A datagram as one data shard of forward error correction.
#[must_use]
pub fn framed(seqid: u32, segments: &[u8]) -> Vec<u8> {
    let size = u16::try_from(segments.len() + 2).unwrap();
    [&seqid.to_le_bytes()[..], &[0xf1, 0], &size.to_le_bytes(), segments].concat()
}

/// A client's side of one session, on a socket of its own.
#[derive(Debug)]
pub struct RawKcp {
    socket: UdpSocket,
    conv: u32,
    begun: Instant,
    /// The number of the next PUSH.
    sn: u32,
    /// What the other side has not acknowledged.
    open: BTreeMap<u32, Vec<u8>>,
    sent_again: Instant,
    /// The number of the next PUSH of the other side.
    next: u32,
    heard: Vec<u8>,
    /// Every WINS that came.
    told: u64,
    /// Bytes of datagrams, out and in.
    traffic: [u64; 2],
}

impl RawKcp {
    /// A client on 127.0.0.1 that has said nothing yet.
    #[must_use]
    pub fn new(to: SocketAddr, conv: u32) -> Self {
        Self::from(Ipv4Addr::LOCALHOST.into(), to, conv)
    }

    /// A client on a loopback address of its own choice.
    #[must_use]
    pub fn from(ip: IpAddr, to: SocketAddr, conv: u32) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(to).unwrap();
        Self::on(socket, conv)
    }

    /// A client on a connected socket.
    #[must_use]
    pub fn on(socket: UdpSocket, conv: u32) -> Self {
        let now = Instant::now();
        Self {
            socket,
            conv,
            begun: now,
            sn: 0,
            open: BTreeMap::new(),
            sent_again: now,
            next: 0,
            heard: Vec::new(),
            told: 0,
            traffic: [0; 2],
        }
    }

    /// Connects, says the key, and expects success.
    #[must_use]
    pub fn open(to: SocketAddr, conv: u32, key: impl AsRef<[u8]>) -> Self {
        let mut client = Self::new(to, conv);
        client.say(&hello(key));
        assert_eq!(client.hear(6), crate::scene::OK);
        client
    }

    /// The session's conv.
    #[must_use]
    pub fn conv(&self) -> u32 {
        self.conv
    }

    /// Its socket, for what is not honest.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The number of its next PUSH, and that of the other side's.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32) {
        (self.sn, self.next)
    }

    /// Bytes of datagrams that went out and came in.
    #[must_use]
    pub fn traffic(&self) -> [u64; 2] {
        self.traffic
    }

    /// How often the window was told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }

    /// A segment of this session, with what an honest client would put into it.
    #[must_use]
    pub fn segment(&self, command: u8, sn: u32, payload: &[u8]) -> Segment {
        let ts = self.begun.elapsed().as_millis() as u32;
        Segment { ts, una: self.next, payload: payload.to_vec(), ..Segment::new(self.conv, command, sn) }
    }

    /// Sends one datagram as it is; what the kernel says of it is of no interest.
    pub fn send(&mut self, datagram: &[u8]) {
        self.traffic[0] += datagram.len() as u64;
        self.socket.send(datagram).ok();
    }

    /// Sends bytes of the stream, and again until they are acknowledged, as far as somebody listens here.
    pub fn say(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.open.insert(self.sn, piece.to_vec());
            self.push(self.sn);
            self.sn += 1;
        }
    }

    /// Waits for the next bytes of the stream.
    pub fn hear(&mut self, length: usize) -> Vec<u8> {
        let heard = self.listen(PATIENCE, |client| client.heard.len() >= length);
        assert!(heard, "heard {} of {length} bytes: {:?}", self.heard.len(), self.heard);
        self.heard.drain(..length).collect()
    }

    /// Takes whatever comes within `time`; the bytes of the stream that are heard.
    pub fn hear_for(&mut self, time: Duration) -> Vec<u8> {
        self.listen(time, |_| false);
        std::mem::take(&mut self.heard)
    }

    /// Says and hears as many bytes back.
    pub fn ask(&mut self, question: &[u8]) -> Vec<u8> {
        self.say(question);
        self.hear(question.len())
    }

    /// Waits until everything it said is acknowledged.
    pub fn settle(&mut self) {
        assert!(self.listen(PATIENCE, |client| client.open.is_empty()), "{:?} stay open", self.open.keys());
    }

    /// Plays the honest client until `enough`, at most for `time`; says whether it was.
    pub fn listen(&mut self, time: Duration, enough: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut buffer = [0; 2048];
        while !enough(self) {
            if Instant::now() >= deadline {
                return false;
            }
            if self.sent_again.elapsed() >= AGAIN {
                self.sent_again = Instant::now();
                self.open.keys().copied().collect::<Vec<_>>().into_iter().for_each(|sn| self.push(sn));
            }
            if let Some(length) = self.receive(&mut buffer) {
                self.take(&buffer[..length]);
            }
        }
        true
    }

    /// Waits a few milliseconds for one datagram. One that is refused by the port is none.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        match self.socket.recv(buffer) {
            Ok(length) => {
                self.traffic[1] += length as u64;
                Some(length)
            }
            Err(error) if is_nothing(&error) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn take(&mut self, datagram: &[u8]) {
        for segment in Segment::all(datagram) {
            if segment.conv != self.conv {
                // Of an earlier session of the same socket.
                continue;
            }
            self.open.retain(|sn, _| *sn >= segment.una);
            match segment.command {
                PUSH => {
                    if segment.sn == self.next {
                        self.next += 1;
                        self.heard.extend(&segment.payload);
                    }
                    // Beyond the next one is not kept and so not acknowledged: it comes again.
                    if segment.sn < self.next {
                        let ack = Segment { ts: segment.ts, ..self.segment(ACK, segment.sn, b"") };
                        self.send(&ack.bytes());
                    }
                }
                ACK => drop(self.open.remove(&segment.sn)),
                WASK => {
                    let tell = self.segment(WINS, 0, b"");
                    self.send(&tell.bytes());
                }
                WINS => self.told += 1,
                command => panic!("the gateway says command {command}"),
            }
        }
    }

    fn push(&mut self, sn: u32) {
        let Some(payload) = self.open.get(&sn) else { return };
        let datagram = self.segment(PUSH, sn, payload).bytes();
        self.send(&datagram);
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused)
}
