//! A whole request head, checked by RFC 6455 section 4.2.1 and the listener's rules.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

use super::key::{self, KeyFault};
use super::{MAX_HEADERS, UpgradeError, UpgradeRules, accept_key, origin};

/// `Sec-WebSocket-Key`: canonical padding; the four bits that do not count may be anything.
const NONCE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What a valid request says.
pub(super) struct Head<'b> {
    pub(super) accept: String,
    pub(super) path: &'b str,
    pub(super) key: Result<Option<Box<str>>, KeyFault>,
    /// The sub-protocol to select, as the client spelled it.
    pub(super) protocol: Option<&'b str>,
    pub(super) forwarded_for: Box<[u8]>,
}

impl<'b> Head<'b> {
    pub(super) fn read(bytes: &'b [u8], rules: &UpgradeRules<'_>) -> Result<Self, UpgradeError> {
        if !lines_end_in_crlf(bytes) {
            return Err(UpgradeError::Malformed);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooManyHeaders),
            Ok(_) | Err(_) => return Err(UpgradeError::Malformed),
        }
        if (request.method, request.version) != (Some("GET"), Some(1)) {
            return Err(UpgradeError::Malformed);
        }
        let (path, query) = target(request.path.unwrap_or_default())?;
        let fields = Fields(request.headers);
        let accept = check_fields(&fields)?;
        origin::check(&fields, rules.origins)?;
        if !rules.paths.is_empty() && !rules.paths.iter().any(|known| admits(known, path)) {
            return Err(UpgradeError::Path);
        }
        let (key, protocol) = key::find(&fields, query, rules);
        let forwarded_for: Vec<&[u8]> = fields.all("x-forwarded-for").collect();
        let forwarded_for = forwarded_for.join(&b","[..]).into();
        Ok(Self { accept, path, key, protocol, forwarded_for })
    }
}

/// The header fields of one head.
pub(super) struct Fields<'h, 'b>(pub(super) &'h [httparse::Header<'b>]);

impl<'b> Fields<'_, 'b> {
    /// Every value of this name, in order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The one value of this name; `None` when there is none or more than one.
    pub(super) fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut all = self.all(name);
        let first = all.next()?;
        if all.next().is_some() { None } else { Some(first) }
    }

    /// Every element of a comma-separated list, over all fields of this name (RFC 9110 section 5.6.1).
    pub(super) fn tokens(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }

    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|got| got.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Checks what every upgrade must have; returns its accept key.
fn check_fields(fields: &Fields<'_, '_>) -> Result<String, UpgradeError> {
    if fields.only("host").is_none_or(<[u8]>::is_empty) {
        return Err(UpgradeError::Host);
    }
    // Bytes after the head are frames: a body would be taken for them.
    if fields.all("transfer-encoding").next().is_some() || fields.all("content-length").any(|len| len != b"0")
    {
        return Err(UpgradeError::Body);
    }
    if !fields.has_token("upgrade", "websocket") || !fields.has_token("connection", "upgrade") {
        return Err(UpgradeError::NoUpgrade);
    }
    if fields.only("sec-websocket-version") != Some(b"13") {
        return Err(UpgradeError::Version);
    }
    let nonce = fields.only("sec-websocket-key").ok_or(UpgradeError::Key)?;
    let mut decoded = [0; 18];
    match NONCE.decode_slice(nonce, &mut decoded) {
        Ok(16) => Ok(accept_key(nonce)),
        Ok(_) | Err(_) => Err(UpgradeError::Key),
    }
}

/// Splits a request target, absolute or not, into path and query (RFC 9112 section 3.2).
fn target(target: &str) -> Result<(&str, &str), UpgradeError> {
    let path_and_query = if target.starts_with('/') {
        target
    } else {
        let rest = ["http://", "https://", "ws://", "wss://"]
            .iter()
            .find_map(|scheme| {
                let (head, rest) = target.split_at_checked(scheme.len())?;
                head.eq_ignore_ascii_case(scheme).then_some(rest)
            })
            .ok_or(UpgradeError::Malformed)?;
        match rest.find(['/', '?']) {
            Some(at) => &rest[at..],
            None => "/",
        }
    };
    if path_and_query.contains('#') {
        return Err(UpgradeError::Malformed);
    }
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    Ok((if path.is_empty() { "/" } else { path }, query))
}

/// Is this path the listed one, or under it where the listed one ends in `*`?
fn admits(listed: &str, path: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == listed,
    }
}

/// A bare LF or CR is read as a line's end by some and not by others: no client of ours writes one.
fn lines_end_in_crlf(bytes: &[u8]) -> bool {
    let mut before = 0;
    for byte in bytes {
        if (*byte == b'\n') != (before == b'\r') {
            return false;
        }
        before = *byte;
    }
    before == b'\n'
}
