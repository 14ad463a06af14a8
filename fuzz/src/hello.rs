//! A hello means the same however it is cut, and asks for no more than its limit.

use portcullis_core::wire::hello::{HelloError, HelloReader, HelloStep, length_prefixed};

const MAX: u32 = 300;

/// `data`: the size of the parts, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, wire)) = super::cut(data) else { return };
    let whole = read(wire, wire.len().max(1));
    assert_eq!(read(wire, size), whole, "in parts of {size}");
    if let Ok(Some((key, surplus))) = whole {
        assert!(!key.is_empty() && key.len() <= MAX as usize && !key.contains('\0'));
        assert_eq!([length_prefixed(key.as_bytes()), surplus].concat(), wire);
    }
}

/// The key and all that follows it; `None` where the hello is not whole.
type Read = Option<(Box<str>, Vec<u8>)>;

fn read(wire: &[u8], size: usize) -> Result<Read, HelloError> {
    let mut reader = HelloReader::new(MAX);
    let mut at = 0;
    for part in wire.chunks(size) {
        at += part.len();
        match reader.handle_bytes(part)? {
            HelloStep::NeedMore { at_most } => {
                assert!((1..=4 + MAX as usize).contains(&at_most), "asks for {at_most} bytes");
            }
            HelloStep::Done { key, surplus } => {
                return Ok(Some((key, [&surplus[..], &wire[at..]].concat())));
            }
        }
    }
    Ok(None)
}
