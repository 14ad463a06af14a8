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

/// Waits until `event` holds, and panics with `what` when it does not within ten seconds.
pub fn until(what: &str, mut event: impl FnMut() -> bool) {
    assert!(within(Duration::from_secs(10), || event().then_some(())).is_some(), "waited in vain: {what}");
}
