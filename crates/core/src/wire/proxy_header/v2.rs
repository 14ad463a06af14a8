//! Version 2: a binary header with fields behind its addresses (section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::crc32c;
use super::{Addresses, HeaderError, HeaderStep, canonical};

/// The largest header that is read, in bytes: the 536 that every receiver must take, and 2 KiB of fields.
pub const MAX_HEADER: usize = 536 + 2048;

/// The type of the field that carries the client's verified identity, as UTF-8: the first of those that the protocol
/// leaves to applications (section 2.2.7).
pub const IDENTITY: u8 = 0xe0;
/// The longest identity that is told, in bytes; a longer one is left out, never cut: a beginning may be somebody else.
pub const MAX_IDENTITY: usize = 1024;

/// What every header begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const IPV4: u8 = 0x10;
const IPV6: u8 = 0x20;
const STREAM: u8 = 0x01;

/// `PP2_TYPE_AUTHORITY`: the name the client asked for by SNI.
const AUTHORITY: u8 = 0x02;
/// `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 0x03;
/// `PP2_TYPE_UNIQUE_ID`: at most 128 bytes.
const UNIQUE_ID: u8 = 0x05;
const MAX_UNIQUE_ID: usize = 128;

/// Reads a header of which `seen` has the beginning; it begins like one.
pub(super) fn read(seen: &[u8]) -> Result<HeaderStep, HeaderError> {
    let is_local = match seen.get(12) {
        Some(&LOCAL) => true,
        Some(&PROXY) | None => false,
        Some(_) => return Err(HeaderError::Command),
    };
    let family = match seen.get(13) {
        // What a LOCAL header says of addresses is not looked at.
        Some(_) | None if is_local => Family::Unspecified,
        Some(byte) => Family::read(*byte).ok_or(HeaderError::Family)?,
        None => Family::Unspecified,
    };
    let Some((fixed, rest)) = seen.split_at_checked(FIXED) else {
        return Ok(HeaderStep::NeedMore { at_most: FIXED - seen.len() });
    };
    let len = match fixed {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(HeaderError::Length),
    };
    if FIXED + len > MAX_HEADER || len < family.len() {
        return Err(HeaderError::Length);
    }
    let Some((body, surplus)) = rest.split_at_checked(len) else {
        return Ok(HeaderStep::NeedMore { at_most: len - rest.len() });
    };
    let (block, fields) = body.split_at_checked(family.len()).ok_or(HeaderError::Length)?;
    if !matches!(family, Family::Unspecified) {
        check_fields([fixed, block], fields)?;
    }
    Ok(HeaderStep::Done { addresses: family.addresses(block), surplus: surplus.into() })
}

/// What the addresses are.
#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    Inet,
    Inet6,
    Unix,
}

impl Family {
    /// Every family but the first has streams and datagrams.
    fn read(byte: u8) -> Option<Self> {
        match byte {
            0x00 => Some(Self::Unspecified),
            0x11 | 0x12 => Some(Self::Inet),
            0x21 | 0x22 => Some(Self::Inet6),
            0x31 | 0x32 => Some(Self::Unix),
            _ => None,
        }
    }

    /// How many bytes the addresses take.
    fn len(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Inet => 2 * (4 + 2),
            Self::Inet6 => 2 * (16 + 2),
            Self::Unix => 2 * 108,
        }
    }

    fn addresses(self, block: &[u8]) -> Option<Addresses> {
        let (source, destination) = match self {
            Self::Unspecified | Self::Unix => return None,
            Self::Inet => pair(block, |ip: [u8; 4]| Ipv4Addr::from(ip).into())?,
            Self::Inet6 => pair(block, |ip: [u8; 16]| Ipv6Addr::from(ip).into())?,
        };
        Some(Addresses { source: canonical(source), destination: canonical(destination) })
    }
}

