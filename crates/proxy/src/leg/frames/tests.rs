#![allow(clippy::unwrap_used, reason = "tests")]

use portcullis_core::config::{FrameTypes, RateLimit, TypeBytes};
use portcullis_core::limit::bucket::Rate;
use proptest::prelude::*;

use super::*;

const HELLO: u16 = 2000;
const BEAT: u16 = 1000;
const BEAT_REPLY: u16 = 1001;

/// A frame: version, type, payload.
type Said = (u8, u16, Vec<u8>);

#[test]
fn what_goes_on_is_one_write_where_nothing_stands_between() {
    let wire =
        [frame(&(1, HELLO, vec![1; 10])), frame(&(1, HELLO, vec![])), frame(&(9, 7, vec![2; 9]))].concat();
    let mut frames = frames(OnLimit::Reply, None);
    let mut writes = Vec::new();
    frames.take_up(&wire, &mut turn(0), |unit| writes.push([unit.lead, unit.bytes].concat())).unwrap();
    assert_eq!(writes, [wire]);
}

#[test]
fn nothing_is_kept_between_frames() {
    let mut frames = frames(OnLimit::Reply, None);
    let wire = [frame(&(1, HELLO, vec![1; 100])), frame(&(1, HELLO, vec![2; 5000]))].concat();
    frames.take_up(&wire, &mut turn(0), |_| {}).unwrap();
    frames.take_down(&wire, |_| {});
    assert_eq!((frames.held.capacity(), frames.own.capacity(), frames.holds()), (0, 0, false));
    assert!(size_of::<Frames>() <= 256, "{} bytes", size_of::<Frames>());
}

#[test]
fn heartbeats_at_any_rate_are_answered_in_turns() {
    let beats = 20_000;
    let wire = frame(&(1, BEAT, vec![])).repeat(beats);
    let mut frames = frames(OnLimit::Reply, None);
    let mut all = 0;
    let (mut answered, mut turns) = (0, 0);
    for read in wire.chunks(64 * 1024) {
        let mut turn = turn(0);
        frames.take_up(read, &mut turn, |_| all += 1).unwrap();
        loop {
            assert!(frames.own.len() < OWN_AT_MOST + 100 && frames.held.len() <= 64 * 1024);
            answered += read_all(&mem::take(&mut frames.own)).len();
            turns += 1;
            if !frames.holds() {
                break;
            }
            turn = self::turn(0);
            frames.resume(&mut turn, |_| all += 1).unwrap();
            assert!(!turn.is_spent() || answered + ANSWERS <= beats);
        }
    }
    assert_eq!((answered, all), (beats, 0));
    assert!(turns >= beats / ANSWERS, "{turns} turns");
}

#[test]
fn a_late_frame_passes_at_its_moment_and_what_is_behind_it_after_it() {
    let mut frames =
        frames(OnLimit::Delay { max: Duration::from_secs(1) }, Some(Rate::new(2, Duration::from_secs(1), 1)));
    let said: Vec<Said> = (0..3).map(|index| (1, HELLO, vec![index; 3])).collect();
    let wire: Vec<u8> = said.iter().flat_map(frame).collect();
    let mut passed = Vec::new();
    frames.take_up(&wire, &mut turn(0), |unit| gather(&mut passed, &unit)).unwrap();
    assert_eq!(
        (read_all(&passed), frames.is_late(), frames.late_at()),
        (said[..1].to_vec(), true, Tick(500))
    );
    for now in [1, 499] {
        frames.rang(Tick(now));
        frames.resume(&mut turn(now), |unit| gather(&mut passed, &unit)).unwrap();
    }
    assert_eq!(read_all(&passed).len(), 1);
    frames.rang(Tick(500));
    assert_eq!(frames.late_at(), Tick::NEVER, "it waits for room only");
    frames.resume(&mut turn(700), |unit| gather(&mut passed, &unit)).unwrap();
    assert_eq!((read_all(&passed).len(), frames.late_at()), (2, Tick(1200)));
    frames.rang(Tick(1200));
    frames.resume(&mut turn(1200), |unit| gather(&mut passed, &unit)).unwrap();
    assert_eq!((read_all(&passed), frames.holds()), (said, false));
    assert_eq!(frames.take_counts().limited, 0);
}

