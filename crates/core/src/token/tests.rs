#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod model;

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::guard::{Guard, PER_CLIENT_ID, PER_NETWORK};
use super::record::{Grant, OFFERED, RETIRED, Record, Renewal};
use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const TERMS: Terms = Terms { ttl: 7 * DAY, rotate_after: HOUR, reregister_after: DAY };
const START: Unix = 1_800_000_000;

/// Chance that can be told apart, and repeats.
fn chance(number: u64) -> Chance {
    let mut token = [7; 16];
    token[..6].copy_from_slice(&number.to_le_bytes()[..6]);
    Chance { token, family: number.to_le_bytes(), spread: [0xff, 0x7f] }
}

fn registered() -> (Record, Grant) {
    Record::register(None, START, &TERMS, &chance(1)).unwrap()
}

/// Asks for renewal as a heartbeat does.
fn beat(record: &mut Record, now: Unix, number: u64) -> Option<Grant> {
    let asks = Renewal { family: record.family(), takes_token: true };
    record.renew(asks, now, &TERMS, &chance(number)).unwrap().0
}

fn show(record: &mut Record, token: DeviceToken, now: Unix) -> Result<record::Known, Refusal> {
    record.show(&token.hash(), now, &TERMS, &chance(99))
}

#[test]
fn a_token_is_a_uuid_of_version_4_and_survives_both_of_its_forms() {
    for random in [[0; 16], [0xff; 16], *b"sixteen bytes is"] {
        let token = DeviceToken::from_random(random);
        let text = token.text();
        assert_eq!((text.len(), &text[14..15]), (36, "4"), "{text}");
        assert!("89ab".contains(&text[19..20]), "{text}");
        assert_eq!(DeviceToken::parse(&text).unwrap().wire(), token.wire());
        assert_eq!(DeviceToken::parse(&text.to_uppercase()).unwrap().wire(), token.wire());
        assert_eq!(DeviceToken::from_wire(token.wire()).hash(), token.hash());
    }
}

#[test]
fn what_is_no_token_is_none() {
    let good = DeviceToken::from_random([3; 16]).text();
    for text in [
        "",
        "03030303-0303-4303-8303-03030303030",
        "03030303-0303-4303-8303-0303030303033",
        "03030303x0303-4303-8303-030303030303",
        "0303030-30303-4303-8303-030303030303",
        "0303030g-0303-4303-8303-030303030303",
        "+3030303-0303-4303-8303-030303030303",
        "{3030303-0303-4303-8303-03030303030}",
        "0303-0303-0303-4303-8303-0303030303",
        "0303030é-0303-4303-8303-03030303030",
    ] {
        assert!(DeviceToken::parse(text).is_none(), "{text:?}");
    }
    assert!(DeviceToken::parse(&good).is_some());
}

#[test]
fn no_secret_is_printed() {
    let (record, grant) = registered();
    let digits = grant.token.text().replace('-', "");
    let hash = format!("{:?} {:?}", grant.token.hash(), chance(1));
    for printed in [format!("{grant:?}"), format!("{record:?}"), hash] {
        assert!(printed.contains("***") && !printed.contains(&digits[..12]), "{printed}");
    }
}

