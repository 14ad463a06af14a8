#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{ErrorKind, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use portcullis_core::wire::kcp::crypt::{Cipher, Key};

use super::*;
use crate::serve;

#[test]
fn an_echo_returns_everything_under_every_cipher_and_code() {
    for cipher in Cipher::ALL {
        let crypt = Arc::new(Crypt::new(cipher, &Key::from_passphrase("it's a secrect")).unwrap());
        for code in [None, Shards::new(10, 3).ok(), Shards::new(3, 1).ok()] {
            let options = KcpOptions { crypt: Arc::clone(&crypt), code, ..KcpOptions::default() };
            let endpoint = KcpEndpoint::start(&options, serve::echo).unwrap();
            echo_through(endpoint.address(), &options, 100_000);
            assert_eq!(endpoint.accepted(), 1, "{cipher} {code:?}");
        }
    }
}

#[test]
fn document_000_s_settings_carry_a_stream_too() {
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), serve::echo).unwrap();
    echo_through(endpoint.address(), &KcpOptions::seed(), 20_000);
}

#[test]
fn numbers_wrap_around_unnoticed() {
    let options = KcpOptions { sn: u32::MAX - 20, seqid: 4_294_967_287 - 26, ..KcpOptions::seed() };
    let endpoint = KcpEndpoint::start(&options, serve::echo).unwrap();
    echo_through(endpoint.address(), &options, 100_000);
}

#[test]
fn many_clients_share_an_endpoint_s_socket() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    let gate = endpoint.address();
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| echo_through(gate, &KcpOptions::default(), 5_000));
        }
    });
    assert_eq!(endpoint.accepted(), 40);
}

#[test]
fn what_the_network_loses_arrives_all_the_same() {
    for options in [KcpOptions::default(), KcpOptions::seed()] {
        let endpoint = KcpEndpoint::start(&options, serve::echo).unwrap();
        let sieve = Sieve::start(endpoint.address(), 6);
        echo_through(sieve.address, &options, 60_000);
    }
}

#[test]
fn hello_world_greets_and_reads_messages_however_they_are_cut() {
    let (told, heard) = mpsc::sync_channel(4);
    let service = serve::hello_world(Duration::from_millis(5), move |_: &KcpStream, message: &[u8]| {
        told.send(message.to_vec()).unwrap()
    });
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), service).unwrap();
    let mut client = KcpClient::connect(endpoint.address(), &KcpOptions::seed()).unwrap();
    let mut greeting = [0; 24];
    for part in [&[3, 0][..], &[0, 0, b'a'], b"bc\x01\0\0\0d"] {
        client.send(part).unwrap();
        client.stream().read_exact(&mut greeting).unwrap();
    }
    assert_eq!(&greeting, b"hello world\nhello world\n");
    assert_eq!((heard.recv().unwrap(), heard.recv().unwrap()), (b"abc".to_vec(), b"d".to_vec()));
}

#[test]
fn a_hello_has_the_bytes_of_document_000_s_client() {
    let peer = bare_socket();
    let options = KcpOptions { conv: Some(0x98d6_d66f), ..KcpOptions::seed() };
    let mut client = KcpClient::connect(peer.local_addr().unwrap(), &options).unwrap();
    client.send_message(b"127.0.0.1:7083").unwrap();
    let mut datagram = [0; 64];
    let (length, _) = peer.recv_from(&mut datagram).unwrap();
    datagram[16..20].fill(0); // the time
    let want = [
        &b"\0\0\0\0\xf1\0\x2c\0\x6f\xd6\xd6\x98\x51\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\x12\0\0\0\x0e\0\0\0"[..],
        b"127.0.0.1:7083",
    ]
    .concat();
    assert_eq!(datagram[..length], want);
}

#[test]
fn an_endpoint_answers_in_the_framing_of_its_client() {
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), serve::echo).unwrap();
    let question = |conv: u8| [&[conv, 0, 0, 0, 83, 0, 32, 0][..], &[0; 16]].concat();
    let framed = [&[0, 0, 0, 0, 0xf1, 0, 26, 0][..], &question(7)].concat();
    for (sent, offset) in [(question(7), 0), (framed, 8)] {
        let client = bare_socket();
        client.send_to(&sent, endpoint.address()).unwrap();
        let mut answer = [0; 64];
        let (length, _) = client.recv_from(&mut answer).unwrap();
        assert_eq!((length, answer[offset], answer[offset + 4]), (24 + offset, 7, 84), "a window is told");
    }
}

#[test]
fn only_a_beginning_begins_a_conversation() {
    let (began, begun) = mpsc::sync_channel(8);
    let service = move |stream: &KcpStream| {
        began.send(stream.conv()).unwrap();
        serve::sink(stream)
    };
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), service).unwrap();
    let client = bare_socket();
    let segment = |conv: u8, command: u8, sn: u8| {
        [&[conv, 0, 0, 0, command, 0, 32, 0, 0, 0, 0, 0, sn, 0, 0, 0][..], &[0; 4], &[1, 0, 0, 0, b'x']]
            .concat()
    };
    let answer = |conv: u8| [&segment(conv, 82, 0)[..20], &[0; 4]].concat();
    for wrong in [segment(1, 81, 32), answer(2), vec![0; 24], vec![], vec![7; 1400]] {
        client.send_to(&wrong, endpoint.address()).unwrap();
    }
    // The one that was replaced does not come back.
    for right in [segment(3, 81, 31), segment(4, 81, 0), segment(3, 81, 0), segment(5, 81, 0)] {
        client.send_to(&right, endpoint.address()).unwrap();
    }
    let convs: Vec<u32> = (0..3).map(|_| begun.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(convs.iter().all(|conv| [3, 4, 5].contains(conv)), "{convs:?}");
    assert_eq!(endpoint.accepted(), 3);
    until(|| endpoint.serving() == 1);
}