#[test]
fn a_frame_that_would_be_too_late_is_refused_at_once() {
    let mut frames = frames(
        OnLimit::Delay { max: Duration::from_millis(100) },
        Some(Rate::new(2, Duration::from_secs(1), 1)),
    );
    let wire = frame(&(3, HELLO, vec![1])).repeat(2);
    let mut passed = Vec::new();
    frames.take_up(&wire, &mut turn(0), |unit| gather(&mut passed, &unit)).unwrap();
    let refused = (3, HELLO, br#"{"message":"error: request rate limit exceeded"}"#.to_vec());
    assert_eq!((read_all(&passed).len(), read_all(&frames.own), frames.holds()), (1, vec![refused], false));
}

#[test]
fn fifty_requests_at_a_demo_s_pace_are_answered_as_its_limit_says() {
    let mut frames = frames(OnLimit::Reply, Some(Rate::new(5, Duration::from_secs(1), 10)));
    let mut passed = Vec::new();
    for request in 0..50 {
        let wire = frame(&(1, HELLO, b"{}".to_vec()));
        frames.take_up(&wire, &mut turn(150 * request), |unit| gather(&mut passed, &unit)).unwrap();
    }
    let passed = read_all(&passed).len();
    assert!((46..=48).contains(&passed), "{passed} of 50");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_directions_are_whole_frames_however_they_are_cut(
        up in said(), down in said(), cut_up in 1usize..300, cut_down in 1usize..300, tokens in any::<bool>(),
    ) {
        let mut frames = frames(OnLimit::Reply, None);
        let wire_up: Vec<u8> = up.iter().flat_map(|(version, kind, payload)| {
            let token = (*version == 2).then_some(frame::TokenBytes([*kind as u8; 16]));
            let length = payload.len() as u16;
            let header = Header { version: *version, kind: *kind, length, token };
            [&header.encode(TypeBytes::Two)[..], payload].concat()
        }).collect();
        let wire_down: Vec<u8> = down.iter().flat_map(frame).collect();
        let (mut to_endpoint, mut to_client) = (Vec::new(), Vec::new());
        let (mut ups, mut downs) = (wire_up.chunks(cut_up), wire_down.chunks(cut_down));
        loop {
            let (one, other) = (ups.next(), downs.next());
            if let Some(bytes) = one {
                frames.take_up(bytes, &mut turn(0), |unit| gather(&mut to_endpoint, &unit)).unwrap();
            }
            if let Some(bytes) = other {
                frames.take_down(bytes, |unit| gather(&mut to_client, &unit));
            }
            if one.is_none() && other.is_none() {
                break;
            }
            if tokens && frames.down.is_between() {
                to_client.append(&mut frames.own);
            }
        }
        to_client.append(&mut frames.own);
        prop_assert!(!frames.holds());
        let beats = up.iter().filter(|(_, kind, _)| *kind == BEAT).count();
        let wanted: Vec<Said> = up.into_iter().filter(|(_, kind, _)| *kind != BEAT)
            .map(|(version, kind, payload)| (if version == 2 { 1 } else { version }, kind, payload)).collect();
        prop_assert_eq!(read_all(&to_endpoint), wanted);
        let (own, theirs): (Vec<Said>, Vec<Said>) =
            read_all(&to_client).into_iter().partition(|(_, kind, _)| *kind == BEAT_REPLY);
        prop_assert_eq!((own.len(), theirs), (beats, down));
    }
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let kind = prop_oneof![Just(BEAT), Just(HELLO), 3000u16..];
    let length = prop_oneof![4 => 0usize..20, 1 => 4000usize..9000];
    let frame =
        (0u8..4, kind, length).prop_map(|(version, kind, length)| (version, kind, vec![version; length]));
    prop::collection::vec(frame, 0..12)
}

fn frames(on_limit: OnLimit, rate: Option<Rate>) -> Frames {
    let (type_bytes, types) = (TypeBytes::Two, FrameTypes::usual(TypeBytes::Two));
    let none: Option<RateLimit> = None;
    let settings =
        config::Frames { type_bytes, types, on_limit, message_rate: none, ..config::Frames::default() };
    let mut rates = Rates::default();
    if let Some(rate) = rate {
        rates.push(rate, Arc::new(Node::default()));
    }
    Frames::with_rates(&Arc::new(settings), rates, Tick(0))
}

fn turn(now: u64) -> Turn {
    Turn { now: Tick(now), clock: Clock::start(), stamp: None, unix: None, answers: ANSWERS }
}

fn gather(to: &mut Vec<u8>, unit: &Unit<'_>) {
    to.extend_from_slice(unit.lead);
    to.extend_from_slice(unit.bytes);
}

fn frame((version, kind, payload): &Said) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::push(&mut wire, TypeBytes::Two, (*version, *kind), payload);
    wire
}

/// The frames of a stream that ends between two.
fn read_all(mut wire: &[u8]) -> Vec<Said> {
    let (mut decoder, mut said) = (Decoder::of_endpoint(TypeBytes::Two), Vec::<Said>::new());
    while let Some(event) = decoder.next(&mut wire) {
        match event {
            Event::Header(header) => said.push((header.version, header.kind, Vec::new())),
            Event::Payload(bytes) => said.last_mut().unwrap().2.extend_from_slice(bytes),
            Event::End => {}
        }
    }
    assert!(decoder.is_between());
    said
}
