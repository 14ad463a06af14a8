//! The lines of endpoints that have changed.

use portcullis_core::endpoint::Endpoint;
use portcullis_core::health::Change;
use portcullis_core::name::UpstreamName;

use super::Entry;

impl Entry {
    /// Tells from what to what an endpoint has changed, and what has shown it.
    ///
    /// Each change has a message of its own: of endpoints that flap, a few of each are told and then counted.
    pub(crate) fn of_endpoint(
        (upstream, endpoint): (&UpstreamName, &Endpoint),
        change: Change,
        why: &str,
    ) -> Self {
        let (entry, time) = match change {
            Change::Down => (Self::warn("an endpoint is down"), None),
            Change::Up => (Self::info("an endpoint is up"), None),
            Change::Ejected(time) => {
                (Self::warn("an endpoint is left alone: sessions failed on it"), Some(time))
            }
            Change::Returned => (Self::info("an endpoint serves again"), None),
            Change::Stopped => (Self::warn("an endpoint is stopped by its agent"), None),
            Change::Resumed => (Self::info("an endpoint goes on, says its agent"), None),
        };
        let entry = entry.with("upstream", upstream.as_str()).with_text("endpoint", endpoint);
        let entry = entry.with("from", change.from()).with("to", change.to());
        let entry = if why.is_empty() { entry } else { entry.with("why", why) };
        entry.with_some("for", time)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_says_which_endpoint_changed_from_what_to_what_and_why() {
        let upstream = UpstreamName::from("lobby");
        let endpoint: Endpoint = "10.0.0.7:9000".parse().unwrap();
        let line = |change, why| {
            let entry = Entry::of_endpoint((&upstream, &endpoint), change, why);
            format!("{entry:?}")
        };
        let down = line(Change::Down, "it refused the connection");
        for part in ["an endpoint is down", "lobby", "10.0.0.7:9000", "up", "down", "it refused"] {
            assert!(down.contains(part), "{part}: {down}");
        }
        assert!(line(Change::Ejected(Duration::from_secs(90)), "").contains("90"));
    }
}
