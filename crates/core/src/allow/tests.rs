#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::endpoint::{Endpoint, Host};

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

/// Which rules, own addresses and client a table of keys is tried with.
struct World {
    allow: Allow,
    own: Own,
    client: IpAddr,
}

/// What becomes of a key: what it is before any look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Malformed,
    Refused(Forbidden),
    /// This address is dialled.
    Dialled(&'static str),
    /// The name is looked up, and its answers are checked.
    LookedUp,
    /// No answer could pass, so nobody is asked.
    NotLookedUp,
}
use Outcome::{Dialled, LookedUp, Malformed, NotLookedUp, Refused};

impl World {
    fn new(rules: &[&str]) -> Self {
        let rules = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
        let own = Own {
            listening: ["[::]:7082", "127.0.0.1:9909", "10.0.0.9:7443"].map(|a| a.parse().unwrap()).to_vec(),
            local: ["10.0.0.9", "fd00::9"].map(|a| a.parse().unwrap()).to_vec(),
        };
        Self { allow: Allow::Rules(rules), own, client: "192.0.2.1".parse().unwrap() }
    }

    fn check(&self, key: &str, want: Outcome) {
        let Ok(endpoint) = key.parse::<Endpoint>() else {
            return assert_eq!(Malformed, want, "{key:?}");
        };
        let got = match endpoint.host {
            Host::Name(name) if may_look_up(&self.allow, &name, Some(endpoint.port)) => LookedUp,
            Host::Name(_) => NotLookedUp,
            Host::Ip(ip) => {
                let addr = SocketAddr::new(ip, endpoint.port.get());
                match check(&self.allow, &self.own, self.client, None, addr) {
                    Err(forbidden) => Refused(forbidden),
                    Ok(addr) if want == Dialled(addr.to_string().leak()) => want,
                    Ok(addr) => panic!("{key:?} is dialled as {addr}, want {want:?}"),
                }
            }
        };
        assert_eq!(got, want, "{key:?}");
    }
}

