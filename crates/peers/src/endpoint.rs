//! A TCP endpoint: one accept thread, one thread per connection, a service that says what it does.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub mod serve;

/// A listening endpoint. Dropping it stops it and cuts its connections.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    accepted: AtomicU64,
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Whatever binding fails with.
    pub fn start<S>(service: S) -> io::Result<Self>
    where
        S: Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), service)
    }

    /// Starts on `address`; `service` runs on a thread of its own for each connection, which is closed when
    /// the service returns. What the service fails with ends that connection only.
    ///
    /// # Errors
    /// Whatever binding fails with.
    pub fn bind<S>(address: SocketAddr, service: S) -> io::Result<Self>
    where
        S: Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = thread::Builder::new().name("endpoint".into()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &Arc::new(service))
        })?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// How many connections it serves at present.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.shared.open().len()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // The accept thread sees the flag when something connects; should this fail, the listener is gone
        // already and so is the thread.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            drop(accepting.join());
        }
        for stream in self.shared.open().values() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn accept<S>(listener: &TcpListener, shared: &Arc<Shared>, service: &Arc<S>)
where
    S: Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => {
                // Small answers leave at once; a socket that is closed already will tell its service.
                stream.set_nodelay(true).ok();
                Arc::new(stream)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {
                continue;
            }
            // Out of descriptors or worse: the listener closes, and clients see a refusal.
            Err(_) => return,
        };
        let id = shared.accepted.fetch_add(1, Ordering::AcqRel);
        shared.open().insert(id, Arc::clone(&stream));
        let spawned = thread::Builder::new().name("endpoint-session".into()).stack_size(256 << 10).spawn({
            let shared = Arc::clone(shared);
            let service = Arc::clone(service);
            move || {
                // A failed service is a connection that ended: the other side has seen it.
                service(&stream).ok();
                shared.open().remove(&id);
            }
        });
        if spawned.is_err() {
            shared.open().remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;
    use std::sync::mpsc;

    use super::*;
    use crate::TcpClient;

    #[test]
    fn an_echo_returns_everything_and_ends_after_its_client() {
        let endpoint = Endpoint::start(serve::echo).unwrap();
        let mut client = TcpClient::connect(endpoint.address()).unwrap();
        client.send(b"across").unwrap();
        client.stream().shutdown(Shutdown::Write).unwrap();
        let mut back = String::new();
        client.stream().read_to_string(&mut back).unwrap();
        assert_eq!((back.as_str(), endpoint.accepted()), ("across", 1));
    }

    #[test]
    fn hello_world_greets_and_reads_messages_however_they_are_cut() {
        let (told, heard) = mpsc::sync_channel(4);
        let service = serve::hello_world(Duration::from_millis(5), move |_, message| {
            told.send(message.to_vec()).unwrap()
        });
        let endpoint = Endpoint::start(service).unwrap();
        let mut client = TcpClient::connect(endpoint.address()).unwrap();
        let mut greeting = [0; 24];
        for part in [&[3, 0][..], &[0, 0, b'a'], b"bc\x01\0\0\0d"] {
            client.send(part).unwrap();
            client.stream().read_exact(&mut greeting).unwrap();
        }
        assert_eq!(&greeting, b"hello world\nhello world\n");
        assert_eq!((heard.recv().unwrap(), heard.recv().unwrap()), (b"abc".to_vec(), b"d".to_vec()));
    }

    #[test]
    fn a_dropped_endpoint_cuts_its_connections() {
        let endpoint = Endpoint::start(serve::sink).unwrap();
        let mut client = TcpClient::connect(endpoint.address()).unwrap();
        client.send(b"x").unwrap();
        while endpoint.serving() == 0 {
            thread::yield_now();
        }
        drop(endpoint);
        assert!(matches!(client.read_message(), Ok(None) | Err(_)));
    }
}
