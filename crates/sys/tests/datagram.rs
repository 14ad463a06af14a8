//! Batches of datagrams on real loopback sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/batch.rs"]
mod batch;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use portcullis_sys::datagram::{Datagrams, Inbox, Local, Outgoing};
use portcullis_sys::epoll::{Events, Interest, Poller};

use self::batch::{Seen, WAIT, bind, patterned, ready, take, take_with, to};

#[test]
fn a_batch_of_mixed_sizes_arrives_with_both_addresses_in_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (server, client) = (bind(address), bind(address));
        let sizes = [1, 0, 24, 1_350, 9_000, 65_000, 7];
        let bytes: Vec<Vec<u8>> = sizes.iter().map(|size| patterned(*size)).collect();
        let batch: Vec<Outgoing<'_>> = bytes.iter().map(|bytes| to(server.address(), bytes)).collect();
        assert_eq!(client.send(&batch).unwrap(), sizes.len());
        let local = Local { address: server.address().ip(), interface: 0 };
        let seen = take(&server, sizes.len());
        let wanted = bytes.into_iter().map(|bytes| Seen {
            from: client.address(),
            to: Some(local),
            bytes,
            truncated: false,
        });
        assert_eq!(seen, wanted.collect::<Vec<_>>(), "{address}");
    }
}

#[test]
fn a_batch_larger_than_the_kernel_takes_at_once_is_sent_whole() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let bytes: Vec<Vec<u8>> = (0..200).map(|index| vec![index; 3]).collect();
    let batch: Vec<Outgoing<'_>> = bytes.iter().map(|bytes| to(server.address(), bytes)).collect();
    assert_eq!(client.send(&batch).unwrap(), 200);
    let seen: Vec<Vec<u8>> = take(&server, 200).into_iter().map(|seen| seen.bytes).collect();
    assert_eq!(seen, bytes);
    let nothing = server.receive(&mut Inbox::default());
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    for (bound, asked) in [
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::]:0", "127.0.0.2"), // IPv4 on a socket of both families
        ("[::]:0", "::1"),
    ] {
        let server = bind(bound);
        let asked = SocketAddr::new(asked.parse().unwrap(), server.address().port());
        let near: IpAddr = if asked.is_ipv4() { [127, 0, 0, 1].into() } else { asked.ip() };
        let client = UdpSocket::bind((near, 0)).unwrap();
        // Connected: an answer from any other address would not come in.
        client.connect(asked).unwrap();
        client.set_read_timeout(WAIT).unwrap();
        client.send(b"where am I?").unwrap();
        let question = take(&server, 1).remove(0);
        assert_eq!(question.from, client.local_addr().unwrap(), "{bound}");
        assert_eq!(question.to, Some(Local { address: asked.ip(), interface: 0 }), "{bound}");
        let train = b"hereand now!";
        for segment in [None, Some(4)] {
            let reply = Outgoing { from: question.to, segment, ..to(question.from, train) };
            assert_eq!(server.send(&[reply]).unwrap(), 1);
        }
        let mut bytes = [0; 100];
        for wanted in [train.as_slice(), b"here", b"and ", b"now!"] {
            let length = client.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], wanted, "{bound}");
        }
        assert_eq!(server.lost(), 0, "{bound}");
    }
}

#[test]
fn a_train_arrives_as_single_datagrams_at_a_plain_socket() {
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.set_read_timeout(WAIT).unwrap();
    let client = bind("127.0.0.1:0");
    assert!(client.supports_gso());
    for size in [5_000, 1_000, 999, 1] {
        let bytes = patterned(size);
        let train = Outgoing { segment: Some(1_000), ..to(plain.local_addr().unwrap(), &bytes) };
        assert_eq!(client.send(&[train]).unwrap(), 1);
        let mut buffer = [0; 2_000];
        for wanted in bytes.chunks(1_000) {
            let length = plain.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], wanted, "{size}");
        }
    }
}