#[test]
fn a_silent_peer_ends_the_stream_and_a_quiet_one_does_not() {
    let options = KcpOptions { idle_timeout: Duration::from_secs(1), ..KcpOptions::default() };
    let nobody = bare_socket();
    let mut client = KcpClient::connect(nobody.local_addr().unwrap(), &options).unwrap();
    client.send(b"is there anybody?").unwrap();
    assert_eq!(client.read_message().unwrap(), None);
    assert_eq!(client.send(b"no").unwrap_err().kind(), ErrorKind::BrokenPipe);

    let endpoint = KcpEndpoint::start(&options, serve::sink).unwrap();
    let mut client = KcpClient::connect(endpoint.address(), &options).unwrap();
    client.send(b"hear me").unwrap();
    client.stream().set_read_timeout(Some(Duration::from_millis(2500)));
    assert_eq!(client.read_message().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(endpoint.serving(), 1);
    drop(client);
    until(|| endpoint.serving() == 0);
}

#[test]
fn a_writer_waits_for_a_reader_and_gives_up_in_time() {
    let (done, wait) = mpsc::sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), move |_: &KcpStream| {
        wait.lock().unwrap().recv().ok();
        Ok(())
    })
    .unwrap();
    let client = KcpClient::connect(endpoint.address(), &KcpOptions::default()).unwrap();
    client.stream().set_write_timeout(Some(Duration::from_secs(1)));
    let mut taken = 0;
    let error = loop {
        match client.stream().write(&[0; 10_000]) {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!((64 * 1326..=3 * 64 * 1326).contains(&taken), "{taken} bytes in both windows");
    drop(done);
}

#[test]
fn what_a_service_wrote_arrives_after_it_has_returned() {
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), |stream: &KcpStream| {
        let mut ask = [0];
        (&mut &*stream).read_exact(&mut ask)?;
        (&mut &*stream).write_all(&[7; 30_000])
    })
    .unwrap();
    let sieve = Sieve::start(endpoint.address(), 5);
    let mut client = KcpClient::connect(sieve.address, &KcpOptions::seed()).unwrap();
    client.send(b"?").unwrap();
    let mut all = vec![0; 30_000];
    client.stream().read_exact(&mut all).unwrap();
    assert_eq!(all, vec![7; 30_000]);
    until(|| endpoint.serving() == 0);
}

#[test]
fn a_dropped_endpoint_frees_its_port_at_once_and_ends_its_services() {
    // A machine that is busy may be late once.
    let best = (0..5).map(|_| time_of_a_drop()).min().unwrap();
    assert!(best < Duration::from_millis(400), "{best:?}");
}

fn time_of_a_drop() -> Duration {
    let (ended, end) = mpsc::sync_channel(1);
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), move |stream: &KcpStream| {
        ended.send(serve::sink(stream).unwrap_err().kind()).unwrap();
        Ok(())
    })
    .unwrap();
    let mut client = KcpClient::connect(endpoint.address(), &KcpOptions::default()).unwrap();
    client.send(b"x").unwrap();
    (&mut client.stream()).flush().unwrap();
    let (address, began) = (endpoint.address(), Instant::now());
    drop(endpoint);
    assert_eq!(end.recv_timeout(PATIENCE).unwrap(), ErrorKind::ConnectionAborted);
    UdpSocket::bind(address).unwrap();
    began.elapsed()
}

/// Writes and reads at once, and compares.
fn echo_through(gate: SocketAddr, options: &KcpOptions, bytes: usize) {
    let client = KcpClient::connect(gate, options).unwrap();
    let sent: Vec<u8> = (0..bytes).map(|place| (place * 31 + place / 251) as u8).collect();
    let mut back = vec![0; bytes];
    thread::scope(|scope| {
        scope.spawn(|| (&mut client.stream()).write_all(&sent).unwrap());
        (&mut client.stream()).read_exact(&mut back).unwrap();
    });
    assert!(sent == back, "{options:?}");
}

fn bare_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for {PATIENCE:?}");
        thread::yield_now();
    }
}

/// Stands between one client and an endpoint and loses one datagram of so many.
struct Sieve {
    address: SocketAddr,
    socket: UdpSocket,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sieve {
    fn start(endpoint: SocketAddr, one_of: usize) -> Self {
        let socket = bare_socket();
        let (address, own) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
        let thread = thread::spawn(move || {
            let (mut client, mut buffer) = (None, [0; 2048]);
            for count in 1.. {
                let Ok((length, from)) = own.recv_from(&mut buffer) else { return };
                if from == address {
                    return;
                }
                client = client.or(Some(from));
                let to = if from == endpoint { client.unwrap() } else { endpoint };
                if count % one_of != 0 {
                    own.send_to(&buffer[..length], to).unwrap();
                }
            }
        });
        Self { address, socket, thread: Some(thread) }
    }
}

impl Drop for Sieve {
    fn drop(&mut self) {
        self.socket.send_to(&[], self.address).ok();
        self.thread.take().map(|thread| thread.join());
    }
}
