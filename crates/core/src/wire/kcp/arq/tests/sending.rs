//! What is sent, and when it is sent again.

use super::*;

/// Pushes of 100 bytes.
fn small() -> Settings {
    Settings { mtu: 124, ..Settings::default() }
}

/// The peer says that these arrived, each one sent at `ts`.
fn acks(arq: &mut Arq, now: u64, numbers: &[u32], ts: u64) {
    let datagram: Vec<u8> =
        numbers.iter().flat_map(|sn| segment(Command::Ack, *sn, CLOCK + ts as u32, 0)).collect();
    input(arq, now, &datagram);
}

#[test]
fn a_stream_packs_small_writes_and_messages_keep_their_borders() {
    for (stream, want) in [(true, &[100, 70][..]), (false, &[30, 100, 10, 30])] {
        let mut arq = arq(&Settings { stream, ..small() });
        for len in [30, 110, 0, 30] {
            assert_eq!(arq.write(&vec![1; len]), len);
        }
        let lens: Vec<usize> = sent(&mut arq, 1).iter().map(|(.., len)| *len).collect();
        assert_eq!(lens, want, "stream = {stream}");
    }
}

#[test]
fn no_more_is_taken_than_the_window_holds() {
    for stream in [true, false] {
        let settings = Settings { send_window: 40, stream, ..small() };
        let mut arq = arq(&settings);
        assert_eq!(arq.write(&[0; 5000]), 4000);
        assert!(!arq.has_room());
        assert_eq!(arq.write(b"x"), 0);
        let mut tiny = Arq::new(CONV, &settings, Start::default());
        let taken = (0..5000).filter(|_| tiny.write(b"x") == 1).count();
        assert_eq!(taken, if stream { 4000 } else { 40 }, "stream = {stream}");
    }
}

#[test]
fn a_small_room_gets_a_small_segment_behind_the_headroom() {
    let mut arq = arq(&small());
    arq.write(&[9; 100]);
    let mut out = Outbox::default();
    assert!(arq.poll_transmit(Tick(1), &mut out, 5, 64));
    assert_eq!((out.datagram(0).len(), &out.datagram(0)[..5]), (5 + 64, &[0; 5][..]));
    for room in [0, 23, 24] {
        assert!(!arq.poll_transmit(Tick(1), &mut out, 5, room));
        assert!(arq.poll_timeout() > Tick(1), "what does not fit is no reason to turn in circles");
    }
    assert!(arq.poll_transmit(Tick(1), &mut out, 0, usize::MAX));
    assert_eq!(out.datagram(1).len(), 24 + 60);
    assert!(!arq.poll_transmit(Tick(1), &mut out, 0, usize::MAX));
}

#[test]
fn a_timeout_grows_and_a_segment_that_is_never_answered_ends_it() {
    let mut arq = arq(&Settings { dead_link: 4, ..small() });
    arq.write(b"anybody?");
    let mut times = Vec::new();
    let mut now = 1000;
    while now < 1_000_000 {
        times.extend(pushed(&mut arq, now).iter().map(|_| now));
        now = arq.poll_timeout().0;
    }
    assert_eq!(times, [1000, 1200, 1500, 1950]);
    assert!(arq.is_dead());
    assert_eq!((arq.poll_timeout(), drain(&mut arq, 9_000_000).len()), (Tick::NEVER, 0));
}

#[test]
fn a_segment_is_lost_when_as_many_datagrams_as_set_overtook_it() {
    for (resend, datagrams) in [(1, 1), (2, 2), (3, 3), (0, 100), (200, 8)] {
        let mut arq = arq(&Settings { resend, send_window: 200, ..small() });
        input(&mut arq, 1, &wire(&Segment { window: 200, ..bare(Command::WindowTell, 0) }));
        arq.write(&[0; 20_000]);
        assert_eq!(pushed(&mut arq, 1).len(), 200);
        let again = (1..=30).position(|sn| {
            acks(&mut arq, 2, &[sn], 1);
            pushed(&mut arq, 2) == [0]
        });
        assert_eq!(again.map_or(100, |index| index + 1), datagrams, "resend = {resend}");
        assert_eq!(arq.tally().fast_retransmits, u64::from(resend > 0));
    }
}

#[test]
fn the_second_loss_of_a_segment_is_found_by_what_was_sent_after_it() {
    let mut arq = arq(&small());
    arq.write(&[0; 500]);
    assert_eq!(pushed(&mut arq, 1).len(), 5);
    acks(&mut arq, 2, &[1], 1);
    acks(&mut arq, 2, &[2], 1);
    assert_eq!(pushed(&mut arq, 2), [0]);
    acks(&mut arq, 3, &[3], 1);
    acks(&mut arq, 3, &[4], 1);
    assert!(pushed(&mut arq, 3).is_empty(), "those were sent before it was sent again");
    arq.write(&[0; 200]);
    assert_eq!(pushed(&mut arq, 4), [5, 6]);
    acks(&mut arq, 5, &[5], 4);
    acks(&mut arq, 5, &[6], 4);
    assert_eq!(pushed(&mut arq, 5), [0]);
}

#[test]
fn an_ack_of_either_transmission_counts_and_gives_its_round_trip() {
    for (echo, rtt) in [(1, 299), (201, 99), (100, 200), (202, 0), (0, 0)] {
        let mut arq = arq(&small());
        arq.write(b"x");
        assert_eq!((pushed(&mut arq, 1), pushed(&mut arq, 201)), (vec![0], vec![0]));
        acks(&mut arq, 300, &[0], echo);
        let want = (rtt > 0).then(|| Duration::from_millis(rtt));
        assert_eq!((arq.is_proven(), arq.tally().rtt), (rtt > 0, want), "ts {echo}");
    }
}

#[test]
fn numbers_go_around() {
    let settings = small();
    let start = Start { sn: u32::MAX - 3, clock: u32::MAX - 2 };
    let (mut a, mut b) = (Arq::new(CONV, &settings, start), Arq::new(CONV, &settings, start));
    let bytes: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
    assert_eq!(a.write(&bytes), 3000);
    let mut received = Vec::new();
    for now in 1..200 {
        let datagrams = drain(&mut a, now);
        // Every third is lost.
        for datagram in datagrams.iter().enumerate().filter(|(n, _)| n % 3 != 1).map(|(_, datagram)| datagram)
        {
            input(&mut b, now, datagram);
        }
        received.extend(read(&mut b));
        drain(&mut b, now).iter().for_each(|datagram| input(&mut a, now, datagram));
    }
    assert!(received == bytes && a.unacknowledged() == 0 && a.is_proven());
    assert_eq!(a.sender.next(), 26);
}

#[test]
fn with_congestion_control_the_first_flight_is_one_segment() {
    let mut arq = arq(&Settings { congestion: true, ..small() });
    arq.write(&[0; 1000]);
    assert_eq!(pushed(&mut arq, 1), [0]);
    input(&mut arq, 2, &segment(Command::Ack, 0, CLOCK + 1, 1));
    assert_eq!(pushed(&mut arq, 2), [1, 2]);
}