/// Keys against rules that have everything but what is always refused, and the private network by name.
#[rustfmt::skip]
const SPELLINGS: &[(&str, Outcome)] = &[
    // What the grammar has.
    ("10.0.0.7:7000", Dialled("10.0.0.7:7000")),
    ("10.255.255.255:65535", Dialled("10.255.255.255:65535")),
    ("198.51.100.4:1", Dialled("198.51.100.4:1")),
    ("[fd00::1]:7000", Dialled("[fd00::1]:7000")),
    ("[FD00:0:0:0:0:0:0:1]:7000", Dialled("[fd00::1]:7000")),
    ("[2001:db8::1]:7000", Dialled("[2001:db8::1]:7000")),
    ("10.0.0.7:07000", Dialled("10.0.0.7:7000")),
    ("lobby.game.internal:7000", LookedUp),
    ("LOBBY.Game.Internal:7000", LookedUp),
    ("localhost:7000", LookedUp),
    ("xn--mnchen-3ya.example:7000", LookedUp),
    ("1-800.example:7000", LookedUp),
    ("0x7f.example:7000", LookedUp),
    ("a:7000", LookedUp),
    // IPv4 in IPv6.
    ("[::ffff:10.0.0.7]:7000", Dialled("10.0.0.7:7000")),
    ("[::FFFF:0a00:0007]:7000", Dialled("10.0.0.7:7000")),
    ("[0:0:0:0:0:ffff:10.0.0.7]:7000", Dialled("10.0.0.7:7000")),
    ("[::10.0.0.7]:7000", Dialled("10.0.0.7:7000")),
    ("[64:ff9b::10.0.0.7]:7000", Dialled("10.0.0.7:7000")),
    ("[2002:a00:7::1]:7000", Dialled("10.0.0.7:7000")),
    ("[::ffff:0:10.0.0.7]:7000", Dialled("10.0.0.7:7000")),
    ("[::ffff:127.0.0.1]:7000", Refused(Forbidden::Loopback)),
    ("[::ffff:7f00:1]:7000", Refused(Forbidden::Loopback)),
    ("[::127.0.0.1]:7000", Refused(Forbidden::Loopback)),
    ("[64:ff9b::127.0.0.1]:7000", Refused(Forbidden::Loopback)),
    ("[64:ff9b::7f00:1]:7000", Refused(Forbidden::Loopback)),
    ("[2002:7f00:1::]:7000", Refused(Forbidden::Loopback)),
    ("[::ffff:0:127.0.0.1]:7000", Refused(Forbidden::Loopback)),
    ("[::ffff:169.254.169.254]:80", Refused(Forbidden::LinkLocal)),
    ("[::ffff:a9fe:a9fe]:80", Refused(Forbidden::LinkLocal)),
    ("[::169.254.169.254]:80", Refused(Forbidden::LinkLocal)),
    ("[64:ff9b::169.254.169.254]:80", Refused(Forbidden::LinkLocal)),
    ("[2002:a9fe:a9fe::]:80", Refused(Forbidden::LinkLocal)),
    ("[64:ff9b:1::10.0.0.7]:7000", Refused(Forbidden::Translated)),
    ("[64:ff9b:1:7f00:0:100::]:7000", Refused(Forbidden::Translated)),
    ("[::ffff:0.0.0.0]:7000", Refused(Forbidden::Unspecified)),
    ("[::ffff:255.255.255.255]:7000", Refused(Forbidden::Broadcast)),
    ("[::ffff:224.0.0.1]:7000", Refused(Forbidden::Multicast)),
    ("[::2]:7000", Refused(Forbidden::Unspecified)),
    ("[64:ff9b::]:7000", Refused(Forbidden::Unspecified)),
    // Always refused.
    ("0.0.0.0:7000", Refused(Forbidden::Unspecified)),
    ("0.0.0.1:7000", Refused(Forbidden::Unspecified)),
    ("0.255.255.255:7000", Refused(Forbidden::Unspecified)),
    ("[::]:7000", Refused(Forbidden::Unspecified)),
    ("[0:0:0:0:0:0:0:0]:7000", Refused(Forbidden::Unspecified)),
    ("127.0.0.1:7000", Refused(Forbidden::Loopback)),
    ("127.1.2.3:7000", Refused(Forbidden::Loopback)),
    ("127.255.255.255:7000", Refused(Forbidden::Loopback)),
    ("[::1]:7000", Refused(Forbidden::Loopback)),
    ("[0000:0000:0000:0000:0000:0000:0000:0001]:7000", Refused(Forbidden::Loopback)),
    ("169.254.169.254:80", Refused(Forbidden::LinkLocal)),
    ("169.254.0.1:80", Refused(Forbidden::LinkLocal)),
    ("169.254.170.2:80", Refused(Forbidden::LinkLocal)),
    ("[fe80::1]:7000", Refused(Forbidden::LinkLocal)),
    ("[febf::1]:7000", Refused(Forbidden::LinkLocal)),
    ("[fd00:ec2::254]:80", Refused(Forbidden::Metadata)),
    ("[fd20:ce::254]:80", Refused(Forbidden::Metadata)),
    ("100.100.100.200:80", Refused(Forbidden::Metadata)),
    ("168.63.129.16:80", Refused(Forbidden::Metadata)),
    ("192.0.0.192:80", Refused(Forbidden::Metadata)),
    ("224.0.0.1:7000", Refused(Forbidden::Multicast)),
    ("239.255.255.250:1900", Refused(Forbidden::Multicast)),
    ("[ff02::1]:7000", Refused(Forbidden::Multicast)),
    ("[ff05::2]:7000", Refused(Forbidden::Multicast)),
    ("255.255.255.255:7000", Refused(Forbidden::Broadcast)),
    // The gateway itself: a wildcard bind is every local address.
    ("10.0.0.9:7082", Refused(Forbidden::Own)),
    ("[fd00::9]:7082", Refused(Forbidden::Own)),
    ("127.0.0.1:7082", Refused(Forbidden::Own)),
    ("127.9.9.9:7082", Refused(Forbidden::Own)),
    ("[::1]:7082", Refused(Forbidden::Own)),
    ("[::ffff:10.0.0.9]:7082", Refused(Forbidden::Own)),
    ("[64:ff9b::10.0.0.9]:7082", Refused(Forbidden::Own)),
    ("127.0.0.1:9909", Refused(Forbidden::Own)),
    ("[::ffff:127.0.0.1]:9909", Refused(Forbidden::Own)),
    ("10.0.0.9:7443", Refused(Forbidden::Own)),
    ("10.0.0.8:7082", Dialled("10.0.0.8:7082")),
    ("10.0.0.9:7083", Dialled("10.0.0.9:7083")),
    // Numbers that other parsers read as addresses.
    ("2130706433:7000", Malformed),
    ("0x7f000001:7000", Malformed),
    ("0X7F000001:7000", Malformed),
    ("017700000001:7000", Malformed),
    ("127.1:7000", Malformed),
    ("127.0.1:7000", Malformed),
    ("10.7:7000", Malformed),
    ("0:7000", Malformed),
    ("1:7000", Malformed),
    ("0x:7000", Malformed),
    ("0177.0.0.1:7000", Malformed),
    ("0x7f.0.0.1:7000", Malformed),
    ("127.0.0.0x1:7000", Malformed),
    ("010.0.0.7:7000", Malformed),
    ("10.0.0.07:7000", Malformed),
    ("10.0.0.256:7000", Malformed),
    ("10.0.0.7.1:7000", Malformed),
    ("10.0.0:7000", Malformed),
    ("example.123:7000", Malformed),
    ("1.2.3.4.5.6:7000", Malformed),
    ("4294967296:7000", Malformed),
    ("-1:7000", Malformed),
    ("10.0.0.-7:7000", Malformed),
    ("10.0.0.+7:7000", Malformed),
    // Dots.
    ("127.0.0.1.:7000", Malformed),
    ("10.0.0.7.:7000", Malformed),
    ("lobby.game.internal.:7000", Malformed),
    (".lobby:7000", Malformed),
    (".:7000", Malformed),
    ("lobby..internal:7000", Malformed),
    ("localhost.:7000", Malformed),
    // Ports.
    ("10.0.0.7", Malformed),
    ("10.0.0.7:", Malformed),
    ("10.0.0.7:0", Malformed),
    ("10.0.0.7:00000", Malformed),
    ("10.0.0.7:65536", Malformed),
    ("10.0.0.7:99999", Malformed),
    ("10.0.0.7:007000", Malformed),
    ("10.0.0.7:+80", Malformed),
    ("10.0.0.7:-80", Malformed),
    ("10.0.0.7:80 ", Malformed),
    ("10.0.0.7: 80", Malformed),
    ("10.0.0.7:0x50", Malformed),
    ("10.0.0.7:8e1", Malformed),
    ("10.0.0.7:80.0", Malformed),
    ("10.0.0.7:http", Malformed),
    ("10.0.0.7:80:80", Malformed),
    ("10.0.0.7::80", Malformed),
    ("10.0.0.7:80/", Malformed),
    ("10.0.0.7:80#", Malformed),
    ("10.0.0.7:\u{661}\u{660}", Malformed),
    ("10.0.0.7:\u{ff18}\u{ff10}", Malformed),
    (":7000", Malformed),
    (":", Malformed),
    ("", Malformed),
    // Brackets and zones.
    ("[::1]", Malformed),
    ("::1:7000", Malformed),
    ("fd00::1:7000", Malformed),
    ("[::1:7000", Malformed),
    ("::1]:7000", Malformed),
    ("[[::1]]:7000", Malformed),
    ("[]:7000", Malformed),
    ("[fe80::1%eth0]:7000", Malformed),
    ("[fe80::1%25eth0]:7000", Malformed),
    ("[fd00::1%1]:7000", Malformed),
    ("[127.0.0.1]:7000", Malformed),
    ("[10.0.0.7]:7000", Malformed),
    ("[localhost]:7000", Malformed),
    ("[::ffff:10.0.0.256]:7000", Malformed),
    ("[::ffff:010.0.0.7]:7000", Malformed),
    ("[::g]:7000", Malformed),
    ("[1::2::3]:7000", Malformed),
    ("[00000::1]:7000", Malformed),
    ("[v1.fe80::1]:7000", Malformed),
    // Things around the host.
    ("user@10.0.0.7:7000", Malformed),
    ("user:pass@10.0.0.7:7000", Malformed),
    ("10.0.0.7:7000@127.0.0.1:80", Malformed),
    ("http://10.0.0.7:7000", Malformed),
    ("tcp:10.0.0.7:7000", Malformed),
    ("//10.0.0.7:7000", Malformed),
    ("unix:/x", Malformed),
    ("unix:/run/portcullis.sock:7000", Malformed),
    ("/run/x.sock:7000", Malformed),
    ("@abstract:7000", Malformed),
    ("10.0.0.7/8:7000", Malformed),
    ("10.0.0.7,10.0.0.8:7000", Malformed),
    ("10.0.0.7:7000,10.0.0.8:7000", Malformed),
    ("*:7000", Malformed),
    ("*.game.internal:7000", Malformed),
    ("%31%30.0.0.7:7000", Malformed),
    ("lobby_1.internal:7000", Malformed),
    ("_game._tcp.internal:7000", Malformed),
    ("-lobby:7000", Malformed),
    ("lobby-:7000", Malformed),
    ("\"10.0.0.7\":7000", Malformed),
    ("$(id):7000", Malformed),
    ("\\\\10.0.0.7:7000", Malformed),
    // Spaces, controls, other scripts.
    (" 10.0.0.7:7000", Malformed),
    ("10.0.0.7 :7000", Malformed),
    ("10.0.0.7:7000\n", Malformed),
    ("10.0.0.7:7000\r\n", Malformed),
    ("10.0.0.7\n127.0.0.1:7000", Malformed),
    ("10.0.0.7:7000\0", Malformed),
    ("10.0.0.7\0.example:7000", Malformed),
    ("\t10.0.0.7:7000", Malformed),
    ("\u{feff}10.0.0.7:7000", Malformed),
    ("10.0.0.7\u{a0}:7000", Malformed),
    ("\u{ff11}\u{ff10}.0.0.7:7000", Malformed),
    ("10\u{3002}0\u{3002}0\u{3002}7:7000", Malformed),
    ("\u{2460}27.0.0.1:7000", Malformed),
    ("m\u{fc}nchen.example:7000", Malformed),
    ("l\u{43e}calhost:7000", Malformed),
    ("10.0.0.7\u{ff1a}7000", Malformed),
];

