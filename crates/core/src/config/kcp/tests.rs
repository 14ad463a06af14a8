#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use super::*;
use crate::config::{Config, ConfigErrors, Protocol, Transport, effective};

#[test]
fn an_empty_table_says_what_the_product_promises() {
    let kcp = listener("");
    let want = arq::Settings {
        nodelay: true,
        interval: 20,
        resend: 2,
        congestion: false,
        send_window: 256,
        receive_window: 256,
        mtu: 1350 - 8,
        stream: true,
        dead_link: 20,
    };
    assert_eq!((kcp.arq, kcp.mtu, kcp.fec), (want, 1350, None));
    assert_eq!((kcp.cipher, &kcp.key, &*kcp.close_message), (Cipher::Null, &None, &b""[..]));
    assert_eq!((kcp.open_rate.rate.to_string(), kcp.open_rate.burst), ("1000/s".into(), 4000));
    assert!(endpoint("").probe && !endpoint("probe = false").probe);
    assert_eq!(kcp, usual_listener());
    assert_eq!(endpoint(""), usual_endpoint());
}

#[test]
fn presets_are_kcptuns_and_each_of_their_numbers_may_be_set() {
    let rows = [
        ("", (true, 20, 2, false)),
        ("preset = 'normal'", (false, 40, 2, false)),
        ("preset = 'fast'", (false, 30, 2, false)),
        ("preset = 'fast2'", (true, 20, 2, false)),
        ("preset = 'fast3'", (true, 10, 2, false)),
        ("preset = 'untuned'", (false, 100, 0, true)),
        ("preset = 'fast', nodelay = true", (true, 30, 2, false)),
        ("preset = 'fast', interval = '5s'", (false, 5000, 2, false)),
        ("preset = 'fast', resend = 0", (false, 30, 0, false)),
        ("congestion = true", (true, 20, 2, true)),
        ("preset = 'fast', nodelay = true, interval = '10ms'", (true, 10, 2, false)),
    ];
    for (keys, want) in rows {
        for kcp in [listener(keys), endpoint(keys)] {
            let arq = kcp.arq;
            assert_eq!((arq.nodelay, arq.interval, arq.resend, arq.congestion), want, "{keys}");
        }
    }
}

#[test]
fn one_window_stands_for_both_until_one_is_said() {
    let rows = [
        ("", (256, 256)),
        ("window = 1024", (1024, 1024)),
        ("window = 1024, send_window = 16", (16, 1024)),
        ("window = 1024, receive_window = 32768", (1024, 32768)),
        ("send_window = 512", (512, 256)),
        ("send_window = 128, receive_window = 512", (128, 512)),
    ];
    for (keys, want) in rows {
        let arq = listener(keys).arq;
        assert_eq!((arq.send_window, arq.receive_window), want, "{keys}");
    }
}

#[test]
fn the_machine_has_what_the_headers_leave_of_a_datagram() {
    let keyed = |cipher: Cipher| match cipher.is_keyed() {
        true => format!("crypt = '{cipher}', key = 'k'"),
        false => format!("crypt = '{cipher}'"),
    };
    for cipher in Cipher::ALL {
        let header = match cipher {
            Cipher::Null => 0,
            Cipher::AesGcm => 28,
            Cipher::None
            | Cipher::Xor
            | Cipher::Aes128
            | Cipher::Aes192
            | Cipher::Aes256
            | Cipher::Salsa20 => 20,
        };
        let plain = keyed(cipher);
        let fec = format!("{plain}, fec = [10, 3]");
        assert_eq!(listener(&plain).arq.mtu, 1350 - header - 8, "a client may come with it: {plain}");
        assert_eq!(listener(&fec).arq.mtu, 1350 - header - 8, "{fec}");
        assert_eq!(endpoint(&plain).arq.mtu, 1350 - header, "{plain}");
        assert_eq!(endpoint(&fec).arq.mtu, 1350 - header - 8, "{fec}");
    }
    assert_eq!(endpoint("mtu = 576").arq.mtu, 576);
    assert_eq!(endpoint("mtu = 1500").arq.mtu, 1500);
}

#[test]
fn shards_are_two_numbers_or_off() {
    let rows = [
        ("fec = [10, 3]", Some((10, 3))),
        ("fec = [1, 1]", Some((1, 1))),
        ("fec = [254, 1]", Some((254, 1))),
        ("fec = false", None),
        ("fec = []", None),
    ];
    for (keys, want) in rows {
        assert_eq!((listener(keys).fec, endpoint(keys).fec), (want, want), "{keys}");
    }
    for bad in ["[255, 1]", "[0, 3]", "[10, 256]", "[-1, 3]", "[10.0, 3]", "true", "10", "[[10, 3]]"] {
        assert!(parse(&file(&format!("fec = {bad}"), "")).is_err(), "{bad}");
    }
}

