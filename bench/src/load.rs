//! The loads: each is a set of connections that one thread drives, and a count of what they got done.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::net::{EventFlags, Poller, connect, ready};
use crate::sealed::{Sealed, SealedTarget};

/// Bytes of one message.
pub(crate) const MESSAGE: usize = 64;

/// Where a load goes, and what must be said there first.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Sent once before anything else.
    pub(crate) hello: Vec<u8>,
    /// How many bytes answer the hello.
    pub(crate) answer: usize,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { address, hello: Vec::new(), answer: 0 }
    }
}

/// How long a load runs before and while it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// What a load got done within its window.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// Bytes, round trips or connections.
    pub(crate) units: u64,
    /// Connections that failed or ended early, in the warm-up too.
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    /// Microseconds of one unit, where a unit has a duration.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// CPU time of the proxy.
    pub(crate) cpu: Duration,
}

/// A kind of load.
pub(crate) trait Load {
    /// Something is ready on the connection of that slot.
    fn handle_event(&mut self, slot: usize, flags: EventFlags, poller: &Poller) -> io::Result<()>;
    fn tally(&mut self) -> &mut Tally;
}

/// What is counted.
pub(crate) struct Tally {
    units: u64,
    errors: u64,
    micros: Histogram<u64>,
}

impl Tally {
    fn new() -> io::Result<Self> {
        let micros = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)?;
        Ok(Self { units: 0, errors: 0, micros })
    }

    fn unit(&mut self, began: Instant) {
        self.units += 1;
        self.micros.saturating_record(began.elapsed().as_micros() as u64);
    }
}

/// Runs a load through its window; `cpu` tells the proxy's CPU time so far.
pub(crate) fn run(
    load: &mut dyn Load,
    poller: &Poller,
    window: Window,
    cpu: &dyn Fn() -> Duration,
) -> io::Result<Done> {
    drive(load, poller, window.warm_up)?;
    load.tally().units = 0;
    load.tally().micros.clear();
    let (began, cpu_before) = (Instant::now(), cpu());
    drive(load, poller, window.measure)?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu().saturating_sub(cpu_before));
    let Tally { units, errors, micros } = load.tally();
    let at = |quantile| micros.value_at_quantile(quantile);
    Ok(Done { units: *units, errors: *errors, seconds, p50: at(0.5), p99: at(0.99), cpu })
}

fn drive(load: &mut dyn Load, poller: &Poller, time: Duration) -> io::Result<()> {
    let until = Instant::now() + time;
    let mut events = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        poller.wait(&mut events, left)?;
        for &(slot, flags) in &events {
            load.handle_event(slot, flags, poller)?;
        }
    }
}

/// Connects, says the hello and waits for its answer; blocking.
pub(crate) fn open(target: &Target) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&target.hello)?;
    stream.read_exact(&mut vec![0; target.answer])?;
    Ok(stream)
}

/// Bytes from the endpoint to the client, as fast as they come.
pub(crate) struct Bulk<S> {
    streams: Vec<S>,
    buffer: Vec<u8>,
    tally: Tally,
}

impl Bulk<TcpStream> {
    pub(crate) fn open(target: &Target, connections: usize, poller: &Poller) -> io::Result<Self> {
        let streams = open_all(target, connections, poller)?;
        Ok(Self { streams, buffer: vec![0; 256 << 10], tally: Tally::new()? })
    }
}

impl Bulk<Sealed> {
    pub(crate) fn open_sealed(
        target: &SealedTarget,
        connections: usize,
        poller: &Poller,
    ) -> io::Result<Self> {
        let mut streams = Vec::new();
        for slot in 0..connections {
            let mut sealed = target.open()?;
            sealed.stream().set_nonblocking(true)?;
            poller.add(sealed.stream(), slot, EventFlags::IN)?;
            // What came behind the handshake waits in the library, of which no event tells.
            ready(sealed.read(&mut [0; 64 << 10]))?;
            streams.push(sealed);
        }
        Ok(Self { streams, buffer: vec![0; 256 << 10], tally: Tally::new()? })
    }
}

fn open_all(target: &Target, connections: usize, poller: &Poller) -> io::Result<Vec<TcpStream>> {
    let streams: Vec<TcpStream> = (0..connections).map(|_| open(target)).collect::<Result<_, _>>()?;
    for (slot, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true)?;
        poller.add(stream, slot, EventFlags::IN)?;
    }
    Ok(streams)
}

