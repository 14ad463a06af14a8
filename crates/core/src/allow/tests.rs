#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_rule_is_read_and_written_back() {
    let rows = [
        "10.0.0.0/8:7000-7999",
        "10.0.0.7:7000",
        "10.0.0.7/32:*",
        "[fd00::]/8:*",
        "[fd00::/8]:7000",
        "[fd00::1]:1-65535",
        "lobby.internal:7000",
        "*.Game.internal:7000",
        "localhost:7083",
        "0.0.0.0/0:*",
    ];
    for text in rows {
        assert_eq!(Rule::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_rule_that_is_none_says_what_to_write() {
    let rows = [
        ("10.0.0.0/8", "has no ports"),
        ("[fd00::/8]", "has no ports"),
        ("10.0.0.0/8:", "are no ports"),
        ("10.0.0.0/8:0", "are no ports"),
        ("10.0.0.0/8:9-7", "are no ports"),
        ("10.0.0.0/8:7000,7001", "are no ports"),
        ("10.0.0.0/8:+7", "are no ports"),
        ("10.0.0.0/33:7", "is no network"),
        ("10.0.0/8:7", "is no network"),
        ("10.0.0.0/:7", "is no network"),
        ("10.0.0.0/+8:7", "is no network"),
        ("fd00::/8:7", "is no network"),
        ("[fd00::/129]:7", "is no network"),
        ("10.0.0.5/8:7", "write the network `10.0.0.0/8`"),
        ("[::ffff:10.0.0.0]/104:7", "write the IPv4 network"),
        ("*:7", "may only have letters"),
        ("*.:7", "host is empty"),
        ("a.*.b:7", "may only have letters"),
        (":7", "host is empty"),
        ("10.1:7", "is neither an IPv4 address"),
        (" 10.0.0.1:7", "may only have letters"),
    ];
    for (text, want) in rows {
        let error = Rule::parse(text).unwrap_err().to_string();
        assert!(error.contains(want), "{text}: {error}");
    }
}