#[test]
fn keys_come_as_passphrase_file_or_bytes_of_a_length_that_fits() {
    let text = |words: &str| Some(KcpKey::Passphrase(words.into()));
    assert_eq!(listener("crypt = 'aes-gcm', key = \"it's a secrect\"").key, text("it's a secrect"));
    assert_eq!(listener("crypt = 'xor', key = '${HOME_KEY}'").key, text("from outside"));
    assert_eq!(listener("crypt = 'xor', key_file = 'kcp.key'").key, Some(KcpKey::File("kcp.key".into())));
    let lengths: &[(&str, &[usize])] = &[
        ("xor", &[1, 5, 64]),
        ("aes-128", &[16]),
        ("aes-192", &[24]),
        ("aes-256", &[32]),
        ("salsa20", &[32]),
        ("aes-gcm", &[16, 24, 32]),
    ];
    for (cipher, good) in lengths {
        for length in 1..=64 {
            let keys =
                format!("crypt = '{cipher}', raw_key = '{}'", "0aFf".repeat(length)[..2 * length].to_owned());
            let fits = good.contains(&length) || *cipher == "xor";
            assert_eq!(parse(&file(&keys, "")).is_ok(), fits, "{cipher} {length}");
        }
    }
    let raw = listener("crypt = 'xor', raw_key = '00ff1A'").key;
    assert_eq!(raw, Some(KcpKey::Raw([0x00, 0xff, 0x1a].into())));
}

#[test]
fn a_secret_is_never_shown() {
    let raw = "5ec4e7".repeat(5) + "aa";
    for (key, secret) in
        [("key = 's3cret words'".to_owned(), "s3cret"), (format!("raw_key = '{raw}'"), "5ec4e7")]
    {
        let text = file(&format!("crypt = 'aes-128', {key}"), &format!("crypt = 'aes-128', {key}"));
        let config = parse(&text).unwrap();
        let told = config.to_native().unwrap_err().to_string();
        let wrong = parse(&text.replace("aes-128", "aes-129")).unwrap_err();
        let shown = effective(&text, "file", &env).unwrap();
        assert!(shown.contains("= \"***\""), "{shown}");
        for shown in [format!("{config:?}"), told, wrong.to_string(), format!("{wrong:?}"), shown] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let text = file("crypt = 'xor', key = '${HOME_KEY}'", "");
    let shown = effective(&text, "file", &env).unwrap();
    assert!(shown.contains("'${HOME_KEY}'") && !shown.contains("from outside"), "{shown}");
}

#[test]
fn a_shorthand_is_spread_with_the_line_it_stands_on() {
    let text = file("preset = 'fast', window = 512, resend = 3", "").replace("kcp = {", "kcp = {\n");
    let shown = effective(&text, "file", &env).unwrap();
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let by = |start: &str| line(start).rsplit("# ").next().unwrap().to_owned();
    assert!(line("kcp.interval = \"30ms\"").contains("# line "), "{shown}");
    assert_eq!(by("kcp.interval = "), by("kcp.nodelay = false"));
    assert_eq!(by("kcp.send_window = 512"), by("kcp.receive_window = 512"));
    assert_eq!(by("kcp.mtu = 1350"), "default");
    assert_eq!(by("kcp.open_rate.burst = 4000"), "default");
    assert!(!shown.contains("preset") && !shown.contains("kcp.window"), "{shown}");
}

#[test]
fn whatever_a_table_says_is_said_again_natively_and_in_full() {
    let tables = [
        "",
        "preset = 'untuned'",
        "preset = 'normal', resend = 0, congestion = true",
        "interval = '11ms'",
        "window = 16",
        "send_window = 300",
        "send_window = 300, receive_window = 600",
        "mtu = 576, stream = false, crypt = 'none', fec = [3, 1], close_message = 'bye \\u0007'",
        "crypt = 'salsa20', key_file = 'a \"b\"'",
    ];
    for table in tables {
        let text = file(&format!("{table}{}open_rate = {{ rate = '5/m', burst = 7 }}", comma(table)), table);
        let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        for again in [config.to_native().unwrap(), effective(&text, "file", &env).unwrap()] {
            let read = parse(&again).unwrap_or_else(|errors| panic!("{errors}\n{again}"));
            assert_eq!(read, Config { warnings: read.warnings.clone(), ..config.clone() }, "{again}");
        }
    }
}

#[test]
fn the_seeds_gate_speaks_as_its_clients_do() {
    for (reciprocity, zero_copy) in [(true, false), (true, true), (false, true)] {
        let text = format!(
            "[kcpgate]\nzero_copy = {zero_copy}\n[common]\nallow = '10.0.0.0/8:*'\nkcp_reciprocity = {reciprocity}"
        );
        let config = parse(&text).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let [gate] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
        assert_eq!((gate.protocol, gate.zero_copy, &gate.ws), (Protocol::Kcp, zero_copy, &None));
        let theirs = |kcp: &Kcp| {
            assert_eq!((kcp.mtu, kcp.fec, kcp.cipher, &kcp.key), (1400, Some((10, 3)), Cipher::Null, &None));
            assert_eq!((kcp.arq.mtu, kcp.arq.stream, kcp.arq.receive_window), (1392, false, 256));
            assert!(kcp.probe && kcp.close_message.is_empty());
        };
        theirs(gate.kcp.as_ref().unwrap());
        let dialled = config.routes[0].dial.kcp();
        assert_eq!(dialled.is_some(), reciprocity);
        dialled.into_iter().for_each(theirs);
    }
}

#[test]
fn only_the_kcp_gate_of_the_seed_dials_by_kcp() {
    let config = parse("[tcpgate]\n[kcpgate]\n[wsgate]").unwrap();
    let by_kcp: Vec<_> = config.routes.iter().map(|route| route.dial.kcp().is_some()).collect();
    assert_eq!(by_kcp, [false, true, false]);
}

#[test]
fn credentials_in_clear_are_warned_of() {
    let native = |keys: &str, resolver: &str| {
        format!(
            "[[listener]]\nname = 'a'\nprotocol = 'kcp'\nbind = 1\nroute = 'r'\nkcp = {{ {keys} }}\n\
             [route.r]\n{resolver}\nallow = '10.0.0.0/8:*'"
        )
    };
    let (jwt, ticket) = ("resolver = 'jwt'\nkey_file = 'k'", "resolver = 'ticket'\nkey_file = 'k'");
    let seed = |strategy: &str| {
        format!(
            "[kcpgate]\n[common]\nallow = '10.0.0.0/8:*'\nheader_identify = '{strategy}'\njwt_key_file = 'k'"
        )
    };
    let rows = [
        (native("", jwt), true),
        (native("", ticket), true),
        (native("crypt = 'none'", ticket), true),
        (native("crypt = 'aes-gcm', key = 'k'", jwt), false),
        (native("", ""), false),
        (seed("jwt"), true),
        (seed("ipHost"), false),
        (seed("jwt").replace("kcpgate", "tcpgate"), false),
    ];
    for (text, warned) in rows {
        let warnings = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).warnings;
        assert_eq!(warnings.iter().any(|warning| warning.text.contains("in clear")), warned, "{text}");
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
    }
}

