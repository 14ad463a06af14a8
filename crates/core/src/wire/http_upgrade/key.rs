//! The key in an upgrade: header, sub-protocol or query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::UpgradeRules;
use super::head::Fields;

/// Why the key of a valid upgrade cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It is empty, no UTF-8, or badly encoded, or has a NUL.
    #[error("the key cannot be read")]
    Malformed,
    /// It is over the limit.
    #[error("the key is over `hello_max_bytes`")]
    TooLong,
    /// It is said more than once, and differently.
    #[error("the request has two different keys")]
    Ambiguous,
}

/// Finds the key, and the sub-protocol to select as the client spelled it.
///
/// The key may be said more than once and in more than one form if it is the same each time: of two
/// different keys any choice could be the one that somebody on the way did not check.
pub(super) fn find<'b>(
    fields: &Fields<'_, 'b>,
    query: &str,
    rules: &UpgradeRules<'_>,
) -> (Result<Option<Box<str>>, KeyFault>, Option<&'b str>) {
    let (offered, protocol) = from_protocols(fields, rules);
    let headers = fields.all(rules.header).map(|value| check(value, rules.max_key));
    let queries = query
        .split('&')
        .filter(|_| rules.query)
        .filter_map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            name.eq_ignore_ascii_case(rules.header).then_some(value)
        })
        .map(|value| check(&percent_decoded(value)?, rules.max_key));
    (one(headers.chain(offered).chain(queries)), protocol)
}

/// The single key among all that were given.
fn one(mut keys: impl Iterator<Item = Result<Box<str>, KeyFault>>) -> Result<Option<Box<str>>, KeyFault> {
    let Some(first) = keys.next().transpose()? else { return Ok(None) };
    for key in keys {
        if key? != first {
            return Err(KeyFault::Ambiguous);
        }
    }
    Ok(Some(first))
}

/// `Sec-WebSocket-Protocol: server-identify, <key>`: the element after the name is the key in base64url.
fn from_protocols<'b>(
    fields: &Fields<'_, 'b>,
    rules: &UpgradeRules<'_>,
) -> (Option<Result<Box<str>, KeyFault>>, Option<&'b str>) {
    let mut offered = fields.tokens("sec-websocket-protocol");
    let Some(name) = offered.find(|name| name.eq_ignore_ascii_case(rules.header.as_bytes())) else {
        return (None, None);
    };
    // Equal to the rule's name but for case, so it is text.
    let protocol = std::str::from_utf8(name).ok();
    let key = match offered.next() {
        None => Err(KeyFault::Malformed),
        Some(text) => URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| KeyFault::Malformed)
            .and_then(|key| check(&key, rules.max_key)),
    };
    (Some(key), protocol)
}

fn check(key: &[u8], max: u32) -> Result<Box<str>, KeyFault> {
    if key.len() > max as usize {
        return Err(KeyFault::TooLong);
    }
    match std::str::from_utf8(key) {
        Ok(key) if !key.is_empty() && !key.contains('\0') => Ok(key.into()),
        Ok(_) | Err(_) => Err(KeyFault::Malformed),
    }
}

/// Decodes `%XX` (RFC 3986 section 2.1); `+` is a plus sign, as in a URL's path.
fn percent_decoded(text: &str) -> Result<Vec<u8>, KeyFault> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(digit), bytes.next().and_then(digit)) else {
            return Err(KeyFault::Malformed);
        };
        decoded.push(high << 4 | low);
    }
    Ok(decoded)
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
