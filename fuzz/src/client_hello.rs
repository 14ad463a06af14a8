//! A ClientHello means the same however it is cut, and every byte of it is given on.

use portcullis_core::wire::client_hello::{
    ClientHelloError, ClientHelloReader, ClientHelloStep, MAX_CLIENT_HELLO,
};

/// `data`: the size of the parts, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, wire)) = super::cut(data) else { return };
    // What is read at once is never more than may belong to it.
    let wire = wire.get(..MAX_CLIENT_HELLO - 1).unwrap_or(wire);
    let whole = read(wire, wire.len().max(1));
    assert_eq!(read(wire, size), whole, "in parts of {size}");
    if let Ok(Some(Some(name))) = whole {
        assert!((1..=253).contains(&name.len()) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(name.parse::<std::net::IpAddr>().is_err(), "{name} is an address");
    }
}

fn read(wire: &[u8], size: usize) -> Result<Option<Option<Box<str>>>, ClientHelloError> {
    let mut reader = ClientHelloReader::new();
    let mut at = 0;
    for part in wire.chunks(size) {
        at += part.len();
        match reader.handle_bytes(part)? {
            ClientHelloStep::NeedMore { at_most } => assert_eq!(at + at_most, MAX_CLIENT_HELLO),
            ClientHelloStep::Done { name, seen } => {
                assert_eq!(*seen, wire[..at], "every byte that was taken");
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}
