//! What arrives: bytes in order wait to be read, segments that came early wait for those before them.
//!
//! Memory is bounded by bytes, whatever the peer sends: in-order bytes by the receive window and one datagram,
//! early ones by as many segments of an Ethernet frame.

use std::collections::VecDeque;

use super::Settings;

/// The first size of the ring of early segments.
const EARLY_MIN: usize = 16;

/// So many bytes of a doubted peer may wait to be read, whatever came before.
const DOUBTED_QUEUE: usize = 64 * 1024;
/// Of what a doubted peer has sent in order, so much may be kept besides: a quarter.
const DOUBTED_SHARE: u64 = 4;

#[derive(Debug)]
pub(super) struct Receiver {
    /// The number of the next segment in order.
    next: u32,
    queue: VecDeque<u8>,
    /// Segments after [`Receiver::next`], by number; a power of two. Empty while there are none.
    early: Box<[Option<Box<[u8]>>]>,
    early_count: u32,
    early_bytes: usize,
    /// The window that the peer was last told.
    told: u16,
    /// The bytes that came in order from a peer whose address may be forged; `None`: it is not doubted.
    doubted: Option<u64>,
    /// Is memory short, and a doubted peer to be kept little of?
    tight: bool,
}

/// What became of a PUSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was the next one.
    InOrder,
    /// It was the next one, and early ones followed.
    GapFilled,
    /// It came before its turn.
    Early,
    /// It was here already.
    Duplicate,
    /// There is no room for it, or it is out of the window: not to be acknowledged.
    Refused,
}

impl Receiver {
    pub(super) fn new(sn: u32, settings: &Settings) -> Self {
        Self {
            next: sn,
            queue: VecDeque::new(),
            early: Box::default(),
            early_count: 0,
            early_bytes: 0,
            told: settings.receive_window,
            doubted: None,
            tight: false,
        }
    }

    /// Takes the peer for one that may be forged: whoever forges addresses sends for thousands of them.
    pub(super) fn doubt(&mut self) {
        self.doubted = Some(0);
    }

    /// Keeps as much as the windows allow.
    pub(super) fn trust(&mut self) {
        self.doubted = None;
    }

    /// Keeps little of a doubted peer, or as much as of any other.
    pub(super) fn tighten(&mut self, tight: bool) {
        self.tight = tight;
    }

    /// Is little to be kept? Then it says how much came in order from the peer.
    pub(super) fn stinted(&self) -> Option<u64> {
        self.doubted.filter(|_| self.tight)
    }

    /// How many bytes may wait to be read.
    fn queue_limit(&self, settings: &Settings) -> usize {
        settings
            .receive_limit()
            .min(self.doubtful_share().map_or(usize::MAX, |share| share.max(DOUBTED_QUEUE)))
    }

    /// How many bytes may have come before their turn.
    fn early_limit(&self, settings: &Settings) -> usize {
        settings.early_limit().min(self.doubtful_share().unwrap_or(usize::MAX))
    }

    /// Whoever has sent much in order, and so had it taken by an endpoint, may have a part of that kept.
    fn doubtful_share(&self) -> Option<usize> {
        Some(usize::try_from(self.stinted()? / DOUBTED_SHARE).unwrap_or(usize::MAX))
    }

    /// The number before which everything arrived.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// How many segments there is room for: bytes decide, since a segment may carry few.
    pub(super) fn window(&self, settings: &Settings) -> u16 {
        let free = self.queue_limit(settings).saturating_sub(self.queue.len());
        u16::try_from(free / settings.mss()).unwrap_or(u16::MAX)
    }

    /// The window, which the peer is being told.
    pub(super) fn tell(&mut self, settings: &Settings) -> u16 {
        self.told = self.window(settings);
        self.told
    }

