//! The data plane of Portcullis: workers, sessions, legs and the relay.
//!
//! It owns every client and endpoint socket and goes on when the control plane does not. One thread per
//! core runs one epoll loop; a session is one struct in it; nothing here knows an async runtime, a name
//! server or a file. In go a [`Snapshot`] and bound [`Sockets`];
//! out comes a [`ProxyHandle`].

mod admission;
mod census;
mod device;
mod doors;
mod handle;
mod io;
mod leg;
mod line;
mod meter;
mod near;
mod outlet;
mod pool;
mod post;
mod probe;
mod relay;
mod ring;
mod session;
mod shards;
mod sockets;
mod tenants;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

use portcullis_core::snapshot::Snapshot;

pub use census::{Act, Met, Place, Visit, VisitError};
pub use device::DeviceQuestion;
pub use handle::{Asked, Event, NameError, Opened, ProxyHandle, Question, Refused, Told};
pub use meter::{
    Counts, Discard, EndpointCounts, FrameCounts, KcpCounts, ListenerCounts, PoolCounts, RTT_BOUNDS,
};
pub use outlet::Outlet;
pub use sockets::{BindError, Sockets};

use crate::handle::Shared;
use crate::io::Io;
use crate::worker::Worker;

/// What a data plane is made of.
#[derive(Debug)]
pub struct Parts {
    /// Routes and upstreams in force at first.
    pub snapshot: Arc<Snapshot>,
    /// The sockets to serve.
    pub sockets: Sockets,
    /// How many threads; at least 1.
    pub workers: usize,
    /// The most sessions at a time.
    pub sessions: u32,
}

/// Running workers.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<std::io::Result<()>>>,
}

/// A worker's loop itself has failed: a defect.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It panicked outside of a session's step.
    #[error("worker {0} panicked")]
    Panicked(usize),
    /// The kernel refused what the loop cannot do without.
    #[error("worker {worker} cannot go on")]
    Stopped {
        /// Which one.
        worker: usize,
        /// The kernel's word.
        #[source]
        source: std::io::Error,
    },
}

/// Starts the workers.
///
/// # Errors
/// The kernel's, when it has no thread, epoll or eventfd for us.
pub fn start(parts: Parts) -> std::io::Result<(ProxyHandle, Running)> {
    let workers = parts.workers.clamp(1, usize::from(u16::MAX));
    let shared = Arc::new(Shared::new(Arc::clone(&parts.snapshot), workers, parts.sessions)?);
    let handle = ProxyHandle { shared: Arc::clone(&shared) };
    let mut threads = Vec::with_capacity(workers);
    for index in 0..workers {
        let io = Io::new(u16::try_from(index).unwrap_or(u16::MAX), Arc::clone(&shared))?;
        let worker = Worker::new(io, Arc::clone(&parts.snapshot))?;
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        threads.push(thread.spawn(move || worker.run())?);
    }
    handle.apply(parts.snapshot, parts.sockets);
    Ok((handle, Running { threads }))
}

impl Running {
    /// Waits until every worker has ended, as it does after [`ProxyHandle::shut_down`].
    ///
    /// # Errors
    /// The first worker whose loop has failed.
    pub fn join(self) -> Result<(), WorkerError> {
        let mut first = Ok(());
        for (worker, thread) in self.threads.into_iter().enumerate() {
            let ended = match thread.join() {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(WorkerError::Stopped { worker, source }),
                Err(_) => Err(WorkerError::Panicked(worker)),
            };
            if first.is_ok() {
                first = ended;
            }
        }
        first
    }

    /// Has a worker ended, though nobody asked it to?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}