#[test]
fn client_ids_are_bounded_names() {
    let mac = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    for good in [mac, "a", "00:11:22:33:44:55", "Device_7.b-9", &"x".repeat(CLIENT_ID_MAX)] {
        assert_eq!(ClientId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", " ", "a b", "a\n", "a\0", "é", "a/b", "a\"b", &"x".repeat(CLIENT_ID_MAX + 1)] {
        assert_eq!(ClientId::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_device_that_is_in_use_is_not_registered_again() {
    let (record, _) = registered();
    let again = |record: &Record, now| Record::register(Some(record), now, &TERMS, &chance(2)).map(|_| ());
    for (after, want) in
        [(0, Err(Refusal::Bound)), (DAY - 1, Err(Refusal::Bound)), (DAY, Ok(())), (8 * DAY, Ok(()))]
    {
        assert_eq!(again(&record, START + after), want, "{after} s later");
    }
    // A clock that was set back makes nobody unused.
    assert_eq!(again(&record, START - 60), Err(Refusal::Bound));
    let mut used = record.clone();
    beat(&mut used, START + DAY - 1, 3);
    assert_eq!(again(&used, START + 2 * DAY - 2), Err(Refusal::Bound));
    // Whose token has ended cannot log in: it must be able to register, however lately it was heard.
    beat(&mut used, START + 7 * DAY - 10, 4);
    assert_eq!(again(&used, START + 7 * DAY - 1), Err(Refusal::Bound));
    assert_eq!(again(&used, START + 7 * DAY), Ok(()));
}

#[test]
fn a_token_is_good_until_it_ends() {
    let (mut record, grant) = registered();
    assert_eq!(grant.expires_at, START + 7 * DAY);
    for (after, want) in [(0, None), (7 * DAY - 1, None), (7 * DAY, Some(Refusal::Expired))] {
        assert_eq!(show(&mut record, grant.token, START + after).err(), want, "{after} s later");
    }
    let stranger = DeviceToken::from_random([9; 16]);
    assert_eq!(show(&mut record, stranger, START), Err(Refusal::WrongToken));
}

#[test]
fn the_next_token_is_due_after_an_hour_give_or_take_a_fifth() {
    for (spread, due) in [([0, 0], HOUR * 4 / 5), ([0xff, 0xff], HOUR * 6 / 5), ([0xff, 0x7f], HOUR - 1)] {
        let chance = Chance { spread, ..chance(1) };
        let (record, _) = Record::register(None, START, &TERMS, &chance).unwrap();
        assert!(beat(&mut record.clone(), START + due - 1, 2).is_none(), "{due}");
        assert!(beat(&mut record.clone(), START + due, 2).is_some(), "{due}");
    }
}

#[test]
fn a06_the_old_token_is_good_until_the_new_one_is_shown_and_theft_after_that() {
    let (mut record, first) = registered();
    let second = beat(&mut record, START + 2 * HOUR, 2).unwrap();
    // The answer may have been lost.
    assert!(!show(&mut record, first.token, START + 3 * HOUR).unwrap().has_moved);
    let known = show(&mut record, second.token, START + 3 * HOUR).unwrap();
    assert_eq!((known.hash, known.has_moved), (second.token.hash(), true));
    assert!(!show(&mut record, second.token, START + 3 * HOUR).unwrap().has_moved);
    assert_eq!(show(&mut record, first.token, START + 4 * HOUR), Err(Refusal::Stolen));
    for token in [first.token, second.token] {
        assert_eq!(show(&mut record, token, START + 4 * HOUR), Err(Refusal::Revoked));
    }
    // The thief knows the client id too: nobody registers it before a day has passed.
    let again = |now| Record::register(Some(&record), now, &TERMS, &chance(5)).map(|_| ());
    assert_eq!(again(START + 28 * HOUR - 1), Err(Refusal::Revoked));
    assert_eq!(again(START + 28 * HOUR), Ok(()));
}

#[test]
fn a06_an_offer_that_a_later_one_has_overtaken_is_theft_too_and_one_that_is_still_under_way_is_not() {
    let (mut record, first) = registered();
    let second = beat(&mut record, START + 2 * HOUR, 2).unwrap();
    let third = beat(&mut record, START + 5 * HOUR, 3).unwrap();
    let fourth = beat(&mut record, START + 10 * HOUR, 4).unwrap();
    assert!(show(&mut record, third.token, START + 11 * HOUR).unwrap().has_moved);
    assert!(show(&mut record, fourth.token, START + 11 * HOUR).unwrap().has_moved);
    for stolen in [first, second, third] {
        assert_eq!(show(&mut record.clone(), stolen.token, START + 11 * HOUR), Err(Refusal::Stolen));
    }
    // What has ended anyway is nobody's gain, and revokes nothing.
    let ended = show(&mut record, first.token, first.expires_at);
    assert_eq!(ended, Err(Refusal::WrongToken));
}

#[test]
fn a_session_of_another_family_is_not_renewed() {
    let (mut record, _) = registered();
    let other = Renewal { family: Family(77), takes_token: true };
    assert_eq!(record.renew(other, START, &TERMS, &chance(2)).map(|_| ()), Err(Refusal::Revoked));
    let own = Renewal { family: record.family(), takes_token: true };
    record.revoke(START);
    assert_eq!(record.renew(own, START, &TERMS, &chance(2)).map(|_| ()), Err(Refusal::Revoked));
}

#[test]
fn a_frame_that_can_carry_no_token_gets_none_and_keeps_the_device_in_use() {
    let (mut record, _) = registered();
    let asks = Renewal { family: record.family(), takes_token: false };
    let (offer, next) = record.renew(asks, START + 20 * HOUR, &TERMS, &chance(2)).unwrap();
    assert!(offer.is_none());
    assert!(next <= START + 32 * HOUR);
    let again = Record::register(Some(&record), START + 43 * HOUR, &TERMS, &chance(3));
    assert_eq!(again.map(|_| ()), Err(Refusal::Bound));
}

#[test]
fn what_is_kept_of_a_device_is_bounded_however_it_rotates() {
    let terms = Terms { ttl: 365 * DAY, rotate_after: 1, reregister_after: DAY };
    let (mut record, _) = Record::register(None, START, &terms, &chance(1)).unwrap();
    let mut now = START;
    for number in 0..2000 {
        now += 30;
        let asks = Renewal { family: record.family(), takes_token: true };
        let (offer, _) = record.renew(asks, now, &terms, &chance(2 + number)).unwrap();
        if let Some(offer) = offer.filter(|_| number % 2 == 0) {
            record.show(&offer.token.hash(), now, &terms, &chance(1)).unwrap();
        }
        assert!(record.encode().len() <= 70 + 40 * OFFERED + 16 * RETIRED);
    }
}

#[test]
fn a_record_is_over_when_nothing_in_it_would_be_missed() {
    let (mut record, _) = registered();
    assert!(!record.is_over(START + 7 * DAY - 1, &TERMS));
    assert!(record.is_over(START + 7 * DAY, &TERMS));
    beat(&mut record, START + 6 * DAY, 2);
    assert!(!record.is_over(START + 13 * DAY - 1, &TERMS));
    record.revoke(START + 6 * DAY);
    assert!(!record.is_over(START + 7 * DAY - 1, &TERMS));
    assert!(record.is_over(START + 7 * DAY, &TERMS));
}

#[test]
fn a07_guesses_are_rationed_by_network_and_by_client_id() {
    let (mut guard, id) = (Guard::default(), ClientId::parse("device").unwrap());
    let attacker: IpAddr = "192.0.2.1".parse().unwrap();
    let now = Duration::from_secs(1000);
    let mut tried = 0;
    for _ in 0..10_000 {
        if guard.allows(attacker, &id, now) {
            tried += 1;
            guard.refused(attacker, &id, now);
        }
    }
    assert_eq!(tried, PER_NETWORK, "of 10,000 guesses at once");
    for second in 0..600 {
        let now = now + Duration::from_secs(second);
        if guard.allows(attacker, &id, now) {
            tried += 1;
            guard.refused(attacker, &id, now);
        }
    }
    assert!((215..=220).contains(&tried), "{tried} in ten minutes");
    // Its owner comes from elsewhere, and another client id of that network is not let through either.
    assert!(guard.allows("198.51.100.7".parse().unwrap(), &id, now));
    assert!(!guard.allows(attacker, &ClientId::parse("another").unwrap(), now));
}

#[test]
fn a07_many_networks_get_one_guess_each_once_a_client_id_is_under_attack() {
    let (mut guard, id) = (Guard::default(), ClientId::parse("device").unwrap());
    let now = Duration::from_secs(1000);
    let mut tried = 0;
    for round in 0..50_u32 {
        for host in 0..100_u32 {
            let ip = IpAddr::from((0xcb00_7100 + host).to_be_bytes());
            if guard.allows(ip, &id, now) {
                tried += 1;
                guard.refused(ip, &id, now);
            }
        }
        assert!(round > 0 || tried == 100);
    }
    assert!(tried <= 100 + PER_CLIENT_ID, "{tried}");
}

proptest! {
    #[test]
    fn a_record_survives_the_store(history in model::history()) {
        let mut world = model::World::new(TERMS, START);
        for act in history {
            world.act(act);
            if let Some(record) = world.record() {
                prop_assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
            }
        }
    }

    #[test]
    fn no_bytes_of_the_store_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0..200_usize) {
        let _any = Record::decode(&bytes);
        let (record, _) = registered();
        let whole = record.encode();
        let part = &whole[..cut.min(whole.len() - 1)];
        prop_assert_eq!(Record::decode(part), None);
        prop_assert_eq!(Record::decode(&[&whole[..], b"x"].concat()), None);
    }

    #[test]
    fn every_history_is_judged_as_the_naive_model_judges_it(history in model::history()) {
        let mut world = model::World::new(TERMS, START);
        for act in history {
            world.act(act);
        }
    }

    #[test]
    fn a_client_that_loses_replies_is_never_locked_out(
        lost in prop::collection::vec(any::<bool>(), 1..40),
        pauses in prop::collection::vec(1..40_u64, 400),
        shows in prop::collection::vec(any::<bool>(), 1..7),
    ) {
        client_with_losses(&lost, &pauses, &shows);
    }
}

#[test]
fn a_client_that_loses_every_second_or_every_rotation_reply_is_never_locked_out() {
    for lost in [&[true, false][..], &[false, true], &[true]] {
        for shows in [&[true][..], &[false], &[false, false, false, true]] {
            client_with_losses(lost, &[1; 4000], shows);
            client_with_losses(lost, &[7; 1000], shows);
        }
    }
}

/// Heartbeats every so many quarters of an hour; some answers are lost, and now and then the token is shown. Each
/// time it must be good, or have ended by what the client itself was told: then it must be able to register.
fn client_with_losses(lost: &[bool], pauses: &[u64], shows: &[bool]) {
    let (mut record, mut held) = registered();
    let (mut now, mut offers) = (START, 0);
    for (round, pause) in pauses.iter().enumerate() {
        now += pause * HOUR / 4;
        if let Some(offer) = beat(&mut record, now, 2 + round as u64) {
            if !lost[offers % lost.len()] {
                held = offer;
            }
            offers += 1;
        }
        if !shows[round % shows.len()] {
            continue;
        }
        if now < held.expires_at {
            show(&mut record, held.token, now).expect("its token is good until it ends");
        } else {
            let number = 1_000_000 + round as u64;
            (record, held) = Record::register(Some(&record), now, &TERMS, &chance(number))
                .expect("whose token has ended may register");
        }
    }
}

mod bearer {
    use super::*;
    use crate::token::bearer::{Answer, Ask, Bearer, FamilyChange, Pass, Verdict};

    const NOW: Unix = START;

    fn token(number: u8) -> DeviceToken {
        DeviceToken::from_random([number; 16])
    }

    fn known(number: u8) -> record::Known {
        record::Known {
            family: Family(7),
            hash: token(number).hash(),
            expires_at: NOW + 100,
            renew_at: NOW + 50,
            has_moved: false,
        }
    }

    fn logged_in() -> Bearer {
        let mut bearer = Bearer::default();
        assert!(matches!(bearer.handle_login("device", &token(1).text()), Ask::Login { .. }));
        let serial = bearer.serial();
        let verdict = bearer.handle_answer(serial, Answer::Known(known(1)), NOW);
        assert!(matches!(verdict, Verdict::LoggedIn { expires_at } if expires_at == NOW + 100));
        bearer
    }

    #[test]
    fn no_frame_goes_on_before_the_device_has_logged_in() {
        let mut bearer = Bearer::default();
        for shown in [None, Some(token(1))] {
            assert!(matches!(bearer.handle_frame(shown, NOW), Pass::No(Refusal::NotLoggedIn)));
        }
        assert!(bearer.poll_renewal(true, NOW).is_none());
        assert!(!bearer.is_waiting());
    }

    #[test]
    fn what_is_no_request_is_refused_without_a_question() {
        let mut bearer = Bearer::default();
        for ask in [
            bearer.handle_register("", None),
            bearer.handle_register("a b", None),
            bearer.handle_login("device", "no token"),
            bearer.handle_login("a\0b", &token(1).text()),
        ] {
            assert!(matches!(ask, Ask::Refused(_, Refusal::Malformed)), "{ask:?}");
        }
        assert!(!bearer.is_waiting());
    }

    #[test]
    fn the_token_that_was_accepted_passes_without_a_question_until_it_ends() {
        let mut bearer = logged_in();
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW + 99), Pass::Yes));
        assert!(matches!(bearer.handle_frame(None, NOW + 99), Pass::Yes));
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW + 100), Pass::Ask(Ask::Show { .. })));
        assert!(bearer.is_waiting());
    }

    #[test]
    fn another_token_waits_for_its_answer_and_is_then_the_one_that_passes() {
        let mut bearer = logged_in();
        assert!(matches!(bearer.handle_frame(Some(token(2)), NOW), Pass::Ask(Ask::Show { .. })));
        let serial = bearer.serial();
        let late = bearer.handle_answer(serial.wrapping_sub(1), Answer::Known(known(2)), NOW);
        assert!(matches!(late, Verdict::Nothing) && bearer.is_waiting());
        let verdict = bearer.handle_answer(serial, Answer::Known(known(2)), NOW);
        assert!(matches!(verdict, Verdict::Pass) && !bearer.is_waiting());
        assert!(matches!(bearer.handle_frame(Some(token(2)), NOW), Pass::Yes));
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW), Pass::Ask(_)));
    }

    #[test]
    fn a06_once_another_session_has_shown_a_newer_token_the_older_one_is_asked_about() {
        let mut bearer = logged_in();
        let moved = FamilyChange::Moved(token(2).hash());
        assert!(matches!(bearer.handle_change(Family(8), moved), Verdict::Nothing));
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW), Pass::Yes));
        assert!(matches!(bearer.handle_change(Family(7), moved), Verdict::Nothing));
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW), Pass::Ask(_)));
    }

    #[test]
    fn a06_a_revoked_family_must_leave_and_others_stay() {
        let mut bearer = logged_in();
        assert!(matches!(bearer.handle_change(Family(8), FamilyChange::Revoked), Verdict::Nothing));
        let verdict = bearer.handle_change(Family(7), FamilyChange::Revoked);
        assert!(matches!(verdict, Verdict::Refuse(Refusal::Revoked)));
    }

    #[test]
    fn an_offer_rides_on_the_next_heartbeat_once() {
        let mut bearer = logged_in();
        assert!(bearer.poll_renewal(true, NOW + 49).is_none());
        let Some(Ask::Renew { asks, .. }) = bearer.poll_renewal(true, NOW + 50) else { panic!("it is due") };
        assert!(asks.takes_token);
        assert!(bearer.poll_renewal(true, NOW + 50).is_none(), "it is asked once at a time");
        let grant = Grant { token: token(2), expires_at: NOW + 200 };
        let serial = bearer.serial();
        let answer = Answer::Renewed(Some(grant), NOW + 120);
        assert!(matches!(bearer.handle_answer(serial, answer, NOW + 50), Verdict::Nothing));
        assert_eq!(bearer.take_offer(NOW + 60).unwrap().token.wire(), token(2).wire());
        assert!(bearer.take_offer(NOW + 60).is_none());
        assert!(bearer.poll_renewal(true, NOW + 119).is_none());
    }

    #[test]
    fn a_store_that_is_away_keeps_nobody_out_who_is_in() {
        let mut bearer = logged_in();
        let _ask = bearer.poll_renewal(true, NOW + 50);
        let verdict = bearer.handle_answer(bearer.serial(), Answer::Refused(Refusal::Store), NOW + 50);
        assert!(matches!(verdict, Verdict::Nothing));
        assert!(matches!(bearer.handle_frame(Some(token(1)), NOW + 51), Pass::Yes));
        assert!(bearer.poll_renewal(true, NOW + 79).is_none());
        let _ask = bearer.poll_renewal(true, NOW + 80).unwrap();
        let gone = bearer.handle_answer(bearer.serial(), Answer::Refused(Refusal::Unknown), NOW + 80);
        assert!(matches!(gone, Verdict::Refuse(Refusal::Unknown)), "it was forgotten");
    }
}
