#![allow(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::path::Path;

use super::*;
use crate::allow::Forbidden;
use crate::config::NameTarget;
use crate::resolver::tests::{CLIENT, ask, route};
use crate::resolver::{Resolver, Target};

const NOW: u64 = 1_800_000_000;

#[test]
fn a_ticket_leads_to_its_target() {
    let resolver = build(None);
    assert!(resolver.is_expensive());
    let to = |text: &str| NameTarget::Endpoint(text.parse().unwrap());
    let with = |target| Ticket { target, ..ticket() };
    let rows = [
        (ticket(), Ok("10.0.0.7:7000")),
        (with(to("10.0.0.7:7001")), Err(Forbidden::NotAllowed.into())),
        (with(to("127.0.0.1:7000")), Err(Forbidden::Loopback.into())),
        (with(to("169.254.169.254:80")), Err(Forbidden::LinkLocal.into())),
        (with(NameTarget::Upstream("other".into())), Err(Refusal::ForeignUpstream)),
        (Ticket { exp: NOW - 60, ..ticket() }, Err(TokenFault::Expired.into())),
        (Ticket { exp: NOW - 59, ..ticket() }, Ok("10.0.0.7:7000")),
        (Ticket { exp: 0, ..ticket() }, Err(TokenFault::Expired.into())),
        (Ticket { ip: Some(CLIENT), ..ticket() }, Ok("10.0.0.7:7000")),
        (Ticket { ip: Some("::ffff:192.0.2.1".parse().unwrap()), ..ticket() }, Ok("10.0.0.7:7000")),
        (Ticket { ip: Some("192.0.2.2".parse().unwrap()), ..ticket() }, Err(TokenFault::Client.into())),
    ];
    for (ticket, want) in rows {
        let got = resolver.resolve(&ask(&mint(&ticket)), &Own::default()).map(|resolved| resolved.target);
        assert_eq!(got, want.map(|addr: &str| Target::Address(addr.parse().unwrap())), "{ticket:?}");
    }
    let named = mint(&with(NameTarget::Upstream("lobby".into())));
    let resolved = resolver.resolve(&ask(&named), &Own::default()).unwrap();
    assert_eq!(resolved.target, Target::Upstream("lobby".into()));
    assert_eq!(resolved.identity.as_deref(), Some("device-7"));
}

#[test]
fn what_is_no_ticket_has_its_reason() {
    let good = mint(&ticket());
    let (body, last) = good.split_at(good.len() - 2);
    let rows = [
        ("10.0.0.7:7000".to_owned(), Refusal::Malformed),
        (String::new(), Refusal::Malformed),
        (format!("{body}AA"), TokenFault::Signature.into()),
        (good.replacen("v1.Cg", "v1.Dg", 1), TokenFault::Key.into()),
    ];
    assert_ne!(last, "AA");
    for (key, want) in rows {
        assert_eq!(build(None).resolve(&ask(&key), &Own::default()), Err(want), "{key}");
    }
}

#[test]
fn a_ticket_for_one_use_is_used_once_also_over_a_reload() {
    let once = mint(&Ticket { once: true, ..ticket() });
    let first = build(None);
    assert!(first.resolve(&ask(&once), &Own::default()).is_ok());
    assert_eq!(first.resolve(&ask(&once), &Own::default()), Err(Refusal::TicketUsed));
    let second = build(Some(&first));
    assert_eq!(second.resolve(&ask(&once), &Own::default()), Err(Refusal::TicketUsed));
    // Sessions that pinned the old snapshot and those of the new one share the memory both ways.
    let other = mint(&Ticket { once: true, jti: "t-2".into(), ..ticket() });
    assert!(second.resolve(&ask(&other), &Own::default()).is_ok());
    assert_eq!(first.resolve(&ask(&other), &Own::default()), Err(Refusal::TicketUsed));
    // Without `once` a ticket may be used until it ends.
    let often = mint(&ticket());
    assert!((0..3).all(|_| first.resolve(&ask(&often), &Own::default()).is_ok()));
}

#[test]
fn a_ticket_that_is_refused_is_not_used_up() {
    let once = mint(&Ticket { once: true, ip: Some(CLIENT), ..ticket() });
    let resolver = build(None);
    let thief = Ask { client: "192.0.2.66".parse().unwrap(), ..ask(&once) };
    assert_eq!(resolver.resolve(&thief, &Own::default()), Err(TokenFault::Client.into()));
    assert!(resolver.resolve(&ask(&once), &Own::default()).is_ok());
}

#[test]
fn two_workers_cannot_use_one_ticket() {
    let resolver = build(None);
    for round in 0..50 {
        let once = mint(&Ticket { once: true, jti: format!("r{round}").into(), ..ticket() });
        let used = || resolver.resolve(&ask(&once), &Own::default()).is_ok();
        let let_in = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(used)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).filter(|ok| *ok).count()
        });
        assert_eq!(let_in, 1);
    }
}

#[test]
fn a_bad_key_file_is_told_by_its_line() {
    let route = route(settings(&["bad.key"]), &[]);
    let read = |_: &Path| Ok(b"# keys\nsecret-that-must-not-be-shown\n".to_vec());
    let error = Resolver::build(&route, &read, None).unwrap_err().to_string();
    assert!(error.starts_with("route `r`: key file of tickets bad.key: line 2 is no ticket key"), "{error}");
    assert!(!error.contains("secret-that"), "{error}");
}

#[test]
fn several_key_files_are_one_ring() {
    let route = route(settings(&["new.key", "old.key"]), &["10.0.0.0/8:7000"]);
    let read = |path: &Path| match path.to_str() {
        Some("old.key") => Ok(KEY_FILE.as_bytes().to_vec()),
        Some("new.key") => Ok(format!("ffffffff:{}", "11".repeat(32)).into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let resolver = Resolver::build(&route, &read, None).unwrap();
    assert!(resolver.resolve(&ask(&mint(&ticket())), &Own::default()).is_ok());
}

const KEY_FILE: &str = "0a0b0c0d:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn settings(files: &[&str]) -> config::Resolver {
    let key_files = files.iter().map(Into::into).collect();
    config::Resolver::Ticket(config::Ticket { key_files, leeway: Duration::from_secs(60) })
}

fn build(previous: Option<&Resolver>) -> Resolver {
    let route = route(settings(&["tickets.key"]), &["10.0.0.0/8:7000"]);
    Resolver::build(&route, &|_| Ok(KEY_FILE.as_bytes().to_vec()), previous).unwrap()
}

fn ticket() -> Ticket {
    Ticket {
        target: NameTarget::Endpoint("10.0.0.7:7000".parse().unwrap()),
        exp: NOW + 60,
        jti: "t-1".into(),
        ip: None,
        device: Some("device-7".into()),
        once: false,
    }
}

fn mint(ticket: &Ticket) -> String {
    let ring = KeyRing::parse(KEY_FILE).unwrap();
    ticket.seal(ring.first().unwrap(), [9; 12]).unwrap()
}
