//! What a sealed side's reader that stalls costs; a program of its own, for its memory is what is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use gate::Gate;
use portcullis_peers::{Endpoint, TlsEndpoint, TlsStream};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tls::{Authority, Peer, Speech, cell};

#[test]
fn a_stalled_reader_stops_its_sender_and_little_is_kept_for_it() {
    const SESSIONS: usize = 16;
    let authority = Authority::own();
    let (_held, address) = stalled(&authority);
    let speech = (Speech::Tls, Speech::Tls);
    let gate = Gate::start_with(1, 100, &cell(speech, address, ("", "")), &authority.files);
    let mut clients: Vec<Peer> =
        (0..SESSIONS).map(|_| Peer::asking(Speech::Tls, gate.connect(), &authority)).collect();
    gate.wait_for(|counts| counts.listeners[0].opened == SESSIONS as u64);
    let before = resident();
    let block = vec![7; 1 << 14];
    for client in &mut clients {
        // A write that is stuck is followed by a read.
        client.socket().set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        client.patience(Duration::from_millis(20));
        let most = (0..4096).take_while(|_| client.write(&block).is_ok()).count();
        assert!(most < 4096, "64 MiB were taken for a reader that reads nothing");
    }
    let kept = resident().saturating_sub(before) / SESSIONS;
    // One read and its records (64 KiB), what the library keeps of a record on either side, the same of the two
    // peers in this process, and what the allocator rounds up.
    assert!(kept < 256 * 1024, "{kept} bytes for each stalled session");
}

/// An endpoint that reads nothing.
fn stalled(authority: &Authority) -> (Endpoint, SocketAddr) {
    let nothing = |stream: &TlsStream| {
        set_socket_recv_buffer_size(stream.socket(), 1 << 16)?;
        thread::park_timeout(Duration::from_secs(60)); // as long as the test may last
        Ok(())
    };
    let endpoint = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), nothing)).unwrap();
    let address = endpoint.address();
    (endpoint, address)
}

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
