//! Waiting for an event, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until `event` is there; `None` when it is not within `time`.
///
/// For what no descriptor announces: the state of another process.
pub fn within<T>(time: Duration, mut event: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(value) = event() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Measures again, up to five times, until it takes less than `bound`; the shortest time.
///
/// For upper bounds: a machine that is busy with others is late now and then, what is slow is so every time.
pub fn best_of(bound: Duration, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(measure());
        if best < bound {
            break;
        }
    }
    best
}

/// Waits until `event` holds, and panics with `what` when it does not within half a minute.
pub fn until(what: &str, mut event: impl FnMut() -> bool) {
    assert!(within(Duration::from_secs(30), || event().then_some(())).is_some(), "waited in vain: {what}");
}