#[test]
fn a_port_of_tcp_and_one_of_udp_are_two() {
    let native = |one: &str, other: &str| {
        let listener = |name: &str, protocol: &str| {
            format!("[[listener]]\nname = '{name}'\nprotocol = '{protocol}'\nbind = 7082\nroute = 'r'\n")
        };
        listener("a", one) + &listener("b", other) + "[route.r]\nallow = '10.0.0.0/8:*'"
    };
    let seed = "[tcpgate]\n[kcpgate]\nport = 7082\n[admin]\nbind = '127.0.0.1:8082'";
    assert!(parse(&native("tcp", "kcp")).is_ok() && parse(&native("kcp", "ws")).is_ok());
    assert!(parse(&native("kcp", "kcp")).is_err() && parse(&native("tcp", "ws")).is_err());
    assert!(parse(seed).is_ok());
    assert!(parse(&seed.replace("8082", "7082")).is_err());
}

#[test]
fn every_name_of_kcptuns_ciphers_is_ours_or_told_apart() {
    let known: Vec<&str> = Cipher::ALL.iter().map(|cipher| cipher.label()).collect();
    let kcptun =
        "aes aes-128 aes-128-gcm aes-192 salsa20 blowfish twofish cast5 3des tea xtea xor sm4 none null";
    for name in kcptun.split(' ').chain(["rot13", "", "AES-128", "aes-gcm "]) {
        let read = parse(&file(&format!("crypt = '{name}', key = 'k'"), ""));
        if !known.contains(&name) {
            let told = read.unwrap_err().to_string();
            assert!(told.contains(&known.join(", ")), "{name}: {told}");
            assert!(!told.contains("`key`"), "one mistake is told once: {told}");
        }
    }
}

fn comma(table: &str) -> &str {
    if table.is_empty() { "" } else { ", " }
}

/// The settings of a listener with these keys.
fn listener(keys: &str) -> Kcp {
    let config = parse(&file(keys, "")).unwrap_or_else(|errors| panic!("{errors}"));
    Kcp::clone(config.listeners[0].kcp.as_ref().unwrap())
}

/// The settings of endpoints with these keys, which are the same in a route and in an upstream.
fn endpoint(keys: &str) -> Kcp {
    let config = parse(&file("", keys)).unwrap_or_else(|errors| panic!("{errors}"));
    let (route, upstream) = (&config.routes[0].dial.transport, &config.upstreams[0].dial.transport);
    assert_eq!(route, upstream);
    let Transport::Kcp(kcp) = route else { panic!("{route:?}") };
    Kcp::clone(&Arc::clone(kcp))
}

fn file(listener: &str, endpoint: &str) -> String {
    format!(
        "[[listener]]\nname = 'a'\nprotocol = 'kcp'\nbind = 8082\nroute = 'r'\nkcp = {{ {listener} }}\n\
         [route.r]\nallow = '10.0.0.0/8:*'\nendpoint = 'kcp'\nkcp = {{ {endpoint} }}\n\
         [upstream.u]\nprotocol = 'kcp'\nendpoints = [{{ address = '10.0.0.1:1' }}]\nkcp = {{ {endpoint} }}\n"
    )
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, "file", &env)
}

fn env(name: &str) -> Option<String> {
    (name == "HOME_KEY").then(|| "from outside".into())
}