    /// Was the window closed or nearly so when the peer last heard of it, and is it open wide now?
    pub(super) fn reopened(&self, settings: &Settings) -> bool {
        let size = u16::try_from(self.queue_limit(settings) / settings.mss()).unwrap_or(u16::MAX);
        (self.told == 0 || self.told < size / 4) && self.window(settings) >= (size / 2).max(1)
    }

    /// Takes a segment. What is next in order goes to `run` where it is given and nothing waits to be read.
    pub(super) fn push<'b>(
        &mut self,
        sn: u32,
        payload: &'b [u8],
        settings: &Settings,
        run: Option<&mut Vec<&'b [u8]>>,
    ) -> Arrival {
        let ahead = sn.wrapping_sub(self.next);
        if (ahead as i32) < 0 {
            return Arrival::Duplicate;
        }
        if ahead >= u32::from(settings.receive_window) {
            return Arrival::Refused;
        }
        if ahead > 0 {
            return self.keep(sn, ahead, payload, settings);
        }
        if self.queue.len() >= self.queue_limit(settings) {
            return Arrival::Refused;
        }
        if let Some(doubted) = &mut self.doubted {
            *doubted += payload.len() as u64;
        }
        match run {
            Some(run) if self.queue.is_empty() => {
                if !payload.is_empty() {
                    run.push(payload);
                }
            }
            _ => self.queue.extend(payload),
        }
        self.next = self.next.wrapping_add(1);
        if self.follow() { Arrival::GapFilled } else { Arrival::InOrder }
    }

    pub(super) fn readable(&self) -> &[u8] {
        let (front, back) = self.queue.as_slices();
        if front.is_empty() { back } else { front }
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.queue.drain(..count.min(self.queue.len()));
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Puts bytes back in front of those that wait.
    pub(super) fn restore(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
        self.queue.rotate_right(bytes.len());
    }

    /// Bytes that are held, in order and early.
    pub(super) fn held(&self) -> usize {
        self.queue.len() + self.early_bytes
    }

    /// Does it hold no memory?
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.queue.capacity() == 0 && self.early.is_empty()
    }

    fn keep(&mut self, sn: u32, ahead: u32, payload: &[u8], settings: &Settings) -> Arrival {
        if self.early_bytes + payload.len() > self.early_limit(settings) {
            return Arrival::Refused;
        }
        if ahead as usize >= self.early.len() {
            self.grow(ahead as usize + 1);
        }
        let mask = self.early.len().wrapping_sub(1);
        match self.early.get_mut(sn as usize & mask) {
            Some(slot @ None) => *slot = Some(payload.into()),
            Some(Some(_)) => return Arrival::Duplicate,
            None => return Arrival::Refused,
        }
        self.early_count += 1;
        self.early_bytes += payload.len();
        Arrival::Early
    }

    /// Moves early segments whose turn has come.
    fn follow(&mut self) -> bool {
        let mut any = false;
        while self.early_count > 0 {
            let mask = self.early.len().wrapping_sub(1);
            let Some(payload) = self.early.get_mut(self.next as usize & mask).and_then(Option::take) else {
                break;
            };
            self.queue.extend(&*payload);
            self.early_count -= 1;
            self.early_bytes -= payload.len();
            self.next = self.next.wrapping_add(1);
            any = true;
        }
        if self.early_count == 0 && !self.early.is_empty() {
            self.early = Box::default();
        }
        any
    }

    fn grow(&mut self, least: usize) {
        let old = std::mem::take(&mut self.early);
        let (size, mask) = (least.next_power_of_two().max(EARLY_MIN), old.len().wrapping_sub(1));
        let mut early: Box<[Option<Box<[u8]>>]> = vec![None; size].into_boxed_slice();
        let mut old = old;
        for step in 0..old.len() {
            let sn = self.next.wrapping_add(step as u32) as usize;
            if let (Some(from), Some(to)) = (old.get_mut(sn & mask), early.get_mut(sn & (size - 1))) {
                *to = from.take();
            }
        }
        self.early = early;
    }
}
