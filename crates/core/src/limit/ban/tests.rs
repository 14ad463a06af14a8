#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;

use super::*;

#[test]
fn a_ban_holds_for_its_network_and_its_time() {
    let bans = Bans::default();
    bans.ban(net("10.1.2.3/16"), Tick(1000), "flood", Tick(0)).unwrap();
    bans.ban(net("2001:db8::/32"), Tick::NEVER, "", Tick(0)).unwrap();
    let rows = [
        ("10.1.255.1", 0, true),
        ("::ffff:10.1.0.1", 999, true),
        ("10.1.0.1", 1000, false),
        ("10.2.0.1", 0, false),
        ("2001:db8:1::1", u64::MAX - 1, true),
        ("2001:db9::1", 0, false),
    ];
    for (ip, now, want) in rows {
        assert_eq!(bans.holds(ip.parse().unwrap(), Tick(now)), want, "{ip} at {now}");
    }
    assert_eq!(bans.list(Tick(0)).len(), 2);
    assert_eq!(bans.list(Tick(1000)).len(), 1, "what is over is not listed");
    assert_eq!(&*bans.list(Tick(0))[0].why, "flood");
}

#[test]
fn a_ban_is_replaced_and_lifted() {
    let bans = Bans::default();
    let ip = "10.0.0.1".parse().unwrap();
    bans.ban(net("10.0.0.0/8"), Tick(10), "a", Tick(0)).unwrap();
    bans.ban(net("::ffff:10.0.0.0/104"), Tick(20), "b", Tick(0)).unwrap();
    assert_eq!(bans.list(Tick(0)).len(), 1, "the same network in another form");
    assert!(bans.holds(ip, Tick(15)));
    assert!(bans.lift(net("10.0.0.0/8")) && !bans.lift(net("10.0.0.0/8")));
    assert!(!bans.holds(ip, Tick(5)) && bans.list(Tick(0)).is_empty());
}

#[test]
fn bans_are_bounded_and_what_is_over_makes_room() {
    let bans = Bans::default();
    let host = |index: usize| IpNet::from(IpAddr::from(Ipv4Addr::from_bits(u32::try_from(index).unwrap())));
    for index in 0..MAX {
        bans.ban(host(index), Tick(10 + (index as u64 % 2)), "x", Tick(0)).unwrap();
    }
    assert_eq!(bans.ban(host(MAX), Tick(100), "x", Tick(0)), Err(TooMany));
    assert_eq!(bans.ban(host(3), Tick(100), "x", Tick(0)), Ok(()), "one that is there may change");
    assert_eq!(bans.ban(host(MAX), Tick(100), "x", Tick(10)), Ok(()));
    assert!(bans.list(Tick(0)).len() <= MAX);
}

#[test]
fn a_reason_is_cut_at_a_character() {
    let bans = Bans::default();
    bans.ban(net("10.0.0.0/8"), Tick(10), &"ä".repeat(1000), Tick(0)).unwrap();
    assert_eq!(bans.list(Tick(0))[0].why.len(), MAX_WHY);
    bans.ban(net("10.0.0.0/8"), Tick(10), &format!("x{}", "ä".repeat(1000)), Tick(0)).unwrap();
    assert_eq!(bans.list(Tick(0))[0].why.len(), MAX_WHY - 1);
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}
