//! Repeated warnings, told a few times and then counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many lines of one message are told within one window.
const BURST: u32 = 10;

/// How long a window lasts from its first line.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Counts lines by message. Messages are constants of the program, so the map is bounded.
#[derive(Debug, Default)]
pub(super) struct Suppress {
    windows: HashMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    until: Instant,
    told: u32,
    suppressed: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it.
    Tell,
    /// Write it, and say that this many like it were left out.
    TellMissing(u64),
    /// Leave it out.
    Leave,
}

impl Suppress {
    /// Takes notice of a line with `message`.
    pub(super) fn handle_line(&mut self, message: &'static str, now: Instant) -> Verdict {
        let fresh = Window { until: now + WINDOW, told: 1, suppressed: 0 };
        let Some(window) = self.windows.get_mut(message) else {
            self.windows.insert(message, fresh);
            return Verdict::Tell;
        };
        if now >= window.until {
            let missing = std::mem::replace(window, fresh).suppressed;
            return if missing == 0 { Verdict::Tell } else { Verdict::TellMissing(missing) };
        }
        if window.told < BURST {
            window.told += 1;
            return Verdict::Tell;
        }
        window.suppressed += 1;
        Verdict::Leave
    }

    /// Takes one message whose window is over and whose left-out lines nobody has told yet.
    pub(super) fn poll_missing(&mut self, now: Instant) -> Option<(&'static str, u64)> {
        self.windows.retain(|_, window| now < window.until || window.suppressed > 0);
        let over = |(_, window): &(_, &mut Window)| now >= window.until;
        let (message, window) = self.windows.iter_mut().find(over)?;
        Some((message, std::mem::take(&mut window.suppressed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_message_is_told_ten_times_and_then_counted() {
        let (mut suppress, start) = (Suppress::default(), Instant::now());
        for nth in 0..BURST {
            assert_eq!(suppress.handle_line("full", start), Verdict::Tell, "line {nth}");
        }
        for _ in 0..90 {
            assert_eq!(suppress.handle_line("full", start), Verdict::Leave);
        }
        assert_eq!(suppress.handle_line("other", start), Verdict::Tell, "messages do not share");
        assert_eq!(suppress.handle_line("full", start + WINDOW), Verdict::TellMissing(90));
        assert_eq!(suppress.handle_line("full", start + WINDOW), Verdict::Tell);
    }

    #[test]
    fn the_count_is_told_even_if_the_message_never_comes_again() {
        let (mut suppress, start) = (Suppress::default(), Instant::now());
        for _ in 0..15 {
            suppress.handle_line("full", start);
        }
        assert_eq!(suppress.poll_missing(start), None);
        assert_eq!(suppress.poll_missing(start + WINDOW), Some(("full", 5)));
        assert_eq!(suppress.poll_missing(start + WINDOW), None);
        assert!(suppress.windows.is_empty(), "nothing is kept of the past");
    }
}
