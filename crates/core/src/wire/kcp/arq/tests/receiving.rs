//! What arrives, and when it is acknowledged.

use super::*;

const FULL: [u8; 1326] = [0; 1326];

#[test]
fn an_acknowledgement_waits_only_while_nobody_needs_it() {
    // What arrives, and how long the acknowledgement waits.
    let cases: [(&str, &[(u32, &[u8])], u64); 7] = [
        ("a small segment", &[(0, b"a")], 10),
        ("one full segment", &[(0, &FULL)], 10),
        ("a few small ones", &[(0, b"a"), (1, b"b"), (2, b"c")], 10),
        ("two full segments", &[(0, &FULL), (1, &FULL)], 0),
        ("out of order", &[(1, b"b")], 0),
        ("a gap is filled", &[(1, b"b"), (0, b"a")], 0),
        ("again", &[(0, b"a"), (0, b"a")], 0),
    ];
    for (what, arriving, wait) in cases {
        let mut arq = arq(&Settings { interval: 30, ..Settings::default() });
        arriving.iter().for_each(|(sn, payload)| input(&mut arq, 100, &push(*sn, payload)));
        if wait > 0 {
            assert!(drain(&mut arq, 100).is_empty(), "{what}");
            assert_eq!(arq.poll_timeout(), Tick(100 + wait), "{what}");
        }
        assert!(sent(&mut arq, 100 + wait).iter().all(|(command, ..)| *command == Command::Ack), "{what}");
        assert_eq!(arq.poll_timeout(), Tick::NEVER, "{what}");
        assert_eq!(arq.tally().segments_out > 0, !arriving.is_empty(), "{what}");
    }
}

#[test]
fn an_acknowledgement_rides_on_a_reply() {
    let mut arq = arq(&Settings::default());
    input(&mut arq, 1, &push(0, b"question"));
    arq.write(b"answer");
    assert_eq!(drain(&mut arq, 1).len(), 1);
    assert_eq!((arq.tally().segments_out, arq.acks.due()), (2, Tick::NEVER));
}

#[test]
fn in_order_only_the_latest_is_acknowledged_and_early_ones_all() {
    let mut arq = arq(&Settings::default());
    for sn in [0, 1, 2, 5, 3, 7] {
        input(&mut arq, 1, &push(sn, b"x"));
    }
    let acked: Vec<u32> = sent(&mut arq, 1).iter().map(|(_, sn, _)| *sn).collect();
    assert_eq!(acked, [5, 7], "una is 4");
}

#[test]
fn what_is_in_order_is_lent_and_the_rest_is_copied_behind_it() {
    let mut arq = arq(&Settings::default());
    input(&mut arq, 1, &push(2, b"third"));
    let datagram = [push(0, b"first "), push(1, b"second "), push(3, b" fourth")].concat();
    let mut run = Vec::new();
    arq.handle_input(Tick(1), &datagram, Origin::Wire, Some(&mut run)).unwrap();
    assert_eq!(run, [&b"first "[..], b"second "]);
    assert_eq!(arq.readable(), b"third fourth");
    arq.restore(b"second ");
    assert_eq!(read(&mut arq), b"second third fourth");
}

#[test]
fn segments_without_payload_are_swallowed() {
    let mut arq = arq(&Settings::default());
    let mut run = Vec::new();
    let datagram = [push(0, b""), push(1, b"a"), push(2, b""), push(4, b""), push(3, b"b")].concat();
    arq.handle_input(Tick(1), &datagram, Origin::Wire, Some(&mut run)).unwrap();
    assert_eq!((run.concat(), read(&mut arq)), (b"ab".to_vec(), Vec::new()));
    assert_eq!(arq.receiver.next(), 5);
}

#[test]
fn the_window_is_told_in_bytes_and_again_when_it_opens() {
    let settings = Settings { receive_window: 8, mtu: 124, interval: 10, ..Settings::default() };
    let mut arq = arq(&settings);
    let told = |arq: &mut Arq, now| {
        let datagrams = drain(arq, now);
        segment::segments(datagrams.last().unwrap()).last().unwrap().unwrap().window
    };
    for sn in 0..2 {
        input(&mut arq, 1, &push(sn, &[0; 50]));
    }
    assert_eq!(told(&mut arq, 11), 7, "two halves are one");
    for sn in 2..9 {
        input(&mut arq, 20, &push(sn, &[0; 100]));
    }
    assert_eq!(told(&mut arq, 20), 0);
    arq.consume(300);
    assert_eq!(arq.poll_timeout(), Tick::NEVER, "a little room is not told");
    arq.consume(100);
    assert_eq!(sent(&mut arq, 30), [(Command::WindowTell, 0, 0)]);
    assert_eq!(sent(&mut arq, 230), [(Command::WindowTell, 0, 0)], "the first may be lost");
    assert_eq!(sent(&mut arq, 430), [(Command::WindowTell, 0, 0)]);
    assert_eq!(arq.poll_timeout(), Tick::NEVER, "whoever has heard none of them asks");
    input(&mut arq, 700, &segment(Command::WindowAsk, 0, 0, 0));
    assert_eq!(told(&mut arq, 700), 4);
}

#[test]
fn an_open_window_is_not_told_again_when_it_is_used() {
    let settings = Settings { receive_window: 2, mtu: 124, ..Settings::default() };
    let mut arq = arq(&settings);
    for sn in 0..2 {
        input(&mut arq, 1, &push(sn, &[0; 100]));
    }
    drain(&mut arq, 1);
    read(&mut arq);
    assert_eq!(sent(&mut arq, 1), [(Command::WindowTell, 0, 0)]);
    input(&mut arq, 5, &push(2, b"go on"));
    assert_eq!(sent(&mut arq, 15), [(Command::Ack, 2, 0)]);
    assert_eq!(arq.poll_timeout(), Tick::NEVER);
}

#[test]
fn a_window_that_opens_is_told_at_once_however_often_it_does() {
    let settings = Settings { receive_window: 2, mtu: 124, ..Settings::default() };
    let mut arq = arq(&settings);
    for round in 0..20 {
        let now = 1 + u64::from(round);
        for sn in [2 * round, 2 * round + 1] {
            input(&mut arq, now, &push(sn, &[0; 100]));
        }
        drain(&mut arq, now);
        read(&mut arq);
        assert_eq!(sent(&mut arq, now), [(Command::WindowTell, 0, 0)], "round {round}");
    }
}

#[test]
fn a_full_queue_takes_no_more_and_says_nothing() {
    let settings = Settings { receive_window: 2, mtu: 124, ..Settings::default() };
    let mut arq = arq(&settings);
    for sn in 0..3 {
        input(&mut arq, 1, &push(sn, &[0; 100]));
    }
    assert_eq!((arq.readable().len(), arq.receiver.next()), (200, 2));
    read(&mut arq);
    input(&mut arq, 2, &push(2, &[0; 100]));
    assert_eq!(arq.receiver.next(), 3);
}

#[test]
fn what_was_recovered_tells_neither_window_nor_round_trip() {
    let mut arq = arq(&Settings::default());
    arq.write(b"one");
    drain(&mut arq, 1);
    let ack = wire(&Segment { window: 0, ts: CLOCK + 1, ..bare(Command::Ack, 0) });
    arq.handle_input(Tick(9), &ack, Origin::Recovered, None).unwrap();
    assert_eq!((arq.is_proven(), arq.tally().rtt, arq.heard_at()), (false, None, Tick(9)));
    arq.write(b"two");
    assert_eq!(pushed(&mut arq, 9), [1], "the window is as it was");
}
