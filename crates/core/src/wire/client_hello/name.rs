//! The server name in the body of a `ClientHello` (RFC 6066 section 3).

use std::net::Ipv4Addr;

use super::ClientHelloError;

/// The extension that holds it.
const SERVER_NAME: u16 = 0;
/// The one kind of name there is.
const HOST_NAME: u8 = 0;
/// The longest name of a host, in bytes.
const MAX_NAME: usize = 253;

/// Returns the name that a whole body asks for, in lower case.
pub(super) fn server_name(body: &[u8]) -> Result<Option<Box<str>>, ClientHelloError> {
    let mut fields = Fields(body);
    if fields.take(2)?.first() != Some(&3) {
        return Err(ClientHelloError::NotTls);
    }
    fields.take(32)?; // random
    if fields.sized_by_u8()?.0.len() > 32 {
        return Err(ClientHelloError::Malformed); // session id
    }
    let suites = fields.sized_by_u16()?.0.len();
    let compressions = fields.sized_by_u8()?.0.len();
    if suites == 0 || suites % 2 != 0 || compressions == 0 {
        return Err(ClientHelloError::Malformed);
    }
    if fields.0.is_empty() {
        return Ok(None); // extensions may be absent altogether
    }
    let mut extensions = fields.sized_by_u16()?;
    fields.end()?;
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let value = extensions.sized_by_u16()?;
        if kind == SERVER_NAME && found.replace(host_name(value)?).is_some() {
            return Err(ClientHelloError::Malformed);
        }
    }
    Ok(found.flatten())
}

/// Returns the host's name of a list of names; kinds that do not exist are stepped over.
fn host_name(mut extension: Fields<'_>) -> Result<Option<Box<str>>, ClientHelloError> {
    let mut names = extension.sized_by_u16()?;
    extension.end()?;
    let mut found = None;
    while !names.0.is_empty() {
        let kind = names.u8()?;
        let name = names.sized_by_u16()?.0;
        if kind == HOST_NAME && found.replace(name).is_some() {
            return Err(ClientHelloError::Name);
        }
    }
    found.map(host).transpose()
}

/// Letters, digits, `-`, `_` and dots between them: neither an address nor anything that another reader could take
/// for something else.
fn host(name: &[u8]) -> Result<Box<str>, ClientHelloError> {
    let is_part = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > MAX_NAME || !name.split(|byte| *byte == b'.').all(is_part) {
        return Err(ClientHelloError::Name);
    }
    let name = str::from_utf8(name).map_err(|_| ClientHelloError::Name)?.to_ascii_lowercase();
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(ClientHelloError::Name);
    }
    Ok(name.into())
}

/// What is left of a run of fields.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], ClientHelloError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ClientHelloError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, ClientHelloError> {
        self.take(1)?.first().copied().ok_or(ClientHelloError::Malformed)
    }

    fn u16(&mut self) -> Result<u16, ClientHelloError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn sized_by_u8(&mut self) -> Result<Self, ClientHelloError> {
        let len = usize::from(self.u8()?);
        self.take(len).map(Self)
    }

    fn sized_by_u16(&mut self) -> Result<Self, ClientHelloError> {
        let len = usize::from(self.u16()?);
        self.take(len).map(Self)
    }

    fn end(&self) -> Result<(), ClientHelloError> {
        if self.0.is_empty() { Ok(()) } else { Err(ClientHelloError::Malformed) }
    }
}
