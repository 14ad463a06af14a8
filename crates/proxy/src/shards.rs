//! A worker's share of the datagram ports: who is known at each, and what is on its way out.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portcullis_core::limit::bucket::Rate;
use portcullis_core::snapshot::ListenerPlan;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::crypt::{Crypt, NonceSource};
use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_core::wire::kcp::roster::{self, Roster};
use portcullis_core::wire::kcp::segment::{Command, Segment};
use portcullis_sys::datagram::{Datagrams, Inbox, Local};
use portcullis_sys::epoll::{Interest, Poller};

use crate::handle::Service;
use crate::leg::Terms;
use crate::meter::Meter;
use crate::post::{Course, Post};
use crate::sockets::Port;

/// The shards of one worker, by number; a number is free again once its last session has left.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    list: Vec<Option<Shard>>,
}

/// One socket of a datagram port, this worker's.
#[derive(Debug)]
pub(crate) struct Shard {
    group: Arc<[Datagrams]>,
    worker: usize,
    pub(crate) plan: Arc<ListenerPlan>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) terms: Terms,
    /// The ciphers of earlier configurations, newest first, while sessions speak them.
    earlier: Vec<Weak<Crypt>>,
    pub(crate) roster: Roster,
    post: Post,
    /// What the socket is watched under.
    token: u64,
    /// Is the socket watched for room as well?
    awaits_room: bool,
    closing: bool,
}

/// Where a session's datagrams go, and which of our addresses they come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) shard: u32,
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<Local>,
}

impl Seat {
    fn course(&self) -> Course {
        Course { to: Some(self.to), from: self.from }
    }
}

impl Shards {
    /// Puts a service in force: new shards are watched under `base - number`, those that are gone take no
    /// newcomers and stay until their sessions have ended.
    pub(crate) fn apply(
        &mut self,
        poller: &Poller,
        base: u64,
        worker: usize,
        service: &Service,
    ) -> io::Result<()> {
        self.close();
        for bound in service.sockets.iter() {
            let Port::Datagrams(group) = &bound.port else { continue };
            let Some((plan, meter)) = service.behind(bound) else { continue };
            let (Some(settings), Some(crypt)) = (plan.settings.kcp.clone(), plan.crypt.clone()) else {
                continue;
            };
            let terms = Terms { settings, crypt };
            if let Some(known) = self.list.iter_mut().flatten().find(|known| Arc::ptr_eq(&known.group, group))
            {
                known.resume(plan, meter, terms);
                continue;
            }
            let mut shard = Shard::new(Arc::clone(group), worker, (plan, meter, terms));
            let number = self.list.iter().position(Option::is_none).unwrap_or(self.list.len());
            shard.token = base - number as u64;
            if let Some(socket) = shard.socket() {
                poller.add(socket, shard.token, Interest::Arrivals)?;
            }
            match self.list.get_mut(number) {
                Some(place) => *place = Some(shard),
                None => self.list.push(Some(shard)),
            }
        }
        self.sweep(poller);
        Ok(())
    }

    /// Takes no newcomers any more.
    pub(crate) fn close(&mut self) {
        for shard in self.list.iter_mut().flatten() {
            shard.closing = true;
            shard.roster.close();
        }
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&mut Shard> {
        self.list.get_mut(number as usize)?.as_mut()
    }

    /// Lets go of the session at a seat; what still comes for it within `tombstone` is dropped.
    pub(crate) fn leave(&mut self, now: Tick, seat: &Seat, conv: u32, tombstone: Option<Duration>) {
        if let Some(shard) = self.get(seat.shard) {
            shard.roster.leave(now, seat.to, conv, tombstone);
        }
    }

    /// Sends what the turn has gathered.
    pub(crate) fn flush(&mut self, poller: &Poller) {
        self.list.iter_mut().flatten().for_each(|shard| shard.flush(poller));
        self.sweep(poller);
    }

    /// Closes the shards that are gone from the configuration and whose sessions have ended.
    fn sweep(&mut self, poller: &Poller) {
        for place in &mut self.list {
            if let Some(shard) = place.take_if(|shard| shard.closing && shard.roster.is_empty())
                && let Some(socket) = shard.socket()
            {
                // It stays open while another worker has sessions there; nobody here would read it. Removing fails
                // only for what is not watched.
                drop(poller.remove(socket));
            }
        }
    }
}

impl Shard {
    fn new(
        group: Arc<[Datagrams]>,
        worker: usize,
        (plan, meter, terms): (Arc<ListenerPlan>, Arc<Meter>, Terms),
    ) -> Self {
        let newcomers = newcomers(&terms, group.len());
        let roster = Roster::new(&roster::Settings { newcomers, ..roster::Settings::default() });
        Self {
            group,
            worker,
            plan,
            meter,
            terms,
            earlier: Vec::new(),
            roster,
            post: Post::default(),
            token: 0,
            awaits_room: false,
            closing: false,
        }
    }

