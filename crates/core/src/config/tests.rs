#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

mod warnings;

use super::key::{Preset, Section};
use super::*;
use crate::allow::Allow;

#[test]
fn every_key_of_every_section_is_read() {
    // No key is a date: one that is read says so.
    for section in all_sections() {
        for row in section.rows {
            let text = with_key(section.path, row.name(), "1979-05-27");
            let errors = parse(&text).expect_err(&text);
            let told = format!("`{}` is ", row.name());
            let found = errors
                .0
                .iter()
                .any(|error| error.message.contains(&told) && error.message.contains("a date"));
            assert!(found, "{}: {} is passed over:\n{text}\n{errors}", section.path, row.name());
        }
    }
}

#[test]
fn every_key_of_a_later_version_is_refused() {
    for section in all_sections() {
        for key in section.later {
            let text = with_key(section.path, key, "1");
            let told = parse(&text).expect_err(&text).to_string();
            assert!(told.contains(&format!("`{key}` is not in this version")), "{told}");
        }
        for row in section.rows {
            assert!(!section.later.contains(&row.name()), "{}: {} is both", section.path, row.name());
        }
    }
}

#[test]
fn every_default_is_a_value_its_key_takes() {
    for section in all_sections() {
        for row in section.rows {
            let Preset::Value(toml) = row.preset() else { continue };
            let text = with_key(section.path, row.name(), &toml);
            let errors = parse(&text).err().map(|errors| errors.0).unwrap_or_default();
            let line = format!("{} = {toml}", row.name());
            // A default that cannot stand where it has no effect is still a value.
            let refused = errors.iter().find(|error| {
                error.source_line.contains(&line)
                    && error.message.contains(&format!("`{}", row.name()))
                    && !error.message.contains("no effect")
            });
            assert_eq!(refused, None, "{text}");
        }
    }
}

#[test]
fn the_seeds_own_file_is_what_the_product_says() {
    let config = parse(include_str!("../../../../config/config.toml")).unwrap();
    assert_eq!(config.flavour, Flavour::Seed);
    assert_eq!((config.admin, config.upstreams.len()), (None, 0));
    let told: Vec<_> = config.warnings.iter().map(|warning| &*warning.text).collect();
    assert!(matches!(told[..], [one] if one.contains("`allow = ")), "{told:?}");
    let [tcp, kcp, ws] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
    assert_eq!((tcp.protocol, kcp.protocol, ws.protocol), (Protocol::Tcp, Protocol::Kcp, Protocol::Ws));
    assert_eq!(tcp.bind, ["[::]:7082".parse().unwrap()]);
    assert_eq!(kcp.bind, ["[::]:8082".parse().unwrap()]);
    assert_eq!(ws.bind, ["[::]:9082".parse().unwrap()]);
    assert_eq!(
        (tcp.hello, kcp.hello, ws.hello),
        (Hello::LengthPrefixed, Hello::LengthPrefixed, Hello::Header)
    );
    assert_eq!(kcp.idle_timeout, Duration::from_secs(60));
    let ws = ws.ws.as_ref().unwrap();
    assert_eq!((ws.framing_up, ws.framing_down), (Framing::LengthPrefixed, Framing::Raw));
    assert_eq!((&*ws.header, ws.query), ("server-identify", true));
    for listener in &config.listeners {
        assert_eq!((&*listener.success_message, &*listener.failure_message), (&b"ok"[..], &b"error"[..]));
        assert_eq!(listener.failure_delay, Duration::from_millis(250));
        assert_eq!(listener.hello_timeout, Duration::from_secs(10));
        assert!(!listener.zero_copy);
    }
    for route in &config.routes {
        assert_eq!((route.resolver.clone(), route.allow.clone()), (Resolver::Address, Allow::NoMorePrivate));
        assert_eq!((route.dial.connect_timeout, route.dial.attempts), (Duration::from_secs(5), 3));
    }
}

#[test]
fn absent_values_of_the_seed_are_those_its_file_shows() {
    let shown = parse(include_str!("../../../../config/config.toml")).unwrap();
    let bare = parse("[tcpgate]\n[kcpgate]\n[wsgate]").unwrap();
    assert_eq!(bare.listeners, shown.listeners);
    assert_eq!(bare.routes, shown.routes);
    assert_eq!((bare.log.info_file, bare.log.error_file), (None, None));
}