#[test]
fn every_spelling_has_its_one_outcome() {
    const { assert!(SPELLINGS.len() >= 120) };
    let world = World::new(&["0.0.0.0/0:*", "[::]/0:*"]);
    for (key, want) in SPELLINGS {
        world.check(key, *want);
    }
}

#[test]
fn nothing_is_reached_without_a_rule() {
    let world = World { allow: Allow::Nothing, ..World::new(&[]) };
    for (key, want) in SPELLINGS {
        let want = match want {
            Dialled(_) => Refused(Forbidden::NotAllowed),
            LookedUp => NotLookedUp,
            Malformed | Refused(_) | NotLookedUp => *want,
        };
        world.check(key, want);
    }
}

#[test]
fn loopback_is_reached_only_by_a_rule_that_names_it() {
    let rows: [(&[&str], &str, Outcome); 9] = [
        (&["127.0.0.1:7000"], "127.0.0.1:7000", Dialled("127.0.0.1:7000")),
        (&["127.0.0.0/8:*"], "127.3.2.1:7000", Dialled("127.3.2.1:7000")),
        (&["[::1]:7000"], "[::1]:7000", Dialled("[::1]:7000")),
        (&["127.0.0.1:7000"], "[::ffff:127.0.0.1]:7000", Dialled("127.0.0.1:7000")),
        (&["127.0.0.1:7000"], "127.0.0.2:7000", Refused(Forbidden::Loopback)),
        (&["127.0.0.1:7000"], "[::1]:7000", Refused(Forbidden::Loopback)),
        (&["126.0.0.0/7:*"], "127.0.0.1:7000", Refused(Forbidden::Loopback)),
        (&["localhost:7000"], "127.0.0.1:7000", Refused(Forbidden::Loopback)),
        (&["127.0.0.0/8:*"], "127.0.0.1:9909", Refused(Forbidden::Own)),
    ];
    for (rules, key, want) in rows {
        World::new(rules).check(key, want);
    }
}

