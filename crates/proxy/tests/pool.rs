//! Warm connections: made in advance, checked, aged, taken. The real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use gate::{Files, Gate, accept, closed_port, to};
use portcullis_core::config::Pool;
use portcullis_core::endpoint::Endpoint;
use portcullis_core::name::UpstreamName;
use portcullis_core::upstream::Standing;
use portcullis_proxy::PoolCounts;
use rustls::{ServerConnection, StreamOwned};
use tls::{Authority, CELLS, cell};

#[test]
fn a_session_takes_the_connection_that_was_made_last() {
    let (gate, mut warm, _later) = warmed(1, 3);
    let mut client = gate.connect();
    client.write_all(b"hello").unwrap();
    let mut taken = warm.remove(2);
    assert_eq!(read(&mut taken, 5), b"hello");
    taken.write_all(b"welcome").unwrap();
    assert_eq!(read(&mut client, 7), b"welcome");
    wait(&gate, |pool| pool.hits == 1 && pool.idle == 3);
    assert_eq!(pool(&gate).made, 4, "only what was taken is made again");
    assert_eq!(pool(&gate).misses, 0);
}

#[test]
fn connections_are_shared_out_over_the_workers() {
    let (gate, _warm, _later) = warmed(2, 3);
    assert_eq!(pool(&gate).made, 3);
}

#[test]
fn a_session_dials_itself_when_no_connection_is_left() {
    let (gate, _listener) = deaf(closed_port(), Pool { min_idle: 2, ..Pool::default() });
    wait(&gate, |pool| pool.failed > 0);
    let _client = gate.connect();
    gate.wait_for(|counts| !counts.listeners[0].refused.is_empty());
    assert!(pool(&gate).misses > 0);
    assert_eq!(pool(&gate).hits, 0);
}

#[test]
fn an_idle_connection_that_its_endpoint_ends_is_replaced() {
    let (gate, mut warm, _later) = warmed(1, 2);
    drop(warm.remove(1));
    wait(&gate, |pool| pool.made == 3 && pool.idle == 2);
    assert_eq!(pool(&gate).discarded, [0, 1, 0, 0]);
}

#[test]
fn nobody_hears_what_an_endpoint_said_before_there_was_a_client() {
    let (gate, mut warm, later) = warmed(1, 1);
    warm[0].write_all(b"whose bytes are these?").unwrap();
    wait(&gate, |pool| pool.discarded == [0, 0, 1, 0] && pool.idle == 1);
    let mut client = gate.connect();
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    later.recv().unwrap().write_all(b"welcome").unwrap();
    assert_eq!(read(&mut client, 7), b"welcome");
}

#[test]
fn an_end_is_noticed_in_the_turn_in_which_a_connection_is_taken() {
    for _ in 0..50 {
        let (gate, mut warm, _later) = warmed(1, 1);
        // The end and the client come together: whichever the worker sees first, the client is served.
        drop(warm.remove(0));
        let mut client = gate.connect();
        client.write_all(b"x").unwrap();
        gate.wait_for(|counts| counts.listeners[0].opened == 1);
        assert_eq!(pool(&gate).hits + pool(&gate).misses, 1);
        assert!(pool(&gate).hits == 0 || pool(&gate).made > 1, "a dead connection was given away");
    }
}

#[test]
fn a_connection_is_not_kept_beyond_its_age() {
    let max_age = Duration::from_millis(300);
    let begun = Instant::now();
    let (gate, _endpoint) = endless(Pool { min_idle: 2, max_age, ..Pool::default() });
    wait(&gate, |pool| pool.discarded[0] >= 4 && pool.idle == 2);
    assert!(begun.elapsed() >= max_age, "two rounds of seven eighths of an age");
}

#[test]
fn an_endpoint_that_refuses_is_dialled_ever_more_rarely() {
    let begun = Instant::now();
    let (gate, _listener) = deaf(closed_port(), Pool { min_idle: 32, ..Pool::default() });
    wait(&gate, |pool| pool.failed >= 4);
    assert!(begun.elapsed() >= Duration::from_millis(700), "rests of 100, 200 and 400 ms lie between four");
}

#[test]
fn connections_to_an_endpoint_in_maintenance_are_closed_and_come_back_with_it() {
    let (gate, endpoint) = endless(Pool { min_idle: 2, ..Pool::default() });
    wait(&gate, |pool| pool.idle == 2);
    let snapshot = gate.handle.snapshot();
    let upstream = snapshot.upstream(&UpstreamName::from("out")).unwrap();
    let endpoint: Endpoint = endpoint.to_string().parse().unwrap();
    upstream.endpoint(&endpoint).unwrap().set_standing(Standing::Maint);
    wait(&gate, |pool| pool.idle == 0);
    assert_eq!(pool(&gate).discarded, [0, 0, 0, 2]);
    upstream.endpoint(&endpoint).unwrap().set_standing(Standing::Ready);
    wait(&gate, |pool| pool.idle == 2);
}

