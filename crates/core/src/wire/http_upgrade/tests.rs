#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use super::*;

/// The request of RFC 6455 section 1.3.
const PLAIN: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     Origin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n";

const RULES: UpgradeRules<'static> =
    UpgradeRules { header: "server-identify", query: true, origins: &[], paths: &[], max_key: 64 };

#[test]
fn the_example_of_the_rfc_gets_its_answer() {
    let UpgradeStep::Done { upgrade, response, surplus } = read(PLAIN, &RULES).unwrap() else { panic!() };
    assert_eq!(upgrade, Upgrade { key: Ok(None), path: "/chat".into(), forwarded_for: Box::default() });
    assert_eq!(
        String::from_utf8(response).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(surplus.len(), 0);
}

#[test]
fn a_request_is_read_whole_however_it_is_cut() {
    let wire = [&with(&["server-identify: 10.0.0.7:9000"])[..], "\u{82}frames"].concat();
    let wire = wire.as_bytes();
    let Ok(UpgradeStep::Done { upgrade: want, response, surplus }) =
        UpgradeReader::new().handle_bytes(wire, &RULES)
    else {
        panic!()
    };
    assert_eq!(&*surplus, "\u{82}frames".as_bytes());
    let head = wire.len() - surplus.len();
    for first in 0..head {
        for second in [first, first + 1, first + 2, head - 1, head, wire.len()] {
            let second = second.clamp(first, wire.len());
            let mut reader = UpgradeReader::new();
            let mut got = None;
            let mut rest = Vec::new();
            for part in [&wire[..first], &wire[first..second], &wire[second..]] {
                if got.is_some() {
                    rest.extend_from_slice(part);
                } else if let UpgradeStep::Done { upgrade, response, surplus } =
                    reader.handle_bytes(part, &RULES).unwrap()
                {
                    rest.extend_from_slice(&surplus);
                    got = Some((upgrade, response));
                }
            }
            assert_eq!(got, Some((want.clone(), response.clone())), "cuts at {first} and {second}");
            assert_eq!(rest, &*surplus, "cuts at {first} and {second}");
            assert_eq!(reader.seen.0.capacity(), 0, "a reader that is done holds nothing");
        }
    }
}

#[test]
fn the_key_is_found_in_each_of_its_places() {
    let long = "k".repeat(65);
    /// Target, further header lines, and the key.
    type Row<'a> = (&'a str, &'a [&'a str], Result<Option<&'a str>, KeyFault>);
    let rows: &[Row<'_>] = &[
        ("/", &["server-identify: 10.0.0.7:9000"], Ok(Some("10.0.0.7:9000"))),
        ("/", &["SERVER-Identify:10.0.0.7:9000  "], Ok(Some("10.0.0.7:9000"))),
        ("/", &["Server-Identify: caf\u{e9}"], Ok(Some("caf\u{e9}"))),
        ("/", &["server-identify:"], Err(KeyFault::Malformed)),
        ("/", &[&format!("server-identify: {long}")], Err(KeyFault::TooLong)),
        ("/", &["server-identify: a", "server-identify: a"], Ok(Some("a"))),
        ("/", &["server-identify: a", "Server-Identify: b"], Err(KeyFault::Ambiguous)),
        ("/", &["Sec-WebSocket-Protocol: server-identify, MTAuMC4wLjc6OTAwMA"], Ok(Some("10.0.0.7:9000"))),
        ("/", &["Sec-WebSocket-Protocol: chat,server-identify ,YQ, other"], Ok(Some("a"))),
        ("/", &["Sec-WebSocket-Protocol: server-identify", "Sec-WebSocket-Protocol: YQ"], Ok(Some("a"))),
        ("/", &["Sec-WebSocket-Protocol: server-identify"], Err(KeyFault::Malformed)),
        ("/", &["Sec-WebSocket-Protocol: server-identify, YQ=="], Err(KeyFault::Malformed)),
        ("/", &["Sec-WebSocket-Protocol: server-identify, !"], Err(KeyFault::Malformed)),
        ("/", &["Sec-WebSocket-Protocol: server-identify, _w"], Err(KeyFault::Malformed)),
        ("/", &["Sec-WebSocket-Protocol: chat"], Ok(None)),
        ("/?server-identify=10.0.0.7%3a9000", &[], Ok(Some("10.0.0.7:9000"))),
        ("/?a=b&Server-Identify=x+y", &[], Ok(Some("x+y"))),
        ("/?server-identify=%E2%82%AC", &[], Ok(Some("\u{20ac}"))),
        ("/?server-identify=%ff", &[], Err(KeyFault::Malformed)),
        ("/?server-identify=%4", &[], Err(KeyFault::Malformed)),
        ("/?server-identify=%+4", &[], Err(KeyFault::Malformed)),
        ("/?server-identify=a%00", &[], Err(KeyFault::Malformed)),
        ("/?server-identify=", &[], Err(KeyFault::Malformed)),
        ("/?server-identify", &[], Err(KeyFault::Malformed)),
        ("/?server-identify=a&server-identify=b", &[], Err(KeyFault::Ambiguous)),
        ("/?server-identify=a", &["server-identify: a"], Ok(Some("a"))),
        ("/?server-identify=a", &["server-identify: b"], Err(KeyFault::Ambiguous)),
        ("/?server-identify2=a", &[], Ok(None)),
        ("/server-identify=a", &[], Ok(None)),
        ("http://game.example/x?server-identify=a", &[], Ok(Some("a"))),
    ];
    for (target, headers, want) in rows {
        let request = with(headers).replacen("/chat", target, 1);
        let Ok(UpgradeStep::Done { upgrade, .. }) = read(&request, &RULES) else { panic!("{request}") };
        assert_eq!(upgrade.key, want.map(|key| key.map(Box::from)), "{target} {headers:?}");
    }
}

