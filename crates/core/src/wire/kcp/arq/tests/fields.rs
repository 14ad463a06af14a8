//! What a peer may do to the fields of a segment (A20 of the threats), one by one.

use super::*;

#[test]
fn a20_no_window_makes_it_send_more_than_its_own() {
    let settings = Settings { send_window: 40, mtu: 124, ..Settings::default() };
    let mut arq = arq(&settings);
    input(&mut arq, 1, &wire(&Segment { window: u16::MAX, ..bare(Command::WindowTell, 0) }));
    while arq.write(&[0; 1000]) > 0 {}
    assert_eq!(pushed(&mut arq, 1).len(), 40);
}

#[test]
fn a20_a_closed_window_is_asked_about_ever_less_often_and_its_owner_given_up() {
    let mut arq = arq(&Settings { dead_link: 4, ..Settings::default() });
    input(&mut arq, 0, &wire(&Segment { window: 0, ..bare(Command::WindowTell, 0) }));
    assert_eq!(arq.poll_timeout(), Tick::NEVER, "nothing waits");
    arq.write(b"for later");
    let mut asked = Vec::new();
    let mut now = 0;
    while !arq.is_dead() && now < 1_000_000 {
        asked.extend(sent(&mut arq, now).iter().map(|(command, ..)| (*command, now)));
        now = arq.poll_timeout().0;
    }
    let want = [500, 1_500, 3_500, 7_500].map(|at| (Command::WindowAsk, at));
    assert_eq!(asked, want);
    assert!(arq.is_dead());
}

#[test]
fn a20_a_closed_window_that_answers_is_never_given_up() {
    let mut arq = arq(&Settings { dead_link: 2, ..Settings::default() });
    let closed = wire(&Segment { window: 0, ..bare(Command::WindowTell, 0) });
    input(&mut arq, 0, &closed);
    arq.write(b"for later");
    let mut now = 0;
    for _ in 0..20 {
        sent(&mut arq, now);
        now = arq.poll_timeout().0;
        input(&mut arq, now, &closed);
    }
    assert!(!arq.is_dead());
    input(&mut arq, now, &bare_window(1));
    assert_eq!(pushed(&mut arq, now), [0]);
}

fn bare_window(window: u16) -> Vec<u8> {
    wire(&Segment { window, ..bare(Command::WindowTell, 0) })
}

#[test]
fn a20_a_number_out_of_the_window_is_neither_kept_nor_acknowledged() {
    let settings = Settings { receive_window: 32, ..Settings::default() };
    for (ahead, kept) in [(31, true), (32, false), (1 << 20, false), ((1 << 31) - 1, false)] {
        let mut arq = arq(&settings);
        input(&mut arq, 1, &push(ahead, b"far"));
        assert_eq!((arq.held() > 0, !sent(&mut arq, 1).is_empty()), (kept, kept), "{ahead} ahead");
    }
}

#[test]
fn a20_an_una_beyond_what_was_sent_acknowledges_nothing() {
    let mut arq = arq(&Settings { mtu: 124, ..Settings::default() });
    arq.write(&[1; 1000]);
    assert_eq!(pushed(&mut arq, 1).len(), 10);
    for (una, left) in [(11, 1000), (1 << 31, 1000), (u32::MAX, 1000), (4, 600), (2, 600), (10, 0)] {
        input(&mut arq, 2, &segment(Command::WindowTell, 0, 0, una));
        assert_eq!(arq.unacknowledged(), left, "una {una}");
    }
}

#[test]
fn a20_an_ack_of_what_was_not_sent_means_nothing() {
    let mut arq = arq(&Settings::default());
    arq.write(b"one");
    assert_eq!(pushed(&mut arq, 1), [0]);
    for sn in [1, 2, 1 << 31, u32::MAX] {
        input(&mut arq, 2, &segment(Command::Ack, sn, CLOCK + 1, 0));
    }
    assert!(!arq.is_proven() && arq.unacknowledged() == 3 && arq.tally().rtt_samples == 0);
}

