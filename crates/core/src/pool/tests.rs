#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

#[test]
fn the_shares_of_all_workers_are_the_whole() {
    for whole in [0, 1, 2, 7, 32, u16::MAX] {
        for workers in [1, 2, 3, 64] {
            let shares: Vec<u16> = (0..workers).map(|worker| share(whole, workers, worker)).collect();
            assert_eq!(shares.iter().map(|one| u32::from(*one)).sum::<u32>(), u32::from(whole));
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }
}

#[test]
fn nothing_outlives_its_age_and_those_of_one_moment_part() {
    let age = Duration::from_secs(80);
    let all: Vec<Tick> = [0, u32::MAX / 2, u32::MAX].map(|dice| expiry(Tick(5), age, dice)).to_vec();
    assert_eq!(all.first(), Some(&Tick(70_005)));
    assert!(all.iter().all(|at| *at <= Tick(80_005)), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
}

#[test]
fn a_refill_begins_with_one_and_doubles_up_to_its_share() {
    let mut refill = Refill::new(8);
    for expected in [1, 2, 4, 8, 8] {
        let begin = refill.may_begin(Tick(10), 0, 100);
        assert_eq!(begin, expected);
        (0..begin).for_each(|_| refill.begun());
        assert_eq!(refill.may_begin(Tick(10), 0, 100), 0, "no more than {expected} at a time");
        (0..begin).for_each(|_| refill.made(Tick(10)));
    }
}

#[test]
fn no_more_are_begun_than_are_wanted() {
    let mut refill = Refill::new(8);
    for _ in 0..4 {
        refill.begun();
        refill.made(Tick(0));
    }
    assert_eq!(refill.may_begin(Tick(0), 3, 5), 2);
    refill.begun();
    assert_eq!(refill.may_begin(Tick(0), 3, 5), 1);
    assert_eq!(refill.may_begin(Tick(0), 9, 5), 0);
}

#[test]
fn failures_in_a_row_are_followed_by_ever_longer_rests() {
    let (mut refill, mut now, mut rests) = (Refill::new(8), Tick(0), Vec::new());
    for _ in 0..12 {
        assert_eq!(refill.may_begin(now, 0, 4), 1, "one at a time after a failure");
        refill.begun();
        refill.failed(now, 0);
        assert_eq!(refill.may_begin(now, 0, 4), 0);
        let until = refill.poll_timeout(now);
        rests.push(until.since(now).as_millis());
        now = until;
    }
    assert_eq!(rests[..4], [100, 200, 400, 800]);
    assert_eq!(rests[11], 10_000, "it is tried again for ever");
}

#[test]
fn those_that_fail_together_are_one_failure() {
    let mut refill = Refill::new(8);
    for _ in 0..3 {
        refill.begun();
        refill.made(Tick(0));
    }
    (0..8).for_each(|_| refill.begun());
    (0..8).for_each(|_| refill.failed(Tick(50), 0));
    assert_eq!(refill.poll_timeout(Tick(50)), Tick(150));
    assert_eq!(refill.may_begin(Tick(150), 0, 8), 1);
}

#[test]
fn an_endpoint_that_hangs_up_at_once_is_not_dialled_in_a_circle() {
    let (mut refill, mut now, mut dials) = (Refill::new(8), Tick(0), 0);
    while now < Tick(60_000) {
        if refill.may_begin(now, 0, 4) > 0 {
            refill.begun();
            refill.made(now);
            refill.lost(now, now, 0);
            dials += 1;
        }
        now = Tick(now.0 + 10);
    }
    assert!(dials < 16, "{dials} in a minute");
}

#[test]
fn an_endpoint_that_is_well_again_is_filled_as_fast_as_before() {
    let mut refill = Refill::new(8);
    refill.begun();
    refill.failed(Tick(0), 0);
    for now in (200..2_000).step_by(100) {
        refill.begun();
        refill.made(Tick(now));
    }
    assert_eq!(refill.may_begin(Tick(2_000), 0, 100), 8);
}
