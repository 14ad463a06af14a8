//! A key of the `address` resolver is an endpoint in one spelling only, and the guard holds for what it names.

use std::net::{IpAddr, SocketAddr};

use portcullis_core::allow::{Allow, Own, Rule, check};
use portcullis_core::endpoint::{Endpoint, Host};

/// `data`: the key.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(rule) = Rule::parse(text) {
        assert_eq!(Rule::parse(&rule.to_string()).as_ref(), Ok(&rule), "{text:?} is written as another rule");
    }
    let Ok(endpoint) = text.parse::<Endpoint>() else { return };
    assert_eq!(endpoint.to_string().parse::<Endpoint>().as_ref(), Ok(&endpoint), "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"@/?#%".contains(&byte)), "{text:?}");
    match endpoint.host {
        Host::Ip(ip) => guarded(SocketAddr::new(ip, endpoint.port.get())),
        Host::Name(name) => {
            let name = name.as_str();
            assert!(name.len() <= 253 && !name.starts_with('.') && !name.ends_with('.'), "{text:?}");
            assert!(name.parse::<IpAddr>().is_err(), "{text:?} is an address and was taken for a name");
            let last = name.rsplit('.').next().unwrap_or_default();
            assert!(last.bytes().any(|byte| !byte.is_ascii_digit()), "{text:?} is a number");
        }
    }
}

/// Even where everything is allowed, some addresses are not.
fn guarded(addr: SocketAddr) {
    let rules: Vec<Rule> =
        ["0.0.0.0/0:*", "[::]/0:*"].iter().filter_map(|rule| Rule::parse(rule).ok()).collect();
    assert_eq!(rules.len(), 2, "the widest rules are rules");
    let client = IpAddr::from([192, 0, 2, 1]);
    let Ok(dialled) = check(&Allow::Rules(rules), &Own::default(), client, None, addr) else { return };
    let ip = dialled.ip();
    assert_eq!(ip, ip.to_canonical(), "{addr} is dialled in a form that hides an address");
    assert!(!ip.is_unspecified() && !ip.is_multicast(), "{addr}");
    let forbidden = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    assert!(!forbidden, "{addr}");
}