#[test]
fn a_train_that_came_as_one_is_cut_where_its_datagrams_end() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let bytes = patterned(10_300);
    let train = Outgoing { segment: Some(1_000), ..to(server.address(), &bytes) };
    client.send(&[train, to(server.address(), b"alone")]).unwrap();
    ready(&server);
    let mut inbox = Inbox::default();
    assert_eq!(server.receive(&mut inbox).unwrap(), 2, "a train takes one slot");
    // All are held at once, and may be written to.
    let mut all: Vec<&mut [u8]> = inbox.iter_mut().map(|one| one.bytes).collect();
    let lengths: Vec<usize> = all.iter().map(|bytes| bytes.len()).collect();
    assert_eq!(lengths, [[1_000; 10].as_slice(), &[300, 5]].concat());
    assert_eq!(all[..11].concat(), bytes);
    for bytes in &mut all {
        bytes.fill(0);
    }
    assert!(inbox.iter_mut().all(|one| one.bytes.iter().all(|byte| *byte == 0)));
}

#[test]
fn what_does_not_fit_into_a_slot_is_marked() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let bytes = patterned(150);
    client.send(&[to(server.address(), &bytes[..100]), to(server.address(), &bytes[..101])]).unwrap();
    client.send(&[Outgoing { segment: Some(40), ..to(server.address(), &bytes) }]).unwrap();
    let seen = take_with(&server, 5, &mut Inbox::new(3, 100));
    let seen: Vec<(usize, bool)> = seen.iter().map(|seen| (seen.bytes.len(), seen.truncated)).collect();
    assert_eq!(seen, [(100, false), (100, true), (40, false), (40, false), (20, true)]);
}

#[test]
fn a_train_too_long_for_the_kernel_is_cut_and_arrives() {
    // 300 datagrams are more than any kernel takes as one; 66 × 1,000 are too many bytes.
    for (segment, size) in [(10, 3_000), (1_000, 66_000)] {
        let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let bytes = patterned(size);
        let train = Outgoing { segment: Some(segment), ..to(server.address(), &bytes) };
        assert_eq!(client.send(&[to(server.address(), b"in front"), train]).unwrap(), 2);
        let seen = take(&server, 1 + size / usize::from(segment));
        assert_eq!(seen[1..].iter().flat_map(|seen| seen.bytes.clone()).collect::<Vec<u8>>(), bytes);
        assert_eq!((client.lost(), client.supports_gso()), (0, true));
    }
}

#[test]
fn without_trains_all_is_the_same_but_slower() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    server.forgo_trains().unwrap();
    client.forgo_trains().unwrap();
    assert!(!client.supports_gso());
    let bytes = patterned(4_200);
    let train = Outgoing { segment: Some(1_000), ..to(server.address(), &bytes) };
    assert_eq!(client.send(&[train, to(server.address(), b"alone"), train]).unwrap(), 3);
    let mut inbox = Inbox::default();
    ready(&server);
    assert_eq!(server.receive(&mut inbox).unwrap(), 11, "each takes a slot");
    let lengths: Vec<usize> = inbox.iter_mut().map(|one| one.bytes.len()).collect();
    assert_eq!(lengths, [1_000, 1_000, 1_000, 1_000, 200, 5, 1_000, 1_000, 1_000, 1_000, 200]);
}

#[test]
fn one_that_asks_for_a_train_meets_one_that_knows_none() {
    let (server, client) = (bind("[::1]:0"), bind("[::1]:0"));
    server.forgo_trains().unwrap();
    let bytes = patterned(2_500);
    client.send(&[Outgoing { segment: Some(1_000), ..to(server.address(), &bytes) }]).unwrap();
    let lengths: Vec<usize> = take(&server, 3).iter().map(|seen| seen.bytes.len()).collect();
    assert_eq!(lengths, [1_000, 1_000, 500]);
}

