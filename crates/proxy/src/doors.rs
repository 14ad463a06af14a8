//! A worker's listening sockets: taking connections, pausing without spinning, closing without losing any.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::snapshot::ListenerPlan;
use portcullis_sys::epoll::{Interest, Poller};
use portcullis_sys::socket::{Listener, Socket};
use portcullis_sys::wake::Wake;

use crate::handle::Service;
use crate::meter::Meter;
use crate::sockets::Port;

/// Connections taken at one door in one turn; then sessions have their turn.
const BATCH: usize = 64;

/// Files that nobody uses. Without a file left they are let go, so that whoever looks inside through the
/// admin listener finds one, and doors stay closed until they can be had again.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    files: Vec<Wake>,
}

/// Spare files of one worker.
const SPARE: usize = 4;

impl Spare {
    /// Takes them; all or none.
    pub(crate) fn take(&mut self) -> bool {
        while self.files.len() < SPARE {
            let Ok(file) = Wake::new() else {
                self.let_go();
                return false;
            };
            self.files.push(file);
        }
        true
    }

    /// Lets them go.
    pub(crate) fn let_go(&mut self) {
        self.files.clear();
    }
}

/// The doors of one worker.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    open: Vec<Arc<Door>>,
    paused: bool,
}

/// One listening socket and where its sessions go.
#[derive(Debug)]
pub(crate) struct Door {
    socket: Arc<Listener>,
    pub(crate) plan: Arc<ListenerPlan>,
    pub(crate) meter: Arc<Meter>,
}

/// Why taking stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Nobody is queued.
    Empty,
    /// The turn's share was taken.
    Batch,
    /// No file is left.
    NoFiles,
    /// The session maximum is reached.
    Full,
}

impl Doors {
    /// Puts a service in force and returns the doors that are gone, to be emptied.
    ///
    /// `base` is the token of the first door; door `n` has `base - n`.
    pub(crate) fn apply(
        &mut self,
        poller: &Poller,
        base: u64,
        service: &Service,
    ) -> io::Result<Vec<Arc<Door>>> {
        let mut gone = std::mem::take(&mut self.open);
        if !self.paused {
            // Tokens are places in the list, and the list is new.
            gone.iter().try_for_each(|door| poller.remove(&*door.socket))?;
        }
        for bound in service.sockets.iter() {
            if let (Port::Stream(socket), Some((plan, meter))) = (&bound.port, service.behind(bound)) {
                self.open.push(Arc::new(Door { socket: Arc::clone(socket), plan, meter }));
            }
        }
        gone.retain(|old| !self.open.iter().any(|new| Arc::ptr_eq(&new.socket, &old.socket)));
        gone.iter().for_each(|door| door.shut());
        if !self.paused {
            self.watch(poller, base)?;
        }
        Ok(gone)
    }

    /// Closes every door and returns them, to be emptied.
    pub(crate) fn close(&mut self, poller: &Poller) -> io::Result<Vec<Arc<Door>>> {
        let gone = std::mem::take(&mut self.open);
        if !self.paused {
            gone.iter().try_for_each(|door| poller.remove(&*door.socket))?;
        }
        gone.iter().for_each(|door| door.shut());
        Ok(gone)
    }

    /// Stops watching until [`Doors::resume`]: a full house must not be woken for every knock.
    pub(crate) fn pause(&mut self, poller: &Poller) -> io::Result<()> {
        if !self.paused {
            self.paused = true;
            self.open.iter().try_for_each(|door| poller.remove(&*door.socket))?;
        }
        Ok(())
    }

    /// Watches again.
    pub(crate) fn resume(&mut self, poller: &Poller, base: u64) -> io::Result<()> {
        if self.paused {
            self.paused = false;
            self.watch(poller, base)?;
        }
        Ok(())
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// All doors.
    pub(crate) fn all(&self) -> Vec<Arc<Door>> {
        self.open.clone()
    }

    /// The door of a token.
    pub(crate) fn find(&self, place: u64) -> Option<Arc<Door>> {
        self.open.get(usize::try_from(place).ok()?).map(Arc::clone)
    }

    fn watch(&self, poller: &Poller, base: u64) -> io::Result<()> {
        (0u64..)
            .zip(&self.open)
            .try_for_each(|(place, door)| poller.add(&*door.socket, base - place, Interest::Accept))
    }
}

impl Door {
    /// Nobody queues any more: one who came between the last look at the queue and the close would be reset.
    fn shut(&self) {
        // Where the kernel has no filters that moment stays, and is short.
        self.socket.close_queue().ok();
    }

    /// Takes what is queued, at most one batch, as long as `enter` gives permits.
    pub(crate) fn take<P>(
        &self,
        mut enter: impl FnMut() -> Option<P>,
        mut arrive: impl FnMut(Socket, SocketAddr, P),
    ) -> Stopped {
        for _ in 0..BATCH {
            let Some(permit) = enter() else { return Stopped::Full };
            match self.socket.accept() {
                Ok((socket, peer)) => arrive(socket, peer, permit),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Stopped::Empty,
                Err(error) if matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS | ENOMEM)) => {
                    return Stopped::NoFiles;
                }
                // The connection was gone before it was taken (accept(2) hands its error on).
                Err(_) => {}
            }
        }
        Stopped::Batch
    }
}

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;
