//! Version 1: one line of text (section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use super::{Addresses, HeaderError, HeaderStep, canonical};

/// The longest line, in bytes, its end included.
pub const MAX_LINE: usize = 107;

/// What a line begins with.
pub(super) const BEGIN: &[u8] = b"PROXY ";
const END: &[u8] = b"\r\n";

/// What a line may go on with, its shortest form in bytes and the shortest address in it.
const WORDS: [(&[u8], usize, usize); 3] = [
    (b"TCP4 ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n".len(), b"1.1.1.1".len()),
    (b"TCP6 ", b"PROXY TCP6 :: :: 1 1\r\n".len(), b"::".len()),
    (b"UNKNOWN", b"PROXY UNKNOWN\r\n".len(), 0),
];

/// Reads a line of which `seen` has the beginning; it begins like one.
pub(super) fn read(seen: &[u8]) -> Result<HeaderStep, HeaderError> {
    let searched = seen.get(..MAX_LINE).unwrap_or(seen);
    let Some(end) = searched.windows(END.len()).position(|pair| pair == END) else {
        if seen.len() >= MAX_LINE {
            return Err(HeaderError::LineTooLong);
        }
        return missing(seen).map(|at_most| HeaderStep::NeedMore { at_most });
    };
    let (line, rest) = seen.split_at(end);
    let addresses = addresses(line.get(BEGIN.len()..).ok_or(HeaderError::Line)?)?;
    let surplus = rest.get(END.len()..).unwrap_or_default();
    Ok(HeaderStep::Done { addresses, surplus: surplus.into() })
}

/// How many bytes a line lacks at least.
fn missing(seen: &[u8]) -> Result<usize, HeaderError> {
    let rest = seen.get(BEGIN.len()..).unwrap_or_default();
    let like = |word: &[u8]| rest.iter().zip(word).all(|(got, want)| got == want);
    let known = || WORDS.iter().filter(|(word, ..)| like(word));
    let Some((word, _, address)) = known().find(|(word, ..)| rest.len() >= word.len()) else {
        let shortest = known().map(|(_, shortest, _)| *shortest).min().ok_or(HeaderError::Line)?;
        return Ok(shortest - seen.len());
    };
    let end = if seen.last() == Some(&b'\r') { 1 } else { END.len() };
    // Behind UNKNOWN there may be anything.
    if *address == 0 || end == 1 {
        return Ok(end);
    }
    let fields = rest.get(word.len()..).unwrap_or_default();
    // Address, address, port, port; each but the last with a space behind it.
    let shortest = [*address, *address, 1, 1];
    let spaces = fields.iter().filter(|byte| **byte == b' ').count();
    let begun = fields.iter().rev().take_while(|byte| **byte != b' ').count();
    let here = shortest.get(spaces).ok_or(HeaderError::Line)?.saturating_sub(begun);
    let ahead: usize = shortest.iter().skip(spaces + 1).map(|field| 1 + field).sum();
    Ok(here + ahead + end)
}

/// Reads what stands behind `PROXY `, without the line's end.
fn addresses(line: &[u8]) -> Result<Option<Addresses>, HeaderError> {
    if let Some(rest) = line.strip_prefix(b"UNKNOWN") {
        return if matches!(rest.first(), None | Some(b' ')) { Ok(None) } else { Err(HeaderError::Line) };
    }
    let text = str::from_utf8(line).map_err(|_| HeaderError::Line)?;
    let fields: Vec<&str> = text.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = fields[..] else {
        return Err(HeaderError::Line);
    };
    let address = |ip: &str, port: &str| {
        let ip: IpAddr = match family {
            "TCP4" => ip.parse::<Ipv4Addr>().ok()?.into(),
            "TCP6" => ip.parse::<Ipv6Addr>().ok()?.into(),
            _ => return None,
        };
        let is_number =
            port.bytes().all(|byte| byte.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
        let port = if is_number { port.parse().ok()? } else { return None };
        Some(canonical(SocketAddr::new(ip, port)))
    };
    let source = address(source, source_port).ok_or(HeaderError::Line)?;
    let destination = address(destination, destination_port).ok_or(HeaderError::Line)?;
    Ok(Some(Addresses { source, destination }))
}