/// Both addresses, then both ports.
fn pair<const N: usize>(block: &[u8], ip: fn([u8; N]) -> IpAddr) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some((
        SocketAddr::new(ip(*source), u16::from_be_bytes(*source_port)),
        SocketAddr::new(ip(*destination), u16::from_be_bytes(*destination_port)),
    ))
}

/// Walks over the fields: each must end within the header, and a checksum must be right.
fn check_fields(before: [&[u8]; 2], fields: &[u8]) -> Result<(), HeaderError> {
    let mut rest = fields;
    let mut has_checksum = false;
    while let Some((kind, after)) = rest.split_first() {
        let (len, after) = after.split_first_chunk::<2>().ok_or(HeaderError::Field)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (value, after) = after.split_at_checked(len).ok_or(HeaderError::Field)?;
        if *kind == CHECKSUM {
            let told: [u8; 4] = value.try_into().map_err(|_| HeaderError::Field)?;
            if std::mem::replace(&mut has_checksum, true) {
                return Err(HeaderError::Field);
            }
            check_sum(before, fields, after.len(), told)?;
        }
        rest = after;
    }
    Ok(())
}

/// The sum is over the whole header with zeroes in its own place (section 2.2.3).
fn check_sum(before: [&[u8]; 2], fields: &[u8], behind: usize, told: [u8; 4]) -> Result<(), HeaderError> {
    let mut zeroed = fields.to_vec();
    let end = fields.len().saturating_sub(behind);
    zeroed.get_mut(end.saturating_sub(told.len())..end).ok_or(HeaderError::Field)?.fill(0);
    let [fixed, block] = before;
    let sum = crc32c([fixed, block, &zeroed]);
    if sum == u32::from_be_bytes(told) { Ok(()) } else { Err(HeaderError::Checksum) }
}

/// What an endpoint is told of a client.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The client and where it connected to; of two families both are told as IPv6.
    pub addresses: Addresses,
    /// The name the client asked for by SNI; one of more than 255 bytes is left out.
    pub authority: Option<&'a str>,
    /// Names the session, as logs do: at most 128 bytes; a longer one is left out.
    pub unique_id: &'a str,
    /// Who a verified token, ticket or certificate says the client is; one of more than [`MAX_IDENTITY`] bytes is
    /// left out.
    pub identity: Option<&'a str>,
}

impl Header<'_> {
    /// Writes the header: fields for what is known, and a checksum as the last one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&SIGNATURE);
        out.push(PROXY);
        let Addresses { source, destination } = self.addresses;
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                out.extend_from_slice(&[IPV4 | STREAM, 0, 0]);
                out.extend_from_slice(&source.octets());
                out.extend_from_slice(&destination.octets());
            }
            (source, destination) => {
                out.extend_from_slice(&[IPV6 | STREAM, 0, 0]);
                out.extend_from_slice(&as_v6(source).octets());
                out.extend_from_slice(&as_v6(destination).octets());
            }
        }
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
        put(&mut out, AUTHORITY, self.authority.unwrap_or_default(), 255);
        put(&mut out, UNIQUE_ID, self.unique_id, MAX_UNIQUE_ID);
        put(&mut out, IDENTITY, self.identity.unwrap_or_default(), MAX_IDENTITY);
        out.extend_from_slice(&[CHECKSUM, 0, 4, 0, 0, 0, 0]);
        seal(&mut out);
        out
    }
}

/// Appends a field; an empty value, and one over the limit, is none.
fn put(out: &mut Vec<u8>, kind: u8, value: &str, most: usize) {
    if let Ok(len) = u16::try_from(value.len())
        && (1..=most).contains(&value.len())
    {
        out.push(kind);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

/// Fills in the length, then the checksum, which is the last field.
fn seal(out: &mut [u8]) {
    // Signature, addresses and the bounded fields are far below 64 KiB.
    let len = u16::try_from(out.len().saturating_sub(FIXED)).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(FIXED - 2..FIXED) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    let sum = crc32c([out, &[], &[]]);
    if let Some(place) = out.last_chunk_mut::<4>() {
        *place = sum.to_be_bytes();
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}
