//! Length-prefixed messages: a u32 little-endian length, then that many bytes.

use std::io::{self, Read, Write};

/// The longest message that is read, in bytes: 16 MiB, checked before anything is allocated for it.
pub const MESSAGE_MAX: u32 = 16 << 20;

/// Reads one message whole, or `None` when the stream ends where a message would begin.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the length is above [`MESSAGE_MAX`], [`io::ErrorKind::UnexpectedEof`]
/// when the stream ends inside the message, and whatever reading fails with.
pub fn read_message(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    let mut seen = 0;
    while seen < prefix.len() {
        match from.read(&mut prefix[seen..])? {
            0 if seen == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => seen += read,
        }
    }
    let length = u32::from_le_bytes(prefix);
    if length > MESSAGE_MAX {
        let text = format!("a message of {length} bytes; at most {MESSAGE_MAX} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut message = Vec::new();
    let read = from.take(u64::from(length)).read_to_end(&mut message)?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

/// Writes one message in a single write, so that prefix and payload share a segment.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when the payload is longer than a u32 can say, and whatever writing fails
/// with.
pub fn write_message(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    to.write_all(&prefixed(payload)?)
}

/// Returns the payload behind its length.
pub(crate) fn prefixed(payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok([&length.to_le_bytes()[..], payload].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_written_message_is_read_back_and_the_end_is_none() {
        let mut wire = Vec::new();
        write_message(&mut wire, b"127.0.0.1:7083").unwrap();
        assert_eq!(wire[..4], [14, 0, 0, 0]);
        let mut from = &wire[..];
        assert_eq!(read_message(&mut from).unwrap().as_deref(), Some(&b"127.0.0.1:7083"[..]));
        assert_eq!(read_message(&mut from).unwrap(), None);
    }

    #[test]
    fn a_cut_or_claimed_message_is_an_error() {
        for (wire, want) in [
            (&[1, 0, 0][..], io::ErrorKind::UnexpectedEof),
            (&[2, 0, 0, 0, b'x'], io::ErrorKind::UnexpectedEof),
            (&[0xff, 0xff, 0xff, 0x7f], io::ErrorKind::InvalidData),
        ] {
            assert_eq!(read_message(&mut &wire[..]).unwrap_err().kind(), want, "{wire:?}");
        }
    }
}
