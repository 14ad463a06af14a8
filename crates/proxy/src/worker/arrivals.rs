//! Taking in who waits at the doors, and pausing while there is no room.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::limit::entrance::Client;
use portcullis_core::wheel::Tick;

use crate::doors::{Door, Stopped};
use crate::handle::{Command, Event, Told};
use crate::leg::Leg;
use crate::session::Arrival;
use crate::worker::{DOORS, Worker};

/// How long accepting rests when no file was left and none of our own sessions ends before.
const PAUSE: Duration = Duration::from_millis(100);
/// A worker that has so many sessions more than the mean, and a quarter, gives newcomers away.
const BUSIER_BY: u32 = 32;

impl Worker {
    pub(super) fn take_from(&mut self, door: &Arc<Door>) -> io::Result<Stopped> {
        let mut arrived = Vec::new();
        let admission = Arc::clone(&self.io.shared.admission);
        let stopped =
            door.take(|| admission.enter(), |socket, peer, permit| arrived.push((socket, peer, permit)));
        for (socket, peer, mut permit) in arrived {
            let (plan, meter) = (Arc::clone(&door.plan), Arc::clone(&door.meter));
            meter.cell(usize::from(self.io.worker)).accepted.add(1);
            let client = Client { ip: peer.ip(), is_claimed: false };
            if let Err(reason) = self.io.admit(&plan, client, &mut permit) {
                self.io.turn_away(&meter, peer, reason);
                continue; // the connection is closed by the drop
            }
            let client = Leg::accepted(socket, &plan);
            let arrival = Arrival { client, peer, plan, snapshot: Arc::clone(&self.snapshot), meter, permit };
            match self.calmer_worker() {
                Some(other) => self.io.shared.mailboxes[other].put(Command::Adopt(Box::new(arrival))),
                None => self.greet(arrival),
            }
        }
        match stopped {
            Stopped::NoFiles => {
                self.spare.let_go();
                self.pause(Event::AcceptPausedNoFiles)?;
            }
            Stopped::Full => self.pause(Event::AcceptPausedFull)?,
            Stopped::Empty | Stopped::Batch => {
                if mem::take(&mut self.told_pause) {
                    self.io.told.push(Told::Event(Event::AcceptResumed));
                }
            }
        }
        Ok(stopped)
    }

    /// Another worker, when this one has clearly more sessions than the mean: the one with the fewest.
    fn calmer_worker(&self) -> Option<usize> {
        let loads = &self.io.shared.loads;
        let own = loads[usize::from(self.io.worker)].load(Ordering::Relaxed);
        let mean = self.io.shared.admission.live() / u32::try_from(loads.len()).unwrap_or(1).max(1);
        if loads.len() == 1 || own <= mean + mean / 4 + BUSIER_BY {
            return None;
        }
        (0..loads.len()).min_by_key(|index| loads[*index].load(Ordering::Relaxed))
    }

    fn pause(&mut self, event: Event) -> io::Result<()> {
        self.doors.pause(&self.io.poller)?;
        if !mem::replace(&mut self.told_pause, true) {
            self.io.shared.accept_pauses.fetch_add(1, Ordering::Relaxed);
            self.io.told.push(Told::Event(event));
        }
        self.io.shared.someone_paused.store(true, Ordering::Relaxed);
        self.resume_at = self.io.now.after(PAUSE);
        Ok(())
    }

    pub(super) fn resume(&mut self) -> io::Result<()> {
        if !self.spare.take() {
            self.resume_at = self.io.now.after(PAUSE);
            return Ok(());
        }
        self.resume_at = Tick::NEVER;
        self.doors.resume(&self.io.poller, DOORS)?;
        // Whoever waited is taken at once, and only a queue that is empty then shows that there is room again.
        for door in self.doors.all() {
            if !self.doors.is_paused() {
                self.take_from(&door)?;
            }
        }
        Ok(())
    }

    /// Takes what is still queued at doors that were closed, then lets them go: the last worker's drop
    /// closes the socket, and nobody who was let in is turned away.
    pub(super) fn empty_closed_doors(&mut self) -> io::Result<()> {
        if self.doors.is_paused() {
            return Ok(());
        }
        for door in mem::take(&mut self.closing) {
            if self.take_from(&door)? != Stopped::Empty {
                self.closing.push(door);
            }
        }
        if self.orders > 0 && self.closing.is_empty() {
            self.io.shared.closing.fetch_sub(mem::take(&mut self.orders), Ordering::Release);
        }
        Ok(())
    }
}
