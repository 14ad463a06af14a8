//! Many connections at a time, held without a thread each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this test open as many files as it may.
pub fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// An endpoint that takes connections and keeps them, silent.
#[derive(Debug)]
pub struct Holder {
    address: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Holder {
    /// Starts on a free port of loopback.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // std's backlog is 128, and a crowd comes at once.
        rustix::net::listen(&listener, 8192).unwrap();
        let address = listener.local_addr().unwrap();
        let (held, stopping) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let accepting = thread::spawn({
            let (held, stopping) = (Arc::clone(&held), Arc::clone(&stopping));
            move || {
                while let Ok((stream, _)) = listener.accept() {
                    if stopping.load(Ordering::Acquire) {
                        return;
                    }
                    held.lock().unwrap().push(stream);
                }
            }
        });
        Self { address, held, stopping, accepting: Some(accepting) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken and still keeps.
    #[must_use]
    pub fn count(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// Gives the connections away.
    #[must_use]
    pub fn take(&self) -> Vec<TcpStream> {
        std::mem::take(&mut self.held.lock().unwrap())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if TcpStream::connect(self.address).is_ok() {
            self.accepting.take().map(JoinHandle::join);
        }
    }
}

/// Opens `count` connections, one after the other.
///
/// # Errors
/// What the first one that fails says.
pub fn connect_all(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| TcpStream::connect(to)).collect()
}

/// The quantile of durations, `at` between 0 and 1.
#[must_use]
pub fn quantile<T: Ord + Copy>(values: &[T], at: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * at).round() as usize]
}