#[test]
fn a_query_is_not_looked_at_where_the_route_forbids_it() {
    let rules = UpgradeRules { query: false, ..RULES };
    let request = PLAIN.replacen("/chat", "/chat?server-identify=secret", 1);
    let Ok(UpgradeStep::Done { upgrade, .. }) = read(&request, &rules) else { panic!() };
    assert_eq!(upgrade, Upgrade { key: Ok(None), path: "/chat".into(), forwarded_for: Box::default() });
}

#[test]
fn forwarded_addresses_are_told_as_one_list_in_order() {
    let rows: &[(&[&str], &str)] = &[
        (&[], ""),
        (&["X-Forwarded-For: 192.0.2.1, 10.0.0.1"], "192.0.2.1, 10.0.0.1"),
        (
            &["x-forwarded-for: 192.0.2.1", "Forwarded: for=1.1.1.1", "X-FORWARDED-FOR: 10.0.0.1"],
            "192.0.2.1,10.0.0.1",
        ),
    ];
    for (lines, want) in rows {
        let UpgradeStep::Done { upgrade, .. } = read(&with(lines), &RULES).unwrap() else {
            panic!("{lines:?}")
        };
        assert_eq!(*upgrade.forwarded_for, *want.as_bytes(), "{lines:?}");
    }
}

#[test]
fn the_sub_protocol_is_selected_as_it_was_spelled_and_only_then() {
    let rows = [
        ("server-identify, YQ", Some("Sec-WebSocket-Protocol: server-identify\r\n")),
        ("Server-Identify, YQ", Some("Sec-WebSocket-Protocol: Server-Identify\r\n")),
        ("server-identify, ***", Some("Sec-WebSocket-Protocol: server-identify\r\n")),
        ("chat", None),
    ];
    for (offered, want) in rows {
        let request = with(&[&format!("Sec-WebSocket-Protocol: {offered}")]);
        let Ok(UpgradeStep::Done { response, .. }) = read(&request, &RULES) else { panic!("{offered}") };
        let response = String::from_utf8(response).unwrap();
        let line = response.split_inclusive("\r\n").find(|line| line.starts_with("Sec-WebSocket-Protocol"));
        assert_eq!(line, want, "{offered}");
    }
}

