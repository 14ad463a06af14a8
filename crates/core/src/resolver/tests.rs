#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::allow::Rule;
use crate::config::{Congestion, Dial, NameRule, NameTable};

#[test]
fn an_address_key_is_checked_or_looked_up() {
    let route = route(config::Resolver::Address, &["10.0.0.0/8:7000-7999", "*.game.internal:7000"]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    let rows = [
        ("10.0.0.7:7000", Ok(Target::Address("10.0.0.7:7000".parse().unwrap()))),
        ("[::ffff:10.0.0.7]:7000", Ok(Target::Address("10.0.0.7:7000".parse().unwrap()))),
        ("Lobby.game.internal:7000", Ok(named("lobby.game.internal", 7000))),
        // Its address might be in 10.0.0.0/8.
        ("elsewhere.example:7001", Ok(named("elsewhere.example", 7001))),
        ("elsewhere.example:8000", Err(Forbidden::NotAllowed.into())),
        ("10.0.0.7:6999", Err(Forbidden::NotAllowed.into())),
        ("127.0.0.1:7000", Err(Forbidden::Loopback.into())),
        ("10.0.0.7", Err(Refusal::Malformed)),
        ("", Err(Refusal::Malformed)),
    ];
    for (key, want) in rows {
        assert_eq!(resolver.resolve(&ask(key), &Own::default()).map(|r| r.target), want, "{key}");
    }
    assert!(!resolver.is_expensive());
}

#[test]
fn a_name_that_no_rule_has_is_not_looked_up() {
    let route = route(config::Resolver::Address, &["lobby.internal:7000"]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    let refused = resolver.resolve(&ask("secret-data.attacker.example:7000"), &Own::default());
    assert_eq!(refused, Err(Forbidden::NotAllowed.into()));
}

#[test]
fn every_answer_is_admitted_for_itself() {
    let route = route(config::Resolver::Address, &["10.0.0.0/8:7000", "lobby.internal:7000"]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    let rows = [
        ("elsewhere.example", "10.0.0.1:7000", Ok("10.0.0.1:7000")),
        ("elsewhere.example", "192.168.0.1:7000", Err(Forbidden::NotAllowed)),
        ("elsewhere.example", "127.0.0.1:7000", Err(Forbidden::Loopback)),
        ("lobby.internal", "192.168.0.1:7000", Ok("192.168.0.1:7000")),
        ("lobby.internal", "127.0.0.1:7000", Err(Forbidden::Loopback)),
        ("lobby.internal", "169.254.169.254:7000", Err(Forbidden::LinkLocal)),
        ("lobby.internal", "[::ffff:169.254.169.254]:7000", Err(Forbidden::LinkLocal)),
    ];
    for (host, answer, want) in rows {
        let admitted = resolver.admit(CLIENT, &Own::default(), &name(host), answer.parse().unwrap());
        let want = want.map(|addr| addr.parse().unwrap()).map_err(Refusal::Forbidden);
        assert_eq!(admitted, want, "{host} {answer}");
    }
}

#[test]
fn the_table_vouches_for_its_own_endpoints_only() {
    let endpoint = |text: &str| NameTarget::Endpoint(text.parse().unwrap());
    let names = BTreeMap::from([
        ("eins".into(), endpoint("127.0.0.1:7083")),
        ("zwei".into(), endpoint("lobby.internal:7000")),
        ("drei".into(), NameTarget::Upstream("lobby".into())),
        ("meta".into(), endpoint("169.254.169.254:80")),
    ]);
    let route = route(config::Resolver::Name(NameTable { names, dns: None }), &[]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    let rows = [
        ("eins", Ok(Target::Address("127.0.0.1:7083".parse().unwrap()))),
        ("zwei", Ok(named("lobby.internal", 7000))),
        ("drei", Ok(Target::Upstream("lobby".into()))),
        ("meta", Err(Forbidden::LinkLocal.into())),
        ("vier", Err(Refusal::Unknown)),
        ("EINS", Err(Refusal::Unknown)),
        ("", Err(Refusal::Malformed)),
        ("a b", Err(Refusal::Malformed)),
        ("lobby.internal:7000", Err(Refusal::Malformed)),
    ];
    for (key, want) in rows {
        assert_eq!(resolver.resolve(&ask(key), &Own::default()).map(|r| r.target), want, "{key}");
    }
    let admit = |host: &str, answer: &str| {
        resolver.admit(CLIENT, &Own::default(), &name(host), answer.parse().unwrap())
    };
    assert!(admit("lobby.internal", "192.168.3.4:7000").is_ok());
    assert!(admit("lobby.internal", "192.168.3.4:7001").is_err());
    assert!(admit("other.internal", "192.168.3.4:7000").is_err());
}

#[test]
fn an_unknown_name_is_made_into_a_dns_name() {
    let dns = |port: Option<u16>| {
        let rule = NameRule {
            prefix: "srv-".into(),
            suffix: ".game.internal".into(),
            port: port.and_then(NonZeroU16::new),
        };
        let table = NameTable { names: BTreeMap::new(), dns: Some(rule) };
        Resolver::build(&route(config::Resolver::Name(table), &["*.game.internal:7000"]), &no_files, None)
            .unwrap()
    };
    let rows = [
        (Some(7000), "one", Ok(named("srv-one.game.internal", 7000))),
        (Some(7000), "17", Ok(named("srv-17.game.internal", 7000))),
        (Some(7001), "one", Err(Forbidden::NotAllowed.into())),
        (None, "one", Ok(Target::Service { host: name("srv-one.game.internal") })),
        (Some(7000), "", Err(Refusal::Malformed)),
        (Some(7000), ".", Err(Refusal::Malformed)),
        (Some(7000), "a@b", Err(Refusal::Malformed)),
        (Some(7000), "a\0", Err(Refusal::Malformed)),
    ];
    for (port, key, want) in rows {
        assert_eq!(dns(port).resolve(&ask(key), &Own::default()).map(|r| r.target), want, "{key} {port:?}");
    }
}

#[test]
fn a_literal_address_is_no_name() {
    let rule = NameRule { prefix: "".into(), suffix: "".into(), port: NonZeroU16::new(7000) };
    let table = NameTable { names: BTreeMap::new(), dns: Some(rule) };
    let route = route(config::Resolver::Name(table), &["10.0.0.0/8:7000"]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    assert_eq!(resolver.resolve(&ask("10.0.0.1"), &Own::default()), Err(Refusal::Malformed));
}

#[test]
fn an_upstream_route_needs_an_upstream() {
    let mut route = route(config::Resolver::Upstream, &[]);
    let resolver = Resolver::build(&route, &no_files, None).unwrap();
    let resolved = resolver.resolve(&ask("whatever"), &Own::default()).unwrap();
    assert_eq!(resolved, Resolved { target: Target::Upstream("lobby".into()), identity: None });
    route.upstreams.clear();
    let error = Resolver::build(&route, &no_files, None).unwrap_err();
    assert_eq!(error.to_string(), "route `r` names no upstream; set `upstreams`");
}

#[test]
fn a_missing_key_file_is_named() {
    let jwt = |key_files| config::Jwt { key_files, audience: vec![], issuer: vec![], leeway: Duration::ZERO };
    let build = |jwt| {
        let route = route(config::Resolver::Jwt(jwt), &[]);
        Resolver::build(&route, &no_files, None).unwrap_err().to_string()
    };
    assert_eq!(build(jwt(vec!["jwt.pem".into()])), "route `r`: key file jwt.pem cannot be read");
    assert_eq!(build(jwt(vec![])), "route `r` has no key file; set `key_file`");
}

pub(super) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

pub(super) fn ask(key: &str) -> Ask<'_> {
    Ask { key, client: CLIENT, now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

/// A route `r` with the upstream `lobby`.
pub(super) fn route(resolver: config::Resolver, allow: &[&str]) -> config::Route {
    let rules: Vec<Rule> = allow.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
    config::Route {
        name: "r".into(),
        resolver,
        allow: if rules.is_empty() { Allow::Nothing } else { Allow::Rules(rules) },
        upstreams: vec!["lobby".into()],
        dial: Dial {
            connect_timeout: Duration::from_secs(3),
            attempts: 3,
            source: vec![],
            congestion: Congestion::System,
            transport: config::Transport::Tcp,
            tls: None,
            ws: None,
            proxy_protocol: config::ProxyHeader::Off,
        },
    }
}

fn no_files(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

fn named(host: &str, port: u16) -> Target {
    Target::Name { host: name(host), port: NonZeroU16::new(port).unwrap() }
}
