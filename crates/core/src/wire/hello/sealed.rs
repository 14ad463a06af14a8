//! The hellos of frontd and of funny/gateway: a sealed address, as a line of base64 or as a blob.
//!
//! What is in the seal is the resolver's; here it is bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HelloError, HelloStep, done};

/// The longest line of funny/gateway, in bytes without its end.
pub(super) const FUNNY_MAX: u32 = 64;

/// What begins a blob; no line of base64 does.
const BLOB: u8 = 0;

/// How many bytes a line of at most `max` bytes takes with its end.
pub(super) fn longest_line(max: u32) -> usize {
    max as usize + 1
}

/// Reads a line, or 0x00, one length byte and that many bytes; a blob becomes the base64 it would have been.
pub(super) fn read_line_or_blob(seen: &[u8], max: u32) -> Result<HelloStep, HelloError> {
    match seen {
        [BLOB, rest @ ..] => read_blob(rest, max),
        line => read_line(line, max),
    }
}

/// Reads `line\n`; one `\r` before the end is no part of the line, but counts.
pub(super) fn read_line(seen: &[u8], max: u32) -> Result<HelloStep, HelloError> {
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        check_length(seen.len(), max)?;
        return Ok(HelloStep::NeedMore { at_most: longest_line(max) - seen.len() });
    };
    check_length(end, max)?;
    let (line, surplus) = (&seen[..end], &seen[end + 1..]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(HelloError::Empty);
    }
    done(line, surplus)
}

fn read_blob(after_mark: &[u8], max: u32) -> Result<HelloStep, HelloError> {
    let Some((len, rest)) = after_mark.split_first() else {
        return Ok(HelloStep::NeedMore { at_most: 1 + usize::from(u8::MAX) });
    };
    let len = usize::from(*len);
    if len == 0 {
        return Err(HelloError::Empty);
    }
    check_length(base64::encoded_len(len, true).unwrap_or(usize::MAX), max)?;
    let Some((blob, surplus)) = rest.split_at_checked(len) else {
        return Ok(HelloStep::NeedMore { at_most: len - rest.len() });
    };
    done(STANDARD.encode(blob).as_bytes(), surplus)
}

fn check_length(len: usize, max: u32) -> Result<(), HelloError> {
    let claimed = u32::try_from(len).unwrap_or(u32::MAX);
    if claimed > max { Err(HelloError::TooLong { claimed, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
