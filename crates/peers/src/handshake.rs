//! The opening handshake of RFC 6455 section 4, from both sides.

use std::io::{self, Read};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest head that is read, in bytes.
const HEAD_MAX: usize = 16 << 10;

/// The head of a request or a response: its first line and its headers, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The request line or the status line.
    pub(crate) first: String,
    /// Names in lower case and values, in order.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head byte by byte, so that nothing behind it is taken from the stream.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            if seen.len() == HEAD_MAX {
                return Err(invalid(format!("no end of the head within {HEAD_MAX} bytes")));
            }
            let mut byte = [0];
            from.read_exact(&mut byte)?;
            seen.extend(byte);
        }
        let text = String::from_utf8(seen).map_err(|error| invalid(error.to_string()))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { first, headers })
    }

    /// The value of the first header of that (lower case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns what `Sec-WebSocket-Accept` must be for a `Sec-WebSocket-Key` (section 4.2.2).
pub(crate) fn accept_for(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Returns an [`io::ErrorKind::InvalidData`] that says why.
pub(crate) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept_for("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        let mut wire =
            &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade:websocket\r\nX-A:  b \r\n\r\n\x82\x00"[..];
        let head = Head::read(&mut wire).unwrap();
        assert_eq!((head.header("upgrade"), head.header("x-a")), (Some("websocket"), Some("b")));
        assert_eq!((head.first.as_str(), wire), ("HTTP/1.1 101 Switching Protocols", &b"\x82\x00"[..]));
    }
}
