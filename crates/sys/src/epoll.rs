//! One epoll instance: who is ready, edge-triggered for sockets, exclusive for listeners.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self as raw, CreateFlags, EventData, EventFlags};

/// How many events one [`Poller::wait`] hands over at most.
pub const BATCH: usize = 256;

/// An epoll instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// What a registration is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Both directions and the peer's end, edge-triggered: woken once per change.
    Edge,
    /// Readable, level-triggered, and of all pollers that watch it only one or some are woken.
    Accept,
    /// Readable, level-triggered.
    Level,
    /// Readable, edge-triggered. The one for datagrams: a UDP socket is told that it is writable after
    /// every datagram that has left, so that with [`Interest::Edge`] each send would be an event.
    Arrivals,
    /// Readable or writable, level-triggered: for a datagram socket that had no room, until it has.
    Room,
}

/// What is ready on one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token given at registration.
    pub token: u64,
    /// There may be something to read (or an end, or an error).
    pub readable: bool,
    /// There may be room to write (or an error).
    pub writable: bool,
    /// The peer has ended its direction, or the connection is broken.
    pub ended: bool,
    /// The connection is broken, or both directions have ended.
    pub broken: bool,
    /// The connection is broken.
    pub failed: bool,
    /// Urgent data is queued: reads stop in front of it though more follows.
    pub urgent: bool,
}

/// Room for the events of one wait; reused from turn to turn.
#[derive(Debug)]
pub struct Events {
    raw: Vec<MaybeUninit<raw::Event>>,
    ready: Vec<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { raw: vec![MaybeUninit::uninit(); BATCH], ready: Vec::with_capacity(BATCH) }
    }
}

impl Events {
    /// The events of the last wait.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        &self.ready
    }
}

impl Poller {
    /// Makes an epoll instance, closed on exec.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: raw::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches `source` until it is closed or removed.
    pub fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(raw::add(&self.epoll, source, EventData::new_u64(token), flags(interest))?)
    }

    /// Watches a source that is watched already for something else from here on; not to or from
    /// [`Interest::Accept`].
    pub fn change(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(raw::modify(&self.epoll, source, EventData::new_u64(token), flags(interest))?)
    }

    /// Stops watching `source`.
    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(raw::delete(&self.epoll, source)?)
    }

    /// Waits until something is ready or `timeout` has passed (`None` = for ever), and fills `events`.
    ///
    /// A signal ends the wait with no events.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let Events { raw: slots, ready } = events;
        ready.clear();
        let limit = timeout.map(|t| rustix::event::Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let (seen, _) = match raw::wait(&self.epoll, slots.as_mut_slice(), limit.as_ref()) {
            Ok(halves) => halves,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ready.extend(seen.iter().map(|event| read(*event)));
        Ok(())
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Edge => {
            EventFlags::IN | EventFlags::PRI | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
        }
        Interest::Accept => EventFlags::IN | EventFlags::EXCLUSIVE,
        Interest::Level => EventFlags::IN,
        Interest::Arrivals => EventFlags::IN | EventFlags::ET,
        Interest::Room => EventFlags::IN | EventFlags::OUT,
    }
}

/// Translates the kernel's flags.
fn read(event: raw::Event) -> Event {
    let flags = event.flags;
    let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
    Event {
        token: event.data.u64(),
        readable: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
        writable: broken || flags.intersects(EventFlags::OUT),
        ended: broken || flags.intersects(EventFlags::RDHUP),
        broken,
        failed: flags.intersects(EventFlags::ERR),
        urgent: flags.intersects(EventFlags::PRI),
    }
}
