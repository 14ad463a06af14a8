#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::limit::scope::Node;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_refusal_of_one_bucket_takes_nothing_from_the_others() {
    let (wide, narrow) = (Arc::new(Node::default()), Arc::new(Node::default()));
    let mut rates = Rates::default();
    rates.push(Rate::new(10, SECOND, 10), Arc::clone(&wide) as Arc<dyn Scope>);
    rates.push(Rate::new(1, SECOND, 2), narrow);
    let passed = (0..100).filter(|_| rates.take(MS, 1).is_ok()).count();
    assert_eq!(passed, 2);
    assert!((wide.level(Rate::new(10, SECOND, 10), MS) - 8.0).abs() < 0.01);
}

#[test]
fn without_a_limit_everything_passes() {
    let rates = Rates::default();
    assert!(rates.is_empty());
    assert_eq!((rates.take(MS, u32::MAX), rates.allowance(MS)), (Ok(()), Ok(u64::MAX)));
}

#[test]
fn bytes_pass_at_their_rate_whatever_a_look_may_borrow() {
    // Rate, burst, what one read may exceed its allowance by.
    for (rate, burst, borrow) in
        [(100_000, 10, 0), (100_000, 100_000, 65_536), (50_000_000, 1, 0), (900, 1, 64)]
    {
        let mut rates = Rates::default();
        rates.push_bytes(Rate::new(rate, SECOND, burst), Arc::new(Node::default()));
        let (mut now, mut passed, mut looks) = (SECOND, 0_u64, 0_u32);
        while now < SECOND * 11 {
            looks += 1;
            match rates.allowance(now) {
                Ok(bytes) => {
                    let read = bytes + borrow;
                    rates.charge(now, read);
                    passed += read;
                }
                // A worker's tick is a millisecond, and a busy one comes a little late.
                Err(wait) => now += wait.max(PAUSE) + MS,
            }
        }
        let want = u64::from(rate) * 10;
        let saved = u64::from(burst).max(u64::from(rate) / 50) + borrow;
        assert!(
            passed * 100 >= want * 95 && passed <= want * 105 / 100 + saved,
            "{rate}/s burst {burst}: {passed} passed"
        );
        assert!(looks < 4000, "{looks} looks in 10 s");
    }
}
