#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[test]
fn an_endpoint_is_read_and_written_back() {
    let rows = [
        ("10.0.0.7:7000", "10.0.0.7:7000"),
        ("[fd00::1]:7000", "[fd00::1]:7000"),
        ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1"),
        ("Lobby-1.Game.Internal:65535", "lobby-1.game.internal:65535"),
        ("localhost:00080", "localhost:80"),
        ("1and1.example:1", "1and1.example:1"),
        ("0x7g:1", "0x7g:1"),
    ];
    for (text, want) in rows {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), want, "{text}");
    }
}

#[test]
fn an_error_says_which_part_is_wrong() {
    let port = |given: &str| EndpointError::Port { given: given.into() };
    let host = |error| EndpointError::Host(error);
    let rows = [
        ("", EndpointError::MissingPort { given: "".into() }),
        ("[::1]", EndpointError::MissingPort { given: "[::1]".into() }),
        ("host", EndpointError::MissingPort { given: "host".into() }),
        ("host:", port("")),
        ("host:0", port("0")),
        ("host:65536", port("65536")),
        ("host:000080", port("000080")),
        ("host:+80", port("+80")),
        (":80", host(HostError::Empty)),
        ("127.1:80", host(HostError::Number { given: "127.1".into() })),
        ("a..b:80", host(HostError::Name { given: "a..b".into() })),
        ("-a:80", host(HostError::Name { given: "-a".into() })),
        ("::1:80", host(HostError::Ipv6 { given: "::1".into() })),
        ("[::1%lo]:80", host(HostError::Ipv6 { given: "[::1%lo]".into() })),
    ];
    for (text, want) in rows {
        assert_eq!(text.parse::<Endpoint>().unwrap_err(), want, "{text}");
    }
}

#[test]
fn a_name_is_bounded() {
    let label = "a".repeat(63);
    let longest = [&label[..], &label, &label, &label[..61]].join(".");
    assert_eq!(longest.len(), 253);
    assert!(HostName::parse(&longest).is_ok());
    assert_eq!(HostName::parse(&format!("{longest}a")), Err(HostError::TooLong));
    assert_eq!(HostName::parse(&"a".repeat(64)), Err(HostError::TooLong));
}

#[test]
fn a_name_is_under_a_suffix_only_at_a_dot() {
    let suffix = HostName::parse("game.internal").unwrap();
    for (name, want) in [
        ("a.game.internal", true),
        ("b.a.game.internal", true),
        ("game.internal", false),
        ("agame.internal", false),
    ] {
        assert_eq!(HostName::parse(name).unwrap().is_under(&suffix), want, "{name}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_so_that_it_is_read_again(text in "\\PC{0,40}") {
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
        }
    }
}
