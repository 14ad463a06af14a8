#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn s11_a_bucket_refills_however_often_it_is_asked() {
    // Five a second, burst ten, asked every 150 ms: 10 saved + 49 × 0.15 s × 5 = 46.75.
    let rate = Rate::new(5, Duration::from_secs(1), 10);
    let mut bucket = Bucket::full(rate, Duration::ZERO);
    let passed = (1..=50).filter(|turn| bucket.take(rate, MS * 150 * *turn, 1).is_ok()).count();
    assert_eq!(passed, 46);
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let rate = Rate::new(2, Duration::from_secs(1), 2);
    let mut bucket = Bucket::full(rate, MS);
    assert_eq!(bucket.take(rate, MS, 2), Ok(()));
    assert_eq!(bucket.take(rate, MS, 1), Err(MS * 500));
    assert_eq!(bucket.take(rate, MS * 500, 1), Err(MS));
    assert_eq!(bucket.take(rate, MS * 501, 1), Ok(()));
    assert_eq!(bucket.take(rate, MS * 501, 3), Err(Duration::MAX));
    assert_eq!(Bucket::full(Rate::new(0, MS, 0), MS).take(Rate::new(0, MS, 0), MS, 1), Err(Duration::MAX));
}

#[test]
fn a_clock_that_steps_back_earns_nothing() {
    let rate = Rate::per_minute(60);
    let mut bucket = Bucket::full(rate, MS * 5000);
    assert_eq!(bucket.take(rate, MS * 5000, 60), Ok(()));
    assert!(bucket.take(rate, MS, 1).is_err());
    assert!(bucket.take(rate, MS * 5500, 1).is_err());
    assert!(bucket.take(rate, MS * 6000, 1).is_ok());
}

#[test]
fn the_table_forgets_who_was_quiet_for_longest() {
    let mut table = Buckets::new(Rate::per_minute(1), 2);
    for key in ["a", "b", "a", "c"] {
        table.take(&key, MS, 1).ok();
    }
    assert_eq!(table.len(), 2);
    assert!(table.level(&"a", MS) < 1.0 && table.level(&"c", MS) < 1.0);
    assert_eq!(table.level(&"b", MS), 1.0);
}

#[test]
fn the_table_is_bounded_under_a_flood() {
    let mut table = Buckets::new(Rate::per_minute(1), 100);
    for key in 0..10_000 {
        assert!(table.take(&key, MS, 1).is_ok());
        assert!(table.len() <= 100 && table.order.len() == table.cells.len());
    }
}

#[test]
fn a_client_is_its_network() {
    let rows = [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8:0:aa00::1", "2001:db8:0:aaff:ffff::2", true),
        ("2001:db8:0:aa00::1", "2001:db8:0:ab00::1", false),
    ];
    for (one, other, same) in rows {
        let [one, other] = [one, other].map(|text| ClientNet::of(text.parse().unwrap()));
        assert_eq!(one == other, same, "{one:?} {other:?}");
    }
}

#[test]
fn twenty_failed_dials_a_minute_are_free() {
    let dials = FailedDials::new(20);
    let (client, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    for _ in 0..20 {
        assert!(dials.allows(client, MS));
        dials.failed(client, MS);
    }
    assert!(!dials.allows(client, MS));
    assert!(dials.allows(other, MS));
    assert!(!dials.allows(client, MS * 2999));
    assert!(dials.allows(client, MS * 3001), "one more each three seconds");
}

#[test]
fn dials_at_once_are_held_against_the_next() {
    let dials = FailedDials::new(3);
    let client = "192.0.2.1".parse().unwrap();
    (0..30).for_each(|_| dials.failed(client, Duration::ZERO));
    assert!(!dials.allows(client, MS * 30_000), "thirty at once cost more than three");
    // The debt is bounded: no flood locks a client out for long.
    (0..100_000).for_each(|_| dials.failed(client, Duration::ZERO));
    assert!(dials.allows(client, Duration::from_secs(3600)));
}

proptest! {
    #[test]
    fn never_more_passes_than_rate_and_burst(
        tokens in 1_u32..100,
        burst in 1_u32..50,
        gaps in prop::collection::vec(0_u64..400_000_000, 1..200),
    ) {
        let rate = Rate::new(tokens, Duration::from_secs(1), burst);
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        let (mut now, mut passed) = (Duration::ZERO, 0_u32);
        for gap in gaps {
            now += Duration::from_nanos(gap);
            passed += u32::from(bucket.take(rate, now, 1).is_ok());
            prop_assert!(f64::from(passed) <= now.as_secs_f64() * f64::from(tokens) + f64::from(burst) + 0.01);
        }
    }
}
