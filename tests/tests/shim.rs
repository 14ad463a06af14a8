//! The weather itself: a plain UDP peer must see exactly what the seed decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use portcullis_tests::shim::{Hold, Shim, Tally, Way, Weather};
use portcullis_tests::until;

#[test]
fn in_calm_weather_everything_passes_and_each_client_hears_its_own_echo() {
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let echo = socket(loopback);
        let shim = Shim::start(echo.local_addr().unwrap(), Weather::default(), 1);
        let clients: [UdpSocket; 3] = std::array::from_fn(|_| connected(loopback, shim.address()));
        for (turn, client) in (0..50).flat_map(|turn| clients.iter().map(move |client| (turn, client))) {
            let said = format!("{turn} of {}", client.local_addr().unwrap());
            client.send(said.as_bytes()).unwrap();
            let (heard, from) = receive(&echo);
            echo.send_to(&heard, from).unwrap();
            assert_eq!(receive(client).0, said.as_bytes());
        }
        let calm = Tally { arrived: 150, passed: 150, ..Tally::default() };
        until("all is counted", || [Way::Up, Way::Down].map(|way| shim.tally(way)) == [calm; 2]);
    }
}

#[test]
fn the_seed_decides_who_is_lost() {
    let weather = Weather::losing(20);
    let [first, again, other] = [7, 7, 8].map(|seed| survivors(weather, seed, 2000));
    assert_eq!(first, again);
    assert_ne!(first, other);
    for survivors in [&first, &other] {
        assert!(survivors.is_sorted() && (1500..1700).contains(&survivors.len()), "{}", survivors.len());
    }
    assert!(survivors(Weather::losing(100), 7, 10).is_empty());
}

#[test]
fn copies_and_those_held_back_are_extra_and_late_but_nothing_is_missing() {
    let hold = Hold::Datagrams(3);
    let numbers = survivors(Weather { copies: 10, reorder: 10, hold, ..Weather::default() }, 3, 2000);
    assert!((2100..2300).contains(&numbers.len()), "{}", numbers.len());
    assert!(!numbers.is_sorted());
    let late = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((100..300).contains(&late), "{late}");
    let mut seen = numbers;
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
}

#[test]
fn one_that_is_held_back_is_overtaken_by_as_many_as_were_asked_for() {
    let all = |hold| Weather { reorder: 100, hold, ..Weather::default() };
    let (shim, client, sink) = world(all(Hold::Datagrams(2)), 1);
    send(&client, 0);
    until("the first is held", || shim.tally(Way::Up).held == 1);
    shim.change(Weather::default());
    (1..5).for_each(|number| send(&client, number));
    assert_eq!([(); 5].map(|()| number(&receive(&sink).0)), [1, 2, 0, 3, 4]);
    // With nobody to overtake it, it goes all the same; and a time is a time.
    for hold in [Hold::Datagrams(2), Hold::Time(Duration::from_millis(40))] {
        shim.change(all(hold));
        let begin = Instant::now();
        send(&client, 9);
        assert_eq!(number(&receive(&sink).0), 9);
        assert!(begin.elapsed() >= Duration::from_millis(40), "{hold:?}");
    }
}

#[test]
fn a_delay_is_kept_each_way_and_keeps_the_order() {
    let delay = Duration::from_millis(30);
    let (_shim, client, sink) = world(Weather { delay, ..Weather::default() }, 1);
    let begin = Instant::now();
    (0..5).for_each(|number| send(&client, number));
    let mut from = None;
    for want in 0..5 {
        let (heard, address) = receive(&sink);
        assert_eq!(number(&heard), want);
        from = Some(address);
    }
    assert!(begin.elapsed() >= delay);
    sink.send_to(b"back", from.unwrap()).unwrap();
    assert_eq!(receive(&client).0, b"back");
    assert!(begin.elapsed() >= 2 * delay);
}

#[test]
fn a_shim_that_is_dropped_has_let_go_of_its_port() {
    let (shim, client, _sink) = world(Weather::default(), 1);
    let address = shim.address();
    send(&client, 0);
    drop(shim);
    UdpSocket::bind(address).expect("nobody is there");
}

/// The numbers that reach the other side, in order of arrival, of as many that are sent.
fn survivors(weather: Weather, seed: u64, count: u32) -> Vec<u32> {
    let (shim, client, sink) = world(weather, seed);
    let mut arrived = Vec::new();
    for number in 0..count {
        send(&client, number);
        if number % 32 == 31 || number + 1 == count {
            until("all are in", || shim.tally(Way::Up).arrived == u64::from(number) + 1);
            arrived.extend(waiting(&sink));
        }
    }
    let whole = |tally: Tally| tally.passed == tally.arrived - tally.lost + tally.copied;
    until("all are out", || whole(shim.tally(Way::Up)));
    arrived.extend(waiting(&sink));
    assert_eq!(arrived.len() as u64, shim.tally(Way::Up).passed);
    arrived
}

/// The numbers that lie in the socket's buffer.
fn waiting(sink: &UdpSocket) -> Vec<u32> {
    sink.set_nonblocking(true).unwrap();
    let mut buffer = [0; 64];
    let numbers = std::iter::from_fn(|| sink.recv(&mut buffer).ok().map(|length| number(&buffer[..length])));
    numbers.collect()
}

fn world(weather: Weather, seed: u64) -> (Shim, UdpSocket, UdpSocket) {
    let sink = socket("127.0.0.1:0");
    let shim = Shim::start(sink.local_addr().unwrap(), weather, seed);
    let client = connected("127.0.0.1:0", shim.address());
    (shim, client, sink)
}

fn socket(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn connected(at: &str, to: SocketAddr) -> UdpSocket {
    let socket = socket(at);
    socket.connect(to).unwrap();
    socket
}

fn send(client: &UdpSocket, number: u32) {
    client.send(&number.to_le_bytes()).unwrap();
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}