#[test]
fn every_rule_of_the_handshake_has_its_answer() {
    let nine_k = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    let many = PLAIN.replacen("\r\n\r\n", &format!("{}\r\n\r\n", "\r\nA: b".repeat(64)), 1);
    let rows: &[(&str, String, u16)] = &[
        ("method", PLAIN.replace("GET", "POST"), 400),
        ("lower case method", PLAIN.replace("GET", "get"), 400),
        ("tls", "\u{16}\u{3}\u{1}".into(), 400),
        ("blank line first", format!("\r\n{PLAIN}"), 400),
        ("HTTP/1.0", PLAIN.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("HTTP/2", PLAIN.replace("HTTP/1.1", "HTTP/2"), 400),
        ("no version", PLAIN.replace(" HTTP/1.1", ""), 400),
        ("bare LF", PLAIN.replacen("\r\nUpgrade", "\nUpgrade", 1), 400),
        ("bare CR", PLAIN.replacen("/chat", "/ch\rat", 1), 400),
        ("NUL in a value", PLAIN.replacen("example.com", "exam\0ple", 1), 400),
        ("folded header", PLAIN.replacen("\r\nUpgrade", "\r\n folded\r\nUpgrade", 1), 400),
        ("space before colon", PLAIN.replacen("Upgrade:", "Upgrade :", 1), 400),
        ("fragment", PLAIN.replacen("/chat", "/chat#x", 1), 400),
        ("authority form", PLAIN.replacen("/chat", "example.com:80", 1), 400),
        ("asterisk form", PLAIN.replacen("/chat", "*", 1), 400),
        ("no host", PLAIN.replacen("Host", "Hose", 1), 400),
        ("empty host", PLAIN.replacen("server.example.com", "", 1), 400),
        ("two hosts", with(&["host: other"]), 400),
        ("body by length", with(&["Content-Length: 5"]), 400),
        ("two lengths", with(&["Content-Length: 0", "Content-Length: 5"]), 400),
        ("body in chunks", with(&["Transfer-Encoding: chunked"]), 400),
        ("no upgrade", PLAIN.replacen("Upgrade: websocket\r\n", "", 1), 426),
        ("another upgrade", PLAIN.replacen("websocket", "h2c", 1), 426),
        ("no connection", PLAIN.replacen("Connection: Upgrade", "Connection: close", 1), 426),
        ("part of a token", PLAIN.replacen("Connection: Upgrade", "Connection: upgraded", 1), 426),
        ("no version", PLAIN.replacen("Sec-WebSocket-Version: 13\r\n", "", 1), 426),
        ("older version", PLAIN.replacen(": 13", ": 8", 1), 426),
        ("two versions", with(&["Sec-WebSocket-Version: 13"]), 426),
        ("no key", PLAIN.replacen("Sec-WebSocket-Key", "X", 1), 400),
        ("short key", PLAIN.replacen("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 1), 400),
        ("long key", PLAIN.replacen("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh", 1), 400),
        ("unpadded key", PLAIN.replacen("ZQ==", "ZQ", 1), 400),
        ("key of no base64", PLAIN.replacen("dGhl", "d*hl", 1), 400),
        ("two keys", with(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]), 400),
        ("large head", nine_k, 400),
        ("many headers", many, 400),
    ];
    for (name, request, want) in rows {
        let Err(error) = read(request, &RULES) else { panic!("{name}: accepted") };
        let response = std::str::from_utf8(error.response()).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {want} ")), "{name}: {response}");
        assert!(response.ends_with("\r\n\r\n"), "{name}");
        assert!(response.contains("close\r\n"), "{name}");
        if *want == 426 {
            assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{name}");
            assert!(response.contains("\r\nUpgrade: websocket\r\n"), "{name}");
        }
    }
}

#[test]
fn what_the_rfc_leaves_open_is_accepted() {
    let rows: &[(&str, String)] = &[
        (
            "several connection tokens",
            PLAIN.replacen("Connection: Upgrade", "connection: keep-alive ,UPGRADE", 1),
        ),
        ("upgrade in any case", PLAIN.replacen("websocket", "h2c, WebSocket", 1)),
        ("no body by length", with(&["Content-Length: 0"])),
        ("extensions are not agreed on", with(&["Sec-WebSocket-Extensions: permessage-deflate"])),
        ("trailing bits of the key", PLAIN.replacen("ZQ==", "ZR==", 1)),
        ("sixty-four headers", PLAIN.replacen("\r\n\r\n", &format!("{}\r\n\r\n", "\r\nA: b".repeat(58)), 1)),
        ("absolute target", PLAIN.replacen("/chat", "HTTP://server.example.com", 1)),
    ];
    for (name, request) in rows {
        let got = read(request, &RULES);
        let Ok(UpgradeStep::Done { response, .. }) = got else { panic!("{name}: {got:?}") };
        assert!(!String::from_utf8(response).unwrap().contains("Extensions"), "{name}");
    }
}

#[test]
fn origins_and_paths_are_the_listed_ones() {
    let origins = [Box::from("http://example.com")];
    let none = [Box::from("https://other.example"), Box::from("none")];
    let paths = [Box::from("/chat"), Box::from("/chat/")];
    let under = [Box::from("/chat/*")];
    let without = PLAIN.replacen("Origin: http://example.com\r\n", "", 1);
    let null = PLAIN.replacen("http://example.com", "null", 1);
    /// What it shows, the request, origins and paths listed, and the status if it is refused.
    type Row<'a> = (&'a str, &'a str, &'a [Box<str>], &'a [Box<str>], Option<u16>);
    let rows: &[Row<'_>] = &[
        ("listed", PLAIN, &origins, &paths, None),
        (
            "not listed",
            &PLAIN.replacen("http://example.com", "https://example.com", 1),
            &origins,
            &[],
            Some(403),
        ),
        ("null", &null, &origins, &[], Some(403)),
        ("none, unlisted", &without, &origins, &[], Some(403)),
        ("none, listed", &without, &none, &[], None),
        ("none is no origin", &PLAIN.replacen("http://example.com", "none", 1), &none, &[], Some(403)),
        ("two", &with(&["Origin: http://example.com"]), &origins, &[], Some(403)),
        ("any", &null, &[], &[], None),
        ("path", &PLAIN.replacen("/chat", "/chat2", 1), &[], &paths, Some(404)),
        ("path with a query", &PLAIN.replacen("/chat", "/chat?x", 1), &[], &paths, None),
        ("path under", &PLAIN.replacen("/chat", "/chat/room/7", 1), &[], &under, None),
        ("path beside", PLAIN, &[], &under, Some(404)),
        ("path is no pattern", &PLAIN.replacen("/chat", "/chat*", 1), &[], &paths, Some(404)),
        ("path encoded", &PLAIN.replacen("/chat", "/%63hat", 1), &[], &paths, Some(404)),
        ("path dots", &PLAIN.replacen("/chat", "/x/../chat", 1), &[], &paths, Some(404)),
        ("path in another case", &PLAIN.replacen("/chat", "/Chat", 1), &[], &paths, Some(404)),
    ];
    for (name, request, origins, paths, want) in rows {
        let got = read(request, &UpgradeRules { origins, paths, ..RULES });
        let code =
            got.err().map(|error| std::str::from_utf8(&error.response()[9..12]).unwrap().parse().unwrap());
        assert_eq!(code, *want, "{name}");
    }
}

#[test]
fn a_large_head_in_single_bytes_is_cheap() {
    let filler = format!("X: {}\r\n\r\n", "a".repeat(MAX_HEAD - PLAIN.len() - 10));
    let request = PLAIN.replacen("\r\n\r\n", &format!("\r\n{filler}"), 1);
    assert!(request.len() > MAX_HEAD - 16 && request.len() <= MAX_HEAD, "{}", request.len());
    let mut reader = UpgradeReader::new();
    let began = Instant::now();
    let mut calls = 0;
    for byte in request.as_bytes() {
        calls += 1;
        if let UpgradeStep::Done { .. } = reader.handle_bytes(&[*byte], &RULES).unwrap() {
            break;
        }
        assert!(reader.seen.0.capacity() <= MAX_HEAD, "{} bytes held", reader.seen.0.capacity());
    }
    // Without optimisation, on a loaded machine; the work is one look at each byte.
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(calls, request.len());
}

#[test]
fn a_head_is_cut_off_at_its_limit() {
    let mut reader = UpgradeReader::new();
    let mut fed = 0;
    let error = loop {
        let part: &[u8] = if fed == 0 { b"GET /" } else { &[b'a'; 100] };
        fed += part.len();
        match reader.handle_bytes(part, &RULES) {
            Ok(UpgradeStep::NeedMore { at_most }) => assert_eq!(at_most, MAX_HEAD - fed),
            Ok(UpgradeStep::Done { .. }) => panic!("there is no blank line"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, UpgradeError::HeadTooLarge);
    assert!((MAX_HEAD..MAX_HEAD + 100).contains(&fed), "{fed}");
    assert_eq!(reader.seen.0.capacity(), 0);
}

#[test]
fn both_ends_agree() {
    let nonce = *b"the sample nonce";
    let headers = [
        ("server-identify", "10.0.0.7:9000"),
        ("Sec-WebSocket-Protocol", "server-identify, MTAuMC4wLjc6OTAwMA"),
    ];
    let request =
        client::request(&client::Request { host: "gate:9082", path: "/ws?x=1", headers: &headers, nonce })
            .unwrap();
    let Ok(UpgradeStep::Done { upgrade, response, .. }) = UpgradeReader::new().handle_bytes(&request, &RULES)
    else {
        panic!()
    };
    assert_eq!(
        upgrade,
        Upgrade { key: Ok(Some("10.0.0.7:9000".into())), path: "/ws".into(), forwarded_for: Box::default() }
    );
    let wire = [&response[..], b"\x82\x02ok"].concat();
    for cut in 0..wire.len() {
        let mut reader = client::AnswerReader::new(nonce);
        let mut steps = [&wire[..cut], &wire[cut..]].map(|part| (part.len(), reader.handle_bytes(part).ok()));
        if cut >= response.len() {
            steps.reverse();
        }
        let Some(client::AnswerStep::Done { protocol, .. }) = &steps[1].1 else { panic!("cut at {cut}") };
        assert_eq!(protocol.as_deref(), Some("server-identify"));
    }
}

#[test]
fn an_answer_that_does_not_match_is_refused() {
    use client::{AnswerError, AnswerReader, AnswerStep};
    let good = String::from_utf8(switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), None)).unwrap();
    let rows = [
        (good.clone(), None),
        (good.replace("xOo=", "xOp="), Some(AnswerError::Mismatch)),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), Some(AnswerError::Mismatch)),
        (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"), Some(AnswerError::Mismatch)),
        (good.replace("101", "200"), Some(AnswerError::Status(200))),
        (good.replace("HTTP/1.1", "SPDY/1.1"), Some(AnswerError::Malformed)),
        ("SSH-2.0-x".into(), Some(AnswerError::Malformed)),
        (format!("HTTP/1.1 101 {}", "x".repeat(MAX_HEAD)), Some(AnswerError::TooLarge)),
    ];
    for (wire, want) in rows {
        let got = AnswerReader::new(*b"the sample nonce").handle_bytes(wire.as_bytes());
        assert_eq!(got.as_ref().err(), want.as_ref(), "{wire}");
        assert_eq!(want.is_none(), matches!(got, Ok(AnswerStep::Done { .. })));
    }
}

#[test]
fn an_endpoint_is_told_the_client_s_address_in_the_forms_that_servers_read() {
    let rows = [
        ("192.0.2.7", false, ["192.0.2.7", "http", "for=192.0.2.7;proto=http"]),
        ("::ffff:192.0.2.7", true, ["192.0.2.7", "https", "for=192.0.2.7;proto=https"]),
        ("2001:db8::7", true, ["2001:db8::7", "https", "for=\"[2001:db8::7]\";proto=https"]),
    ];
    for (client, is_secure, want) in rows {
        let told = client::forwarded(client.parse().unwrap(), is_secure);
        assert_eq!(told.each_ref().map(|(_, value)| value.as_str()), want);
        assert_eq!(told.map(|(name, _)| name), ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"]);
    }
}

#[test]
fn a_request_cannot_break_out_of_its_lines() {
    let ask = |host, path, headers| client::request(&client::Request { host, path, headers, nonce: [7; 16] });
    assert!(ask("h", "/", &[("a", "b c")]).is_ok());
    assert!(ask("h\r\nx: y", "/", &[]).is_err());
    assert!(ask("h", "/ HTTP/1.1\r\n", &[]).is_err());
    assert!(ask("h", "/", &[("a", "b\nc")]).is_err());
    assert!(ask("h", "/", &[("a b", "c")]).is_err());
}

/// The plain request with further header lines.
fn with(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("\r\n{line}")).collect();
    PLAIN.replacen("\r\n\r\n", &format!("{lines}\r\n\r\n"), 1)
}

fn read(request: &str, rules: &UpgradeRules<'_>) -> Result<UpgradeStep, UpgradeError> {
    UpgradeReader::new().handle_bytes(request.as_bytes(), rules)
}