#[test]
fn an_answer_passes_by_its_name_or_by_its_network() {
    let rules = ["lobby.internal:7000", "*.game.internal:7000-7009", "10.0.0.0/8:7005", "localhost:7000"];
    let world = World::new(&rules);
    let rows = [
        ("lobby.internal", "192.168.0.1:7000", Ok(())),
        ("lobby.internal", "8.8.8.8:7000", Ok(())),
        ("lobby.internal", "8.8.8.8:7001", Err(Forbidden::NotAllowed)),
        ("lobby.internal", "10.0.0.1:7005", Ok(())),
        ("lobby.internal", "127.0.0.1:7000", Err(Forbidden::Loopback)),
        ("lobby.internal", "[::1]:7000", Err(Forbidden::Loopback)),
        ("lobby.internal", "169.254.169.254:7000", Err(Forbidden::LinkLocal)),
        ("lobby.internal", "0.0.0.0:7000", Err(Forbidden::Unspecified)),
        ("lobby.internal", "10.0.0.9:7082", Err(Forbidden::Own)),
        ("a.game.internal", "192.168.0.1:7009", Ok(())),
        ("game.internal", "192.168.0.1:7009", Err(Forbidden::NotAllowed)),
        ("agame.internal", "192.168.0.1:7009", Err(Forbidden::NotAllowed)),
        ("rebind.example", "10.0.0.1:7005", Ok(())),
        ("rebind.example", "10.0.0.1:7000", Err(Forbidden::NotAllowed)),
        ("rebind.example", "192.168.0.1:7005", Err(Forbidden::NotAllowed)),
        ("rebind.example", "127.0.0.1:7000", Err(Forbidden::Loopback)),
        ("rebind.example", "[::ffff:10.0.0.1]:7005", Ok(())),
        ("localhost", "127.0.0.1:7000", Ok(())),
        ("localhost", "[::1]:7000", Ok(())),
        ("localhost", "127.0.0.1:7001", Err(Forbidden::Loopback)),
    ];
    for (host, answer, want) in rows {
        let host = HostName::parse(host).unwrap();
        let got = check(&world.allow, &world.own, world.client, Some(&host), answer.parse().unwrap());
        assert_eq!(got.map(|_| ()), want, "{host} {answer}");
    }
}

