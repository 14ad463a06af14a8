//! Origins (RFC 6454): scheme, host and port, all of them equal or not at all.

use super::UpgradeError;
use super::head::Fields;

/// The list's word for a request without an origin: what programs that are no browsers send.
const NONE: &str = "none";

/// Checks the request's origin against the list; an empty list admits all.
///
/// A list that does not say otherwise refuses a request without an origin: whoever lists origins means
/// these pages and nothing else.
pub(super) fn check(fields: &Fields<'_, '_>, listed: &[Box<str>]) -> Result<(), UpgradeError> {
    if listed.is_empty() {
        return Ok(());
    }
    let mut given = fields.all("origin");
    let admitted = match (given.next(), given.next()) {
        (None, _) => listed.iter().any(|origin| **origin == *NONE),
        (Some(origin), None) => match std::str::from_utf8(origin) {
            Ok(origin) => listed.iter().any(|known| same(known, origin)),
            Err(_) => false,
        },
        (Some(_), Some(_)) => false,
    };
    if admitted { Ok(()) } else { Err(UpgradeError::Origin) }
}

/// Are these the same origin? A default port may be written or left out.
///
/// `null`, which a browser sends where it hides the origin, is any page's: it is admitted if it is listed.
fn same(one: &str, other: &str) -> bool {
    if one == "null" {
        return other == "null";
    }
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => {
            one.0.eq_ignore_ascii_case(other.0) && one.1.eq_ignore_ascii_case(other.1) && one.2 == other.2
        }
        _ => false,
    }
}

/// Scheme, host and port; `None` for what is no such triple.
fn parts(origin: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let port_at = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
    let (host, port) = match port_at {
        Some(at) => {
            let digits = &rest[at + 1..];
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (&rest[..at], digits.parse().ok()?)
        }
        None => (rest, default_port(scheme)?),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',']);
    is_host.then_some((scheme, host, port))
}

/// The port that a scheme has when none is written; 0, which no origin writes, for a scheme of its own.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "" => None,
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn origins_are_the_same_in_all_three_parts_or_not_at_all() {
        let rows = [
            ("https://play.example", "https://play.example", true),
            ("https://play.example", "HTTPS://Play.Example", true),
            ("https://play.example", "https://play.example:443", true),
            ("https://play.example:443", "https://play.example", true),
            ("http://play.example", "http://play.example:80", true),
            ("https://play.example:8443", "https://play.example:8443", true),
            ("https://[::1]:7000", "https://[::1]:7000", true),
            ("https://[::1]", "https://[::1]:443", true),
            ("app://game", "app://game", true),
            ("https://play.example", "http://play.example", false),
            ("https://play.example", "https://play.example:8443", false),
            ("https://play.example", "https://play.example.evil.test", false),
            ("https://play.example", "https://evil-play.example", false),
            ("https://play.example", "https://play.example@evil.test", false),
            ("https://play.example", "https://evil.test/https://play.example", false),
            ("https://play.example", "https://play.example/", false),
            ("https://play.example", "https://play.example:", false),
            ("https://play.example", "https://play.example:+443", false),
            ("https://play.example", "https://play.example:443443", false),
            ("https://play.example", "play.example", false),
            ("https://play.example", "null", false),
            ("null", "null", true),
            ("null", "https://play.example", false),
            ("null", "NULL", false),
            ("https://play.example", "https://play.example, https://evil.test", false),
            ("https://play.example", "", false),
            ("https://", "https://", false),
        ];
        for (listed, given, want) in rows {
            assert_eq!(same(listed, given), want, "{listed} and {given}");
        }
    }
}