impl<S: Read> Load for Bulk<S> {
    fn handle_event(&mut self, slot: usize, _: EventFlags, _: &Poller) -> io::Result<()> {
        match ready(self.streams[slot].read(&mut self.buffer))? {
            Some(0) => Err(io::Error::other("a bulk connection ended early")),
            read => {
                self.tally.units += read.unwrap_or(0) as u64;
                Ok(())
            }
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// One message there and back, then the next.
pub(crate) struct PingPong {
    streams: Vec<(TcpStream, usize, Instant)>,
    tally: Tally,
}

impl PingPong {
    pub(crate) fn open(target: &Target, connections: usize, poller: &Poller) -> io::Result<Self> {
        let streams = open_all(target, connections, poller)?;
        for mut stream in &streams {
            stream.write_all(&[b'x'; MESSAGE])?;
        }
        let streams = streams.into_iter().map(|stream| (stream, 0, Instant::now())).collect();
        Ok(Self { streams, tally: Tally::new()? })
    }
}

impl Load for PingPong {
    fn handle_event(&mut self, slot: usize, _: EventFlags, _: &Poller) -> io::Result<()> {
        let (stream, seen, sent) = &mut self.streams[slot];
        match ready(stream.read(&mut [0; MESSAGE][*seen..]))? {
            Some(0) => return Err(io::Error::other("a ping-pong connection ended early")),
            read => *seen += read.unwrap_or(0),
        }
        if *seen == MESSAGE {
            self.tally.unit(*sent);
            (*seen, *sent) = (0, Instant::now());
            stream.write_all(&[b'x'; MESSAGE])?;
        }
        Ok(())
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// Connect, one message there and back, close; then again.
pub(crate) struct Churn {
    target: Target,
    /// The hello and the message in one write.
    said: Vec<u8>,
    slots: Vec<Slot>,
    opened: u64,
    tally: Tally,
}

struct Slot {
    stream: TcpStream,
    sent: bool,
    seen: usize,
    began: Instant,
}

impl Churn {
    pub(crate) fn open(target: &Target, slots: usize, poller: &Poller) -> io::Result<Self> {
        let said = [&target.hello[..], &[b'x'; MESSAGE]].concat();
        let mut churn =
            Self { target: target.clone(), said, slots: Vec::new(), opened: 0, tally: Tally::new()? };
        for slot in 0..slots {
            let fresh = churn.connect(slot, poller)?;
            churn.slots.push(fresh);
        }
        Ok(churn)
    }

    /// Many source addresses, so that the ports of closed connections have their minute to come back.
    fn connect(&mut self, slot: usize, poller: &Poller) -> io::Result<Slot> {
        self.opened += 1;
        let source = Ipv4Addr::new(127, 0, 1, 1 + (self.opened % 32) as u8);
        let stream = connect(self.target.address, Some(IpAddr::V4(source)))?;
        poller.add(&stream, slot, EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
        Ok(Slot { stream, sent: false, seen: 0, began: Instant::now() })
    }

    /// Writes once, then reads; `true` when the answer is whole.
    fn step(&mut self, slot: usize) -> io::Result<bool> {
        let want = self.target.answer + MESSAGE;
        let Slot { stream, sent, seen, .. } = &mut self.slots[slot];
        if !*sent {
            match ready(stream.write(&self.said))? {
                Some(wrote) if wrote == self.said.len() => *sent = true,
                Some(_) => return Err(io::Error::other("a first message was not taken whole")),
                None => return Ok(false),
            }
        }
        let mut buffer = [0; 512];
        match ready(stream.read(&mut buffer))? {
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => *seen += read.unwrap_or(0),
        }
        Ok(*seen >= want)
    }
}

impl Load for Churn {
    fn handle_event(&mut self, slot: usize, _: EventFlags, poller: &Poller) -> io::Result<()> {
        match self.step(slot) {
            Ok(false) => return Ok(()),
            Ok(true) => self.tally.unit(self.slots[slot].began),
            Err(_) => self.tally.errors += 1,
        }
        let fresh = self.connect(slot, poller)?;
        self.slots[slot] = fresh;
        Ok(())
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// Connect, shake hands, one message there and back, close; then again.
pub(crate) struct SealedChurn {
    target: SealedTarget,
    slots: Vec<(Sealed, usize, Instant)>,
    opened: u64,
    tally: Tally,
}

impl SealedChurn {
    pub(crate) fn open(target: &SealedTarget, slots: usize, poller: &Poller) -> io::Result<Self> {
        let mut churn = Self { target: target.clone(), slots: Vec::new(), opened: 0, tally: Tally::new()? };
        for slot in 0..slots {
            let fresh = churn.connect(slot, poller)?;
            churn.slots.push(fresh);
        }
        Ok(churn)
    }

    /// As [`Churn::connect`]; the message goes behind the handshake by itself.
    fn connect(&mut self, slot: usize, poller: &Poller) -> io::Result<(Sealed, usize, Instant)> {
        self.opened += 1;
        let source = Ipv4Addr::new(127, 0, 1, 1 + (self.opened % 32) as u8);
        let stream = connect(self.target.address, Some(IpAddr::V4(source)))?;
        poller.add(&stream, slot, EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
        let mut sealed = Sealed::new(stream, &self.target.config)?;
        ready(sealed.write(&[b'x'; MESSAGE]))?;
        Ok((sealed, 0, Instant::now()))
    }
}

impl Load for SealedChurn {
    fn handle_event(&mut self, slot: usize, _: EventFlags, poller: &Poller) -> io::Result<()> {
        let (sealed, seen, began) = &mut self.slots[slot];
        match ready(sealed.read(&mut [0; 512])) {
            Ok(Some(0)) | Err(_) => self.tally.errors += 1,
            Ok(read) => {
                *seen += read.unwrap_or(0);
                if *seen < MESSAGE {
                    return Ok(());
                }
                self.tally.unit(*began);
            }
        }
        let fresh = self.connect(slot, poller)?;
        self.slots[slot] = fresh;
        Ok(())
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
