#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU32;

use super::*;
use crate::config::Config;
use crate::unit;

const MS: Duration = Duration::from_millis(1);

#[test]
fn each_cause_has_its_own_reason() {
    let quota = |sessions, rate| Quota { sessions, session_rate: rate, ..Quota::default() };
    let rows: [(fn(&mut config::Listener, &mut Quotas), Quota, Reason); 6] = [
        (
            |listener, _| listener.deny = vec!["10.0.0.0/8".parse().unwrap()],
            quota(None, None),
            Reason::Denied,
        ),
        (
            |listener, _| listener.allow = vec!["11.0.0.0/8".parse().unwrap()],
            quota(None, None),
            Reason::Denied,
        ),
        (|listener, _| listener.limits.per_ip.sessions = Some(1), quota(None, None), Reason::IpSessions),
        (|_, process| process.per_ip.session_rate = Some(rate(1)), quota(None, None), Reason::IpRate),
        (|listener, _| listener.limits.whole.sessions = Some(1), quota(None, None), Reason::ListenerSessions),
        (
            |listener, _| listener.limits.whole.session_rate = Some(rate(1)),
            quota(None, None),
            Reason::ListenerRate,
        ),
    ];
    for (change, whole, want) in rows {
        let mut process = Quotas { whole, ..Quotas::default() };
        let entrance = entrance(|listener| change(listener, &mut process));
        let entrance = Entrance { process: Party { quotas: process, tally: Tally::default() }, ..entrance };
        let first = enter(&entrance, MS);
        let second = enter(&entrance, MS);
        assert_eq!(first.and(second).map(|_| ()), Err(want));
    }
}

#[test]
fn the_process_counts_what_two_listeners_let_in() {
    let process =
        Quotas { whole: Quota { session_rate: Some(rate(2)), ..Quota::default() }, ..Quotas::default() };
    let tally = Tally::default();
    let listeners = [0, 1].map(|_| {
        let one = entrance(|listener| listener.limits.whole.session_rate = Some(rate(2)));
        Entrance { process: Party { quotas: process, tally: tally.clone() }, ..one }
    });
    assert!(enter(&listeners[0], MS).is_ok() && enter(&listeners[1], MS).is_ok());
    assert_eq!(enter(&listeners[0], MS).map(|_| ()), Err(Reason::ProcessRate));
    // The listener's token was given back: it still has one when the process has.
    assert!(enter(&listeners[0], MS * 600).is_ok());
}

#[test]
fn a_session_that_is_refused_leaves_no_count_behind() {
    let entrance = entrance(|listener| {
        listener.limits.per_ip.sessions = Some(1);
        listener.limits.whole.session_rate = Some(rate(1));
    });
    drop(enter(&entrance, MS).unwrap());
    for _ in 0..10 {
        assert_eq!(enter(&entrance, MS).map(|_| ()), Err(Reason::ListenerRate), "not `ip-sessions`");
    }
}

#[test]
fn forged_addresses_do_not_use_up_what_their_owner_has() {
    let entrance = entrance(|listener| listener.limits.per_ip.sessions = Some(1));
    let (mut forged, mut owner) = (Claims::default(), Claims::default());
    let client = |is_claimed| Client { ip: "10.0.0.1".parse().unwrap(), is_claimed };
    assert_eq!(entrance.admit_client(client(true), &mut forged, MS), Ok(()));
    assert_eq!(entrance.admit_client(client(false), &mut owner, MS), Ok(()));
    assert_eq!(entrance.admit_client(client(true), &mut forged, MS), Err(Reason::IpSessions));
}

#[test]
fn sessions_share_the_listeners_bytes_and_have_their_own() {
    let entrance = entrance(|listener| {
        listener.limits.whole.up_rate = Some(rate(1000));
        listener.limits.per_session.up_rate = Some(rate(600));
    });
    let [one, other] = [0, 1].map(|_| entrance.rates(Ration::Up));
    assert!(entrance.rates(Ration::Down).is_empty());
    assert_eq!(one.allowance(MS), Ok(600));
    one.charge(MS, 600);
    assert_eq!(other.allowance(MS), Ok(400));
    let limits: Vec<_> = entrance.limits().collect();
    let row = Limit { owner: "listener", scope: "session", name: "up_rate", value: 600.0 };
    assert!(limits.len() == 2 && limits.contains(&row), "{limits:?}");
}

fn enter(entrance: &Entrance, now: Duration) -> Result<Claims, Reason> {
    let mut claims = Claims::default();
    let client = Client { ip: "10.0.0.1".parse().unwrap(), is_claimed: false };
    entrance.admit_client(client, &mut claims, now)?;
    entrance.admit_session(&mut claims, now)?;
    Ok(claims)
}

fn entrance(change: impl FnOnce(&mut config::Listener)) -> Entrance {
    let text = r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
route = "out"
[route.out]
allow = ["127.0.0.0/8:*"]
"#;
    let mut config = Config::parse(text, "test.toml", &|_| None).unwrap();
    change(&mut config.listeners[0]);
    Entrance::new(&config.listeners[0], Tally::default(), (Quotas::default(), Tally::default()))
}

/// So many a second, and as many at once.
fn rate(tokens: u32) -> RateLimit {
    let rate = unit::Rate { count: NonZeroU32::new(tokens).unwrap(), per: Duration::from_secs(1) };
    RateLimit { rate, burst: tokens }
}