#[test]
fn a20_a_time_that_was_not_sent_is_neither_round_trip_nor_proof() {
    // (the ACK's ts, when it comes, a proof, a sample)
    let at = 100u64;
    let ts = CLOCK + 100;
    let cases = [
        (ts, 130, true, Some(30)),
        (ts, 100, true, Some(0)),
        (ts, 100 + 59_999, true, Some(59_999)),
        (ts, 100 + 60_000, true, None),
        (ts - 1, 130, false, None),
        (ts + 1, 130, false, None),
        (0, 130, false, None),
        (ts ^ (1 << 31), 130, false, None),
        (u32::MAX, 130, false, None),
    ];
    for (echo, now, proof, sample) in cases {
        let mut arq = arq(&Settings::default());
        arq.write(b"one");
        drain(&mut arq, at);
        input(&mut arq, now, &segment(Command::Ack, 0, echo, 0));
        let rtt = arq.tally().rtt.map(|rtt| rtt.as_millis());
        assert_eq!((arq.is_proven(), rtt), (proof, sample), "{echo:#x} at {now}");
    }
}

#[test]
fn a20_fragments_are_only_bytes_whatever_they_count() {
    let mut arq = arq(&Settings::default());
    for (sn, fragment) in [(0, 255), (1, 3), (2, 200), (3, 0)] {
        let payload = &[sn as u8][..];
        input(&mut arq, 1, &wire(&Segment { fragment, payload, ..bare(Command::Push, sn) }));
    }
    assert_eq!(read(&mut arq), [0, 1, 2, 3]);
}

#[test]
fn a20_a_length_beyond_the_datagram_ends_it_and_what_was_before_counts() {
    let mut arq = arq(&Settings::default());
    let mut bad = push(1, b"b");
    bad[20] = 2;
    let datagram = [push(0, b"a"), bad, push(1, b"c")].concat();
    let malformed = Malformed::Length { claimed: 0x32, left: 26 };
    bad = datagram.clone();
    bad[25 + 20] = 0x32;
    assert_eq!(arq.handle_input(Tick(1), &bad, Origin::Wire, None), Err(malformed));
    assert_eq!(read(&mut arq), b"a");
}

#[test]
fn a20_a_segment_of_another_conversation_ends_the_datagram() {
    let mut arq = arq(&Settings::default());
    let other = wire(&Segment { conv: 8, payload: b"x", ..bare(Command::Push, 0) });
    let malformed = Malformed::Conversation { given: 8 };
    assert_eq!(arq.handle_input(Tick(1), &other, Origin::Wire, None), Err(malformed));
    assert!(!arq.is_answered() && arq.readable().is_empty());
}

#[test]
fn a20_a_segment_repeated_for_ever_is_answered_once_a_turn() {
    let settings = Settings { receive_window: 16, ..Settings::default() };
    let mut arq = arq(&settings);
    input(&mut arq, 1, &push(0, b"again"));
    for _ in 0..10_000 {
        input(&mut arq, 1, &push(0, b"again"));
        input(&mut arq, 1, &push(2, b"early"));
    }
    let answers = sent(&mut arq, 1);
    assert!(answers.len() <= 32, "{} segments", answers.len());
    assert_eq!(arq.tally().duplicates, 19_999);
}

#[test]
fn a20_questions_in_floods_are_answered_once_an_interval() {
    let mut arq = arq(&Settings { interval: 20, ..Settings::default() });
    let mut answers = Vec::new();
    for now in 100..160 {
        input(&mut arq, now, &segment(Command::WindowAsk, 0, 0, 0));
        input(&mut arq, now, &segment(Command::WindowAsk, 0, 0, 0));
        answers.extend(sent(&mut arq, now).iter().map(|(command, ..)| (*command, now)));
    }
    assert_eq!(answers, [100, 120, 140].map(|at| (Command::WindowTell, at)));
    assert_eq!(arq.poll_timeout(), Tick(160));
}
