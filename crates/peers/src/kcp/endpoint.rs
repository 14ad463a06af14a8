//! A KCP endpoint: many conversations on one socket, one thread for each, a service that says what it does.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::hub::{Hub, Running};
use super::{KcpOptions, KcpStream};

/// How long what a service has written may take to arrive after it has returned.
const LINGER: Duration = Duration::from_secs(5);

/// A listening endpoint. Dropping it frees the port and forgets the conversations, without a word to the clients.
#[derive(Debug)]
pub struct KcpEndpoint {
    accepted: Arc<AtomicU64>,
    running: Running,
}

impl KcpEndpoint {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Whatever binding fails with.
    pub fn start<S>(options: &KcpOptions, service: S) -> io::Result<Self>
    where
        S: Fn(&KcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), options, service)
    }

    /// Starts on `address`; `service` runs on a thread of its own for each conversation, which is forgotten when the
    /// service has returned and its bytes are acknowledged, at most 5 s later. As in kcp-go an address has one
    /// conversation, and another number from there replaces it.
    ///
    /// # Errors
    /// Whatever binding fails with.
    pub fn bind<S>(address: SocketAddr, options: &KcpOptions, service: S) -> io::Result<Self>
    where
        S: Fn(&KcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        let hub = Arc::new(Hub::new(UdpSocket::bind(address)?, options)?);
        let (accepted, service) = (Arc::new(AtomicU64::new(0)), Arc::new(service));
        let counting = Arc::clone(&accepted);
        let accept = move |stream: KcpStream| {
            counting.fetch_add(1, Ordering::AcqRel);
            let service = Arc::clone(&service);
            // Without a thread for it the conversation is forgotten, and the client waits in vain.
            thread::Builder::new()
                .name("endpoint-session".into())
                .stack_size(256 << 10)
                .spawn(move || {
                    // A failed service is a conversation that ended: there is nobody to tell.
                    service(&stream).ok();
                    stream.set_write_timeout(Some(LINGER));
                    (&stream).flush().ok();
                })
                .ok();
        };
        Ok(Self { accepted, running: Running::start(&hub, Some(Box::new(accept)))? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.hub().address()
    }

    /// How many conversations clients have begun.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// How many conversations it serves at present.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.running.hub().lock().len()
    }
}