#[test]
fn without_allow_a_target_is_no_more_private_than_its_client() {
    let rows = [
        ("127.0.0.1", "127.0.0.1:7083", Ok(())),
        ("127.0.0.1", "[::1]:7083", Ok(())),
        ("::ffff:127.0.0.1", "127.0.0.1:7083", Ok(())),
        ("127.0.0.1", "10.0.0.1:7083", Ok(())),
        ("127.0.0.1", "8.8.8.8:7083", Ok(())),
        ("10.0.0.5", "127.0.0.1:7083", Err(Forbidden::Loopback)),
        ("10.0.0.5", "192.168.0.1:7083", Ok(())),
        ("10.0.0.5", "[fd00::1]:7083", Ok(())),
        ("fd00::5", "10.0.0.1:7083", Ok(())),
        ("100.64.0.5", "172.16.0.1:7083", Ok(())),
        ("8.8.8.8", "8.8.4.4:7083", Ok(())),
        ("8.8.8.8", "[2001:db8::1]:7083", Ok(())),
        ("8.8.8.8", "10.0.0.1:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "172.31.255.255:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "100.64.0.1:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "[fd00::1]:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "[fec0::1]:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "[::ffff:10.0.0.1]:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "[64:ff9b::10.0.0.1]:7083", Err(Forbidden::NotAllowed)),
        ("8.8.8.8", "127.0.0.1:7083", Err(Forbidden::Loopback)),
        // A client from far away does not become near by the address that its own carries.
        ("2002:7f00:1::", "127.0.0.1:7083", Err(Forbidden::Loopback)),
        ("64:ff9b::10.0.0.1", "10.0.0.1:7083", Err(Forbidden::NotAllowed)),
        ("::10.0.0.1", "10.0.0.1:7083", Err(Forbidden::NotAllowed)),
        ("127.0.0.1", "169.254.169.254:80", Err(Forbidden::LinkLocal)),
        ("127.0.0.1", "127.0.0.1:7082", Err(Forbidden::Own)),
        ("127.0.0.1", "0.0.0.0:7083", Err(Forbidden::Unspecified)),
    ];
    let own = World::new(&[]).own;
    for (client, target, want) in rows {
        let got = check(&Allow::NoMorePrivate, &own, client.parse().unwrap(), None, target.parse().unwrap());
        assert_eq!(got.map(|_| ()), want, "{client} → {target}");
    }
}

proptest! {
    #[test]
    fn whatever_is_dialled_is_plain_and_never_refused(
        bits in any::<u128>(),
        prefix in prop::sample::select(vec![0, 96, 128, 32, 112, 120]),
        port in any::<u16>(),
    ) {
        // Short prefixes of zeros make the forms that carry IPv4 likely.
        let ip = Ipv6Addr::from_bits(if prefix == 128 { bits } else { bits >> prefix });
        let world = World::new(&["0.0.0.0/0:*", "[::]/0:*"]);
        if let Ok(addr) = check(&world.allow, &world.own, world.client, None, (ip, port).into()) {
            prop_assert!(!addr.ip().is_loopback() && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
            prop_assert_eq!(plain(addr.ip()), Ok(addr.ip()));
            prop_assert_eq!(check(&world.allow, &world.own, world.client, None, addr), Ok(addr));
        }
    }
}
