//! `tokens = { … }` of a listener: devices show a token that this gateway gave them.

use std::time::Duration;

pub(super) mod rows;

/// How devices are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// How long a token is good.
    pub token_ttl: Duration,
    /// How old a token is when a heartbeat's answer brings the next one; drawn from a fifth less to a fifth more.
    pub rotate_after: Duration,
    /// So long unused, a device may be registered again.
    pub reregister_after: Duration,
    /// What a registration must show besides.
    pub register_requires: Option<Voucher>,
    /// May tokens be sent where anybody on the way can read them?
    pub allow_plaintext: bool,
}

/// What a registration must show, as `proof`: something that a route's resolver accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// A JSON Web Token.
    Jwt(super::Jwt),
    /// A ticket.
    Ticket(super::Ticket),
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Tokens {
    fn default() -> Self {
        Self {
            token_ttl: 7 * DAY,
            rotate_after: Duration::from_secs(3600),
            reregister_after: DAY,
            register_requires: None,
            allow_plaintext: false,
        }
    }
}