#[test]
fn sealed_connections_have_shaken_hands_before() {
    let authority = Authority::own();
    let endpoint = slow_tls(&authority, Duration::ZERO);
    let text = cell(CELLS[1], endpoint.address, ("", ""));
    let gate = Gate::start_changed(1, 100, (&text, &authority.files), |config| {
        config.upstreams[0].pool.min_idle = 2;
    });
    wait(&gate, |pool| pool.idle == 2);
    let mut client = gate.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut client, 1), b"x");
    wait(&gate, |pool| pool.idle == 2 && pool.hits == 1);
    gate.wait_for(|_| endpoint.shaken.load(Ordering::Relaxed) == 3);
}

/// Sessions of one exchange each, by eight clients for a second; the endpoint takes 50 ms to shake hands.
#[test]
fn a_warm_pool_saves_each_session_the_time_to_connect() {
    let authority = Authority::own();
    let endpoint = slow_tls(&authority, Duration::from_millis(50));
    let text = cell(CELLS[1], endpoint.address, ("", ""));
    let rates = [0, 64].map(|min_idle| {
        let gate = Gate::start_changed(1, 1000, (&text, &authority.files), |config| {
            config.upstreams[0].pool = Pool { min_idle, max_idle: 64, ..Pool::default() };
        });
        if min_idle > 0 {
            wait(&gate, |pool| pool.idle == 64);
        }
        let (sessions, time) = crowd(&gate, 8, Duration::from_secs(1));
        let rate = f64::from(sessions) / time.as_secs_f64();
        println!("min_idle {min_idle}: {rate:.0} sessions/s; {:?}", gate.handle.counts().pools);
        rate
    });
    assert!(rates[0] <= 8.0 / 0.05, "{rates:?}: without a pool each session waits 50 ms");
    assert!(rates[1] >= 1.3 * rates[0], "{rates:?}");
}

/// A data plane in front of a plain endpoint, its warm connections, the one made first in front, and those that are
/// made after them.
fn warmed(workers: usize, min_idle: u16) -> (Gate, Vec<TcpStream>, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = start(workers, listener.local_addr().unwrap(), Pool { min_idle, ..Pool::default() });
    let warm = (0..min_idle).map(|_| accept(&listener)).collect();
    wait(&gate, |pool| pool.idle == u64::from(min_idle));
    let (tell, later) = mpsc::sync_channel(64);
    listener.set_nonblocking(false).unwrap();
    thread::spawn(move || listener.incoming().try_for_each(|stream| tell.send(stream.unwrap())));
    (gate, warm, later)
}

/// A data plane in front of an endpoint that takes every connection and says nothing.
fn endless(pool: Pool) -> (Gate, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    (start(1, address, pool), address)
}

fn deaf(address: SocketAddr, pool: Pool) -> (Gate, SocketAddr) {
    (start(1, address, pool), address)
}

fn start(workers: usize, endpoint: SocketAddr, pool: Pool) -> Gate {
    let text = format!("{}\nattempts = 1\n", to(endpoint));
    Gate::start_changed(workers, 1000, (&text, &Files::new()), |config| config.upstreams[0].pool = pool)
}

/// Waits until the counts of the pool are so.
fn wait(gate: &Gate, so: impl Fn(&PoolCounts) -> bool) {
    gate.wait_for(|counts| counts.pools.first().is_some_and(&so));
}

fn pool(gate: &Gate) -> PoolCounts {
    gate.handle.counts().pools[0].clone()
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// A TLS endpoint that waits before it shakes hands, then gives each byte back.
struct SlowTls {
    address: SocketAddr,
    shaken: Arc<AtomicU32>,
}

fn slow_tls(authority: &Authority, wait: Duration) -> SlowTls {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = SlowTls { address: listener.local_addr().unwrap(), shaken: Arc::default() };
    let (identity, shaken) = (authority.identity("own"), Arc::clone(&endpoint.shaken));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, identity, shaken) = (socket.unwrap(), identity.clone(), Arc::clone(&shaken));
            thread::spawn(move || {
                let until = Instant::now() + wait;
                while Instant::now() < until {
                    thread::park_timeout(until - Instant::now());
                }
                let connection = ServerConnection::new(identity.config).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                while stream.conn.is_handshaking() {
                    // A gate that ends in the middle is no fault.
                    let Ok(_) = stream.conn.complete_io(&mut stream.sock) else { return };
                }
                shaken.fetch_add(1, Ordering::Relaxed);
                let mut byte = [0; 1];
                while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    endpoint
}

/// So many clients, each with one session of one exchange after the other.
fn crowd(gate: &Gate, clients: usize, time: Duration) -> (u32, Duration) {
    let (sessions, begun) = (AtomicU32::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while begun.elapsed() < time {
                    let mut client = gate.connect();
                    client.write_all(b"x").unwrap();
                    assert_eq!(read(&mut client, 1), b"x");
                    sessions.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (sessions.into_inner(), begun.elapsed())
}