    fn resume(&mut self, plan: Arc<ListenerPlan>, meter: Arc<Meter>, terms: Terms) {
        self.closing = false;
        self.roster.open();
        self.roster.pace(newcomers(&terms, self.group.len()));
        let before = std::mem::replace(&mut self.terms, terms);
        if open_each_other(&before.crypt, &self.terms.crypt) {
            self.terms.crypt = before.crypt;
        } else {
            self.earlier.insert(0, Arc::downgrade(&before.crypt));
        }
        (self.plan, self.meter) = (plan, meter);
    }

    /// This worker's socket of the group.
    pub(crate) fn socket(&self) -> Option<&Datagrams> {
        self.group.get(self.worker)
    }

    /// Takes what has come with one system call.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        self.socket().map_or(Err(io::ErrorKind::WouldBlock.into()), |socket| socket.receive(inbox))
    }

    /// Takes the cipher's header off, in place; `None`: no cipher in force here has made it. `scratch` is for a
    /// second try. Says by which cipher, where sessions speak more than one.
    pub(crate) fn open<'b>(
        &mut self,
        datagram: &'b mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Option<(&'b [u8], Option<Arc<Crypt>>)> {
        // Those that no session speaks any more are gone.
        self.earlier.retain(|crypt| crypt.strong_count() > 0);
        if self.earlier.is_empty() {
            return self.terms.crypt.open(datagram).map(|plain| (&*plain, None));
        }
        let mut opens = |crypt: &Arc<Crypt>| {
            scratch.clear();
            scratch.extend_from_slice(datagram);
            crypt.open(scratch).is_some()
        };
        let earlier = self.earlier.iter().filter_map(Weak::upgrade);
        let crypt =
            std::iter::once(Arc::clone(&self.terms.crypt)).chain(earlier).find(|crypt| opens(crypt))?;
        crypt.open(datagram).map(|plain| (&*plain, Some(Arc::clone(&crypt))))
    }

    /// Gathers what a conversation has to say, and returns how many datagrams that were.
    pub(crate) fn gather(&mut self, seat: &Seat, write: impl FnOnce(&mut Outbox)) -> usize {
        self.post.gather(seat.course(), write)
    }

    /// Answers the question of a stranger whether somebody is here: a WINS that says so, of nobody's session.
    pub(crate) fn answer(&mut self, seat: &Seat, conv: u32, nonces: &mut NonceSource) {
        let crypt = &self.terms.crypt;
        let window = self.terms.settings.arq.receive_window;
        let command = Command::WindowTell;
        let tell = Segment { conv, command, fragment: 0, window, ts: 0, sn: 0, una: 0, payload: &[] };
        self.post.gather(seat.course(), |out| {
            out.begin(crypt.overhead());
            tell.write(out);
            out.finish();
            let last = out.len() - 1;
            crypt.seal(out.datagram_mut(last), nonces.draw());
        });
    }

    /// Sends what was gathered; what the kernel has no room for waits until the socket is writable.
    fn flush(&mut self, poller: &Poller) {
        let Some(socket) = self.group.get(self.worker) else { return };
        let lost = self.post.flush(socket);
        if lost > 0 {
            self.meter.cell(self.worker).kcp.full.add(lost);
        }
        if self.post.waits() != self.awaits_room {
            let interest = if self.awaits_room { Interest::Arrivals } else { Interest::Room };
            // Where it fails the next turn tries again.
            self.awaits_room ^= poller.change(socket, self.token, interest).is_ok();
        }
    }
}

/// This shard's part of the rate at which a network may open sessions: the kernel spreads its clients evenly.
fn newcomers(terms: &Terms, shards: usize) -> Rate {
    let open = terms.settings.open_rate;
    let shards = u32::try_from(shards).unwrap_or(1).max(1);
    Rate::new(open.rate.count.get(), open.rate.per * shards, (open.burst / shards).max(1))
}

/// Are these one cipher with one key?
pub(crate) fn open_each_other(one: &Crypt, other: &Crypt) -> bool {
    let mut datagram = vec![0; one.overhead() + 16];
    one.seal(&mut datagram, [0; 16]);
    other.open(&mut datagram).is_some_and(|plain| *plain == [0; 16]) && one.cipher() == other.cipher()
}