#[test]
fn every_strategy_of_the_seed_has_a_resolver() {
    for (word, address) in [
        ("ipHost", true),
        ("IPHOST", true),
        ("host-ip", true),
        ("Origin", true),
        ("jwt", false),
        ("JWT", false),
    ] {
        let text = format!("[wsgate]\n[common]\nheader_identify = '{word}'\njwt_key_file = 'k.pem'");
        let config = parse(&text).unwrap();
        assert_eq!(config.routes[0].resolver == Resolver::Address, address, "{word}");
        assert_eq!(config.listeners[0].ws.as_ref().unwrap().query, address, "{word}");
    }
    assert!(parse("[tcpgate]\n[common]\nheader_identify = 'etcd'").is_err());
}

#[test]
fn admin_limits_dns_and_drain_may_be_added_to_the_seeds_form() {
    let text = "[tcpgate]\n[admin]\n[limits]\nsessions = 7\nfailed_dials_per_minute = 0\n[dns]\n\
                servers = ['127.0.0.1:5353', '::1']\n[drain]\ndelay = '5s'";
    let config = parse(text).unwrap();
    assert_eq!(config.admin.unwrap().bind, "127.0.0.1:9909".parse().unwrap());
    assert_eq!(
        config.limits,
        Limits { sessions: Some(7), failed_dials_per_minute: None, quotas: Quotas::default() }
    );
    assert_eq!(config.dns.servers, ["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    assert_eq!(config.drain, Drain { delay: Duration::from_secs(5), timeout: Duration::from_secs(30) });
}

#[test]
fn a_gate_that_is_off_is_not_there() {
    let config =
        parse("[tcpgate]\nenabled = false\n[wsgate]\nzero_copy = true\n[kcpgate]\nenabled = false").unwrap();
    assert_eq!(
        config.listeners.iter().map(|listener| listener.name.as_str()).collect::<Vec<_>>(),
        ["wsgate"]
    );
    let told: Vec<_> = config.warnings.iter().map(|warning| &*warning.text).collect();
    assert!(told.iter().any(|text| text.contains("`zero_copy` changes nothing")), "{told:?}");
    assert!(!told.iter().any(|text| text.contains("kcp")), "{told:?}");
}

#[test]
fn native_defaults_depend_on_protocol_hello_and_resolver() {
    let listener = |extra: &str, route: &str| {
        let text = format!(
            "[[listener]]\nname = 'a'\nbind = 7082\nroute = 'r'\n{extra}\n[route.r]\n{route}\n\
             [upstream.u]\nendpoints = [{{ address = '10.0.0.1:1' }}]"
        );
        parse(&text).unwrap_or_else(|errors| panic!("{errors}")).listeners.remove(0)
    };
    let (open, sealed) = ("allow = '10.0.0.0/8:*'", "resolver = 'jwt'\nkey_file = 'k'\nupstreams = 'u'");
    let tcp = listener("protocol = 'tcp'", open);
    assert_eq!((tcp.hello, tcp.idle_timeout, &tcp.ws), (Hello::LengthPrefixed, listener::IDLE_TCP, &None));
    assert_eq!((&*tcp.success_message, tcp.zero_copy), (&b"ok"[..], true));
    let ws = listener("protocol = 'ws'", open);
    assert_eq!((ws.hello, ws.idle_timeout, ws.ws.unwrap().query), (Hello::Header, listener::IDLE_WS, true));
    assert!(!listener("protocol = 'ws'", sealed).ws.unwrap().query);
    let silent = listener("protocol = 'tcp'\nhello = 'none'", "upstreams = 'u'");
    assert!(silent.success_message.is_empty() && silent.failure_message.is_empty());
    let certs = "tls = { certs = [{ cert = 'c', key = 'k' }] }";
    let tls = listener(&format!("protocol = 'tls'\n{certs}"), open);
    assert_eq!((tls.hello, tls.idle_timeout, &tls.ws), (Hello::LengthPrefixed, listener::IDLE_TCP, &None));
    let settings = tls.tls.unwrap();
    assert_eq!((&settings.client_auth, settings.min_version), (&ClientAuth::Off, TlsVersion::V12));
    let wss = listener(&format!("protocol = 'wss'\n{certs}"), sealed);
    assert_eq!(
        (wss.hello, wss.idle_timeout, wss.ws.unwrap().query),
        (Hello::Header, listener::IDLE_WS, false)
    );
    let peeked =
        listener("protocol = 'tcp'\nhello = 'sni'", "resolver = 'name'\nnames = { a = '10.0.0.1:1' }");
    assert!(peeked.success_message.is_empty() && peeked.tls.is_none());
}

#[test]
fn what_endpoints_speak_is_a_transport_and_what_is_on_top_of_it() {
    let dial = |lines: &str| {
        let text = format!(
            "[[listener]]\nname = 'a'\nprotocol = 'tcp'\nbind = 1\nroute = 'r'\n[route.r]\nallow = '10.0.0.0/8:*'\n{lines}"
        );
        parse(&text).unwrap_or_else(|errors| panic!("{errors}")).routes.remove(0).dial
    };
    for (word, tls, ws) in [
        ("tcp", false, false),
        ("tls", true, false),
        ("ws", false, true),
        ("wss", true, true),
        ("kcp", false, false),
    ] {
        let dial = dial(&format!("endpoint = '{word}'"));
        assert_eq!(
            (dial.tls.is_some(), dial.ws.is_some(), dial.kcp().is_some()),
            (tls, ws, word == "kcp"),
            "{word}"
        );
        assert_eq!(dial.proxy_protocol, ProxyHeader::Off);
    }
    let usual = dial("endpoint = 'wss'");
    let want = DialTls { ca_file: None, server_name: None, verify: true, cert: None };
    assert_eq!(usual.tls.as_deref(), Some(&want));
    assert_eq!(usual.ws.as_deref(), Some(&DialWs { path: "/".into(), host: None, forwarded: true }));
}

#[test]
fn variables_are_replaced_and_never_shown() {
    let text = "[[listener]]\nname = '${NAME}-$${NAME}'\nprotocol = 'tcp'\nbind = ['${HOST}:${PORT}']\nroute = 'r'\n\
                failure_message = 'no ${SECRET}'\n[route.r]\nallow = [\n'${RULE}',\n]";
    let env = |name: &str| {
        let known = [
            ("NAME", "a"),
            ("HOST", "127.0.0.1"),
            ("PORT", "80"),
            ("SECRET", "s3cret"),
            ("RULE", "10.0.0.0/8:*"),
        ];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let text_good = text.replace("-$${NAME}", "");
    let config = Config::parse(&text_good, "file", &env).unwrap();
    assert_eq!(config.listeners[0].bind, ["127.0.0.1:80".parse().unwrap()]);
    assert_eq!(&*config.listeners[0].failure_message, b"no s3cret");
    let shown = effective(&text_good, "file", &env).unwrap();
    assert!(shown.contains("'no ${SECRET}'") && !shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("allow = \"${…}\""), "{shown}");
    let told = Config::parse(text, "file", &env).unwrap_err().to_string();
    assert!(told.contains("`a-${NAME}` is no name"), "{told}");
}

#[test]
fn binds_collide_where_the_kernel_or_a_client_would_mix_them_up() {
    for (one, other, collides) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("[::]:80", "127.0.0.1:80", true),
        ("[::]:80", "0.0.0.0:80", true),
        ("[::]:80", "[::1]:80", true),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
        ("0.0.0.0:80", "[::1]:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let text = format!(
                "[[listener]]\nname = 'a'\nprotocol = 'tcp'\nbind = ['{one}', '{other}']\nroute = 'r'\n\
                 [route.r]\nallow = '10.0.0.0/8:*'"
            );
            assert_eq!(parse(&text).is_err(), collides, "{one} {other}");
        }
    }
}

#[test]
fn a_message_that_is_no_text_cannot_be_said_natively() {
    let config = parse("[tcpgate]\n[common]\nsuccess_resp_message = '/w=='").unwrap();
    assert_eq!(&*config.listeners[0].success_message, [0xff]);
    assert!(config.to_native().unwrap_err().to_string().contains("tcpgate"));
}

/// A file with `key = value` in the section at `path`, and enough around it to be read.
fn with_key(path: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value}");
    let listener = |name: &str, protocol: &str, bind: &str, route: &str| {
        let rows = [("name", name), ("protocol", protocol), ("bind", bind), ("route", route)];
        let rows = rows.iter().filter(|(name, _)| *name != key);
        rows.map(|(name, value)| format!("{name} = '{value}'\n")).collect::<String>()
    };
    let seed = ["[tcpgate]", "[kcpgate]", "[wsgate]", "[common]"];
    match path {
        "the file" => line,
        "log.rotate" => format!("[log]\nrotate = {{ {line} }}"),
        "[[listener]]" => format!("[[listener]]\n{}{line}\n", listener("a", "tcp", "127.0.0.1:1", "r")),
        "listener.ws" => {
            format!("[[listener]]\n{}ws = {{ {line} }}\n", listener("a", "ws", "127.0.0.1:1", "r"))
        }
        "listener.kcp" => {
            format!("[[listener]]\n{}kcp = {{ {line} }}\n", listener("a", "kcp", "127.0.0.1:1", "r"))
        }
        "listener.kcp.open_rate" => {
            let head = listener("a", "kcp", "127.0.0.1:1", "r");
            format!("[[listener]]\n{head}kcp = {{ open_rate = {{ {line} }} }}\n")
        }
        "listener.limits" | "listener.frames" | "listener.tokens" => {
            let (head, table) =
                (listener("a", "tcp", "127.0.0.1:1", "r"), path.trim_start_matches("listener."));
            format!("[[listener]]\n{head}{table} = {{ {line} }}\n")
        }
        "listener.frames.types" => {
            let head = listener("a", "tcp", "127.0.0.1:1", "r");
            format!("[[listener]]\n{head}frames = {{ types = {{ {line} }} }}\n")
        }
        "listener.tls" => {
            format!("[[listener]]\n{}tls = {{ {line} }}\n", listener("a", "tls", "127.0.0.1:1", "r"))
        }
        "listener.tls.certs" => {
            let head = listener("a", "tls", "127.0.0.1:1", "r");
            format!("[[listener]]\n{head}tls = {{ certs = [{{ {line} }}] }}\n")
        }
        "route.NAME.tls" => format!("[route.a]\nendpoint = 'tls'\ntls = {{ {line} }}"),
        "upstream.NAME.tls" => format!("[upstream.a]\nprotocol = 'tls'\ntls = {{ {line} }}"),
        "route.NAME.ws" => format!("[route.a]\nendpoint = 'ws'\nws = {{ {line} }}"),
        "upstream.NAME.ws" => format!("[upstream.a]\nprotocol = 'ws'\nws = {{ {line} }}"),
        "route.NAME.kcp" => format!("[route.a]\nendpoint = 'kcp'\nkcp = {{ {line} }}"),
        "upstream.NAME.kcp" => format!("[upstream.a]\nprotocol = 'kcp'\nkcp = {{ {line} }}"),
        "[route.NAME]" => format!("[route.a]\n{line}"),
        "route.NAME.names.KEY" => format!("[route.a]\nresolver = 'name'\nnames = {{ a = {{ {line} }} }}"),
        "route.NAME.dns" => format!("[route.a]\nresolver = 'name'\ndns = {{ {line} }}"),
        "upstream.NAME.health.agent" => format!("[upstream.a]\nhealth = {{ agent = {{ {line} }} }}"),
        table if table.starts_with("limits.") => {
            format!("[limits]\n{} = {{ {line} }}", table.trim_start_matches("limits."))
        }
        table if table.starts_with("upstream.NAME.") && !table.ends_with(".endpoints") => {
            format!("[upstream.a]\n{} = {{ {line} }}", table.trim_start_matches("upstream.NAME."))
        }
        "[upstream.NAME]" => format!("[upstream.a]\n{line}"),
        "upstream.NAME.endpoints" => format!("[upstream.a]\nendpoints = [{{ {line} }}]"),
        seeds if seed.contains(&seeds) => format!("{seeds}\n{line}"),
        once => format!("{once}\n{line}\n"),
    }
}

/// Every section of both forms. The seed's `[log]` has the native one's name and is read with a gate beside it.
fn all_sections() -> Vec<&'static Section> {
    let mut found: Vec<&'static Section> = vec![&native::SECTION];
    let parts = [&seed::TCPGATE, &seed::KCPGATE, &seed::WSGATE, &seed::COMMON];
    found.extend(parts.iter().map(|part| part.section));
    let mut next = 0;
    while let Some(section) = found.get(next) {
        next += 1;
        for below in section.rows.iter().filter_map(|row| row.section()) {
            if !found.iter().any(|known| std::ptr::eq(*known, below)) {
                found.push(below);
            }
        }
    }
    found
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, "file", &|_| None)
}
