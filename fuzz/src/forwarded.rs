//! A list of forwarded addresses names its peer, or somebody in it, and is read no further than trust goes.

use std::net::SocketAddr;

use portcullis_core::wire::forwarded::client;

/// `data`: the header's value.
pub fn run(data: &[u8]) {
    let peer = SocketAddr::from(([10, 0, 0, 1], 5));
    let Ok(trusted) = "10.0.0.0/8".parse() else { return };
    let told = client(data, peer, &[trusted]);
    assert_eq!(client(data, peer, &[]), peer, "nobody is trusted");
    assert_eq!(told.ip(), told.ip().to_canonical());
    // What stands before an address that is not trusted changes nothing.
    if !trusted.contains(&told.ip()) {
        assert_eq!(client(&[b"192.0.2.1,", data].concat(), peer, &[trusted]), told);
    }
}
