//! The lines of a session: one at its start (debug), one at its end (info). Never a token or a key.

use portcullis_core::outcome::Ended;
use portcullis_proxy::{Opened, Refused};

use super::entry::{Entry, Field};

impl From<&Ended> for Entry {
    /// Tells how a session ended, whoever's fault it was: a client's is never more than INFO.
    fn from(ended: &Ended) -> Self {
        let text = |text: &str| Field::from(text);
        Self::info("session closed")
            .with_text("session", ended.session)
            .with("listener", ended.listener.as_str())
            .with_text("client", ended.client)
            .with_some("target", ended.target.as_deref().map(text))
            .with_some("endpoint", ended.endpoint.map(|endpoint| endpoint.to_string()))
            .with_some("identity", ended.identity.as_deref().map(text))
            .with("reason", ended.reason.label())
            .with("up", ended.up_bytes)
            .with("down", ended.down_bytes)
            .with("path", ended.path.label())
            .with_some("opened_after", ended.opened_after)
            .with("lasted", ended.lasted)
    }
}

impl From<&Opened> for Entry {
    /// Tells that a session was opened.
    fn from(opened: &Opened) -> Self {
        Self::debug("session opened")
            .with_text("session", opened.session)
            .with("listener", opened.listener.as_str())
            .with_text("client", opened.client)
            .with_text("endpoint", opened.endpoint)
            .with_some("identity", opened.identity.as_deref().map(Field::from))
    }
}

impl From<&Refused> for Entry {
    /// Tells that a client was not let in.
    fn from(refused: &Refused) -> Self {
        Self::info("client refused")
            .with("listener", refused.listener.as_str())
            .with_text("client", refused.client)
            .with("reason", refused.reason.label())
    }
}