#[test]
fn a_datagram_the_kernel_refuses_is_skipped_and_counted() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let good = to(server.address(), b"good");
    let foreign = Local { address: IpAddr::from([192, 0, 2, 1]), interface: 0 };
    let long = vec![0; 65_508];
    let refused = [
        Outgoing { from: Some(foreign), ..good },
        Outgoing { from: Some(foreign), segment: Some(1), ..good },
        to(server.address(), &long),
        to("255.255.255.255:9".parse().unwrap(), b"to all"),
        to("[::1]:9".parse().unwrap(), b"of the other family"),
        Outgoing { to: None, ..good },
    ];
    let batch: Vec<Outgoing<'_>> = refused.iter().flat_map(|bad| [good, *bad]).chain([good]).collect();
    assert_eq!(client.send(&batch).unwrap(), batch.len());
    assert_eq!(client.lost(), refused.len() as u64);
    assert!(take(&server, refused.len() + 1).iter().all(|seen| seen.bytes == b"good"));
    assert_eq!(server.receive(&mut Inbox::default()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_refusal_is_told_on_a_connected_socket_and_nowhere_else() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let dead = UdpSocket::bind(address).unwrap().local_addr().unwrap();
        let hello = Outgoing { to: None, from: None, bytes: b"anybody?", segment: None };
        let refused = io::ErrorKind::ConnectionRefused;

        let socket = Datagrams::connect(dead, None).unwrap();
        assert_eq!(socket.send(&[hello]).unwrap(), 1);
        assert_eq!(socket.send(&[hello]).unwrap_err().kind(), refused, "told by a send");
        assert_eq!(socket.send(&[hello]).unwrap(), 1);
        ready(&socket);
        let told = socket.receive(&mut Inbox::default()).unwrap_err();
        assert_eq!(told.kind(), refused, "told by a receive");
        // In mid-batch the kernel keeps the error to itself, but what is sent behind it is refused again.
        assert_eq!(socket.send(&[hello; 100]).unwrap(), 100);
        assert_eq!(socket.take_error().unwrap_err().kind(), refused, "told by the question for it");
        assert!(socket.take_error().is_ok(), "told once");

        let open = bind(address);
        assert_eq!(open.send(&[to(dead, b"anybody?"); 3]).unwrap(), 3);
        assert_eq!(open.lost(), 0);
        let nothing = open.receive(&mut Inbox::default()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_connected_socket_hears_its_peer_alone_and_speaks_from_its_source() {
    let (peer, stranger) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let socket = Datagrams::connect(peer.address(), Some(IpAddr::from([127, 0, 0, 3]))).unwrap();
    assert_eq!(socket.address().ip(), IpAddr::from([127, 0, 0, 3]));
    stranger.send(&[to(socket.address(), b"let me in")]).unwrap();
    peer.send(&[to(socket.address(), b"from the peer")]).unwrap();
    let bytes = patterned(3_000);
    let train = Outgoing { to: None, from: None, bytes: &bytes, segment: Some(1_400) };
    assert_eq!(socket.send(&[train]).unwrap(), 1);
    let seen = take(&socket, 1);
    assert_eq!((seen.len(), seen[0].bytes.as_slice()), (1, b"from the peer".as_slice()));
    assert_eq!((seen[0].from, seen[0].to), (peer.address(), None));
    let seen = take(&peer, 3);
    assert_eq!(seen.iter().map(|seen| seen.bytes.len()).collect::<Vec<_>>(), [1_400, 1_400, 200]);
    assert!(seen.iter().all(|seen| seen.from == socket.address()));
}

#[test]
fn a_socket_tells_what_room_it_got() {
    let shared = bind("127.0.0.1:0").room().unwrap();
    // The system's default is about 200 KiB; every privilege gives more.
    assert!(shared.receive > 400 << 10 && shared.send > 400 << 10, "{shared:?}");
}

#[test]
fn a_send_is_no_event_to_whoever_waits_for_arrivals() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let poller = Poller::new().unwrap();
    poller.add(&client, 1, Interest::Arrivals).unwrap();
    let told = || {
        let mut events = Events::default();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        events.as_slice().iter().filter(|event| event.readable || event.writable).count()
    };
    for _ in 0..3 {
        client.send(&[to(server.address(), b"question")]).unwrap();
        assert_eq!(told(), 0);
    }
    server.send(&[to(client.address(), b"answer")]).unwrap();
    assert_eq!((told(), told()), (1, 0), "told once");
}

#[test]
fn room_for_what_comes_in_is_taken_only_when_it_comes() {
    let before = resident();
    let inboxes: Vec<Inbox> = (0..64).map(|_| Inbox::default()).collect();
    // Other tests run in this process as well: 256 MiB of room against what they take.
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB for {} inboxes", grown >> 20, inboxes.len());
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
