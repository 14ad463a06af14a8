//! A PROXY header means the same however it is cut, and what it asks for is never what follows it.

use portcullis_core::wire::proxy_header::{
    Addresses, Header, HeaderError, HeaderReader, HeaderStep, MAX_HEADER,
};

/// `data`: the size of the parts, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, wire)) = super::cut(data) else { return };
    let whole = read(wire, wire.len().max(1));
    assert_eq!(read(wire, size), whole, "in parts of {size}");
    let Ok(Some((addresses, surplus))) = whole else { return };
    let len = wire.len() - surplus.len();
    assert!((15..=MAX_HEADER).contains(&len), "a header of {len} bytes");
    if let Some(addresses) = addresses {
        let ours = Header { addresses, authority: None, unique_id: "1", identity: None }.encode();
        assert_eq!(read(&ours, size), Ok(Some((Some(addresses), Vec::new()))), "written again");
    }
}

/// Whom it names, and all that follows it; `None` where it is not whole.
type Read = Option<(Option<Addresses>, Vec<u8>)>;

fn read(wire: &[u8], size: usize) -> Result<Read, HeaderError> {
    let mut reader = HeaderReader::new();
    let mut at = 0;
    let mut asked_to = HeaderReader::FIRST;
    for part in wire.chunks(size) {
        at += part.len();
        match reader.handle_bytes(part)? {
            HeaderStep::NeedMore { at_most } => {
                assert!((1..=MAX_HEADER).contains(&at_most), "asks for {at_most} bytes");
                asked_to = asked_to.max(at + at_most);
            }
            HeaderStep::Done { addresses, surplus } => {
                let rest = [&surplus[..], &wire[at..]].concat();
                assert!(asked_to <= wire.len() - rest.len(), "asked for what follows");
                return Ok(Some((addresses, rest)));
            }
        }
    }
    Ok(None)
}
