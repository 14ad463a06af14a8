//! One side of a conversation, ours or the oracle's (the `kcp` crate, a port of ikcp.c), behind the same few calls.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::{Arq, Origin, Settings, Start};
use portcullis_core::wire::kcp::outbox::Outbox;

pub const CONV: u32 = 0x1122_3344;

/// Datagrams, each a `Vec`.
pub type Datagrams = Vec<Vec<u8>>;

pub trait Peer {
    fn input(&mut self, now: u64, datagram: &[u8]);
    /// Everything that is due.
    fn flush(&mut self, now: u64) -> Datagrams;
    /// How many bytes it took.
    fn write(&mut self, bytes: &[u8]) -> usize;
    fn has_room(&self) -> bool;
    fn has_bytes(&self) -> bool;
    /// At most `most` bytes.
    fn read(&mut self, most: usize) -> Vec<u8>;
    /// When it wants to be flushed, if nothing happens before.
    fn timeout(&self, now: u64) -> u64;
    /// Has everything that was written arrived?
    fn is_done(&self) -> bool;
}

pub struct Ours {
    pub arq: Arq,
    /// What `handle_input` gave without a copy, in front of what `readable` has.
    run: Vec<u8>,
    pub settings: Settings,
    pub lent: bool,
    /// Calls of `poll_transmit`.
    pub polls: u64,
}

impl Ours {
    pub fn new(settings: &Settings, start: Start) -> Self {
        let arq = Arq::new(CONV, settings, start);
        Self { arq, run: Vec::new(), settings: *settings, lent: true, polls: 0 }
    }
}

impl Peer for Ours {
    fn input(&mut self, now: u64, datagram: &[u8]) {
        let mut run = Vec::new();
        let lent = self.lent.then_some(&mut run);
        self.arq.handle_input(Tick(now), datagram, Origin::Wire, lent).unwrap();
        // As a leg whose other side takes no more would do.
        let bytes = run.concat();
        if self.run.is_empty() && bytes.len() < 2000 {
            self.run = bytes;
        } else {
            self.arq.restore(&bytes);
        }
    }

    fn flush(&mut self, now: u64) -> Datagrams {
        let mut out = Outbox::default();
        loop {
            self.polls += 1;
            if !self.arq.poll_transmit(Tick(now), &mut out, 3, usize::MAX) {
                break;
            }
            assert!(out.len() <= 200_000, "an endless transmission");
        }
        let due = self.arq.poll_timeout();
        assert!(due > Tick(now), "drained at {now}, due at {due:?}: {:?}", self.arq);
        out.iter()
            .map(|datagram| {
                let (headroom, datagram) = datagram.split_at(3);
                assert!(headroom == [0; 3] && datagram.len() <= usize::from(self.settings.mtu.max(25)));
                datagram.to_vec()
            })
            .collect()
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.arq.write(bytes)
    }

    fn read(&mut self, most: usize) -> Vec<u8> {
        let mut read: Vec<u8> = self.run.drain(..most.min(self.run.len())).collect();
        while self.run.is_empty() && read.len() < most && !self.arq.readable().is_empty() {
            let part = self.arq.readable();
            let count = part.len().min(most - read.len());
            read.extend_from_slice(&part[..count]);
            self.arq.consume(count);
        }
        read
    }

    fn has_room(&self) -> bool {
        self.arq.has_room()
    }

    fn has_bytes(&self) -> bool {
        !self.run.is_empty() || !self.arq.readable().is_empty()
    }

    fn timeout(&self, _now: u64) -> u64 {
        self.arq.poll_timeout().0
    }

    fn is_done(&self) -> bool {
        self.arq.unacknowledged() == 0
    }
}

#[derive(Clone, Default)]
pub struct Wire(Rc<RefCell<Datagrams>>);

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Oracle {
    pub kcp: kcp::Kcp<Wire>,
    wire: Wire,
    read: Vec<u8>,
    window: usize,
}

impl Oracle {
    pub fn new(settings: &Settings) -> Self {
        let wire = Wire::default();
        let mut kcp = if settings.stream {
            kcp::Kcp::new_stream(CONV, wire.clone())
        } else {
            kcp::Kcp::new(CONV, wire.clone())
        };
        let interval = i32::from(settings.interval);
        kcp.set_nodelay(settings.nodelay, interval, i32::from(settings.resend), !settings.congestion);
        kcp.set_wndsize(settings.send_window, settings.receive_window);
        kcp.set_mtu(usize::from(settings.mtu)).unwrap();
        Self { kcp, wire, read: Vec::new(), window: usize::from(settings.send_window) }
    }

    /// The crate queues without a bound, and refuses a message of very many segments.
    pub fn room(&self) -> usize {
        (self.window * 2).saturating_sub(self.kcp.wait_snd()).min(32) * self.kcp.mss()
    }
}

impl Peer for Oracle {
    fn input(&mut self, now: u64, datagram: &[u8]) {
        self.kcp.update(now as u32).unwrap();
        self.kcp.input(datagram).unwrap();
    }

    fn flush(&mut self, now: u64) -> Datagrams {
        self.kcp.update(now as u32).unwrap();
        self.kcp.flush().unwrap();
        std::mem::take(&mut *self.wire.0.borrow_mut())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = &bytes[..bytes.len().min(room)];
        if taken.is_empty() { 0 } else { self.kcp.send(taken).unwrap() }
    }

    fn read(&mut self, most: usize) -> Vec<u8> {
        while self.read.len() < most {
            let Ok(size) = self.kcp.peeksize() else { break };
            let mut message = vec![0; size];
            self.kcp.recv(&mut message).unwrap();
            self.read.extend(message);
        }
        self.read.drain(..most.min(self.read.len())).collect()
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    fn has_bytes(&self) -> bool {
        !self.read.is_empty() || self.kcp.peeksize().is_ok()
    }

    fn timeout(&self, now: u64) -> u64 {
        now + u64::from(self.kcp.check(now as u32).max(1))
    }

    fn is_done(&self) -> bool {
        self.kcp.wait_snd() == 0
    }
}

/// Numbers that look like chance and come again with the same seed (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// True so many times of a thousand.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}
