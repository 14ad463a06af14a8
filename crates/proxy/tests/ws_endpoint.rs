//! WebSocket endpoints: how they are asked, and what passes to them and back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/kcp.rs"]
mod kcp;
#[path = "common/ws.rs"]
mod ws;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use gate::{Gate, accept, by_address, hello};
use kcp::{cell, connect, echo_through, ended, rest, stream};
use portcullis_core::outcome::Reason;
use ws::{
    BINARY, By, MORE, PING, PONG, REQUEST, TEXT, agreement, echo_messages, frame, header, part, read_frame,
    read_head, read_message, rest_of, session, upgraded,
};

/// Each way; a build for speed moves what the issue asks for.
const BULK: usize = if cfg!(debug_assertions) { 8 << 20 } else { 64 << 20 };

#[test]
fn an_endpoint_is_asked_for_its_own_path_and_told_whose_connection_it_is() {
    let told =
        ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "Forwarded: for=127.0.0.1;proto=http"];
    let rows = [
        ("", "GET / HTTP/1.1", None, true),
        ("ws = { path = \"/play?room=1\" }", "GET /play?room=1 HTTP/1.1", None, true),
        ("ws = { host = \"play.test\" }", "GET / HTTP/1.1", Some("play.test"), true),
        ("ws = { forwarded = false }", "GET / HTTP/1.1", None, false),
    ];
    for (settings, line, host, forwarded) in rows {
        for client in ["tcp", "ws"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let text = cell(client, "ws", address, "").replace(
                "[upstream.out]\nprotocol = \"ws\"\n",
                &format!("[upstream.out]\nprotocol = \"ws\"\n{settings}\n"),
            );
            let gate = Gate::start(1, 100, &text);
            let mut stream = gate.connect();
            if client == "ws" {
                stream.write_all(REQUEST.as_bytes()).unwrap();
            }
            let request = read_head(&accept(&listener)).unwrap();
            let row = format!("{settings} for {client}: {request}");
            let lines: Vec<&str> = request.split("\r\n").collect();
            assert_eq!(lines[0], line, "{row}");
            let host = host.map_or_else(|| address.to_string(), str::to_owned);
            assert!(lines.contains(&format!("Host: {host}").as_str()), "{row}");
            assert_eq!(
                told.iter().filter(|told| lines.contains(told)).count(),
                3 * usize::from(forwarded),
                "{row}"
            );
            assert!(!request.contains("secret") && !request.contains("of-the-client"), "{row}");
            assert!(!request.contains("dGhlIHNhbXBsZSBub25jZQ=="), "{row}");
        }
    }
}

#[test]
fn no_two_requests_have_the_same_nonce_and_no_two_frames_the_same_mask() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &cell("ws", "ws", listener.local_addr().unwrap(), ""));
    let (mut nonces, mut masks) = (HashSet::new(), HashSet::new());
    for _ in 0..4 {
        let mut client = upgraded(&gate);
        let mut endpoint = accept(&listener);
        let request = read_head(&endpoint).unwrap();
        nonces.insert(request.split("Sec-WebSocket-Key: ").nth(1).unwrap()[..24].to_owned());
        endpoint.write_all(agreement(&request).as_bytes()).unwrap();
        client.write_all(&frame(By::Client, BINARY, b"the same").repeat(500)).unwrap();
        for _ in 0..500 {
            let frame = read_frame(&endpoint).unwrap();
            assert_eq!(frame.payload, b"the same");
            masks.insert(frame.mask.unwrap());
        }
        endpoint.write_all(&frame(By::Server, PING, b"")).unwrap();
        masks.insert(read_frame(&endpoint).unwrap().mask.unwrap());
    }
    assert_eq!(nonces.len(), 4);
    // 2,004 draws from 2^32: one repeated is a chance of one in two thousand, two are none.
    assert!(masks.len() >= 2003, "{}", masks.len());
}

#[test]
fn an_endpoint_that_does_not_agree_is_a_failed_dial_and_reveals_nothing() {
    let spoiled = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |request: &str| Some(agreement(request).replace(&from, &to))
    };
    type Answer = Box<dyn Fn(&str) -> Option<String>>;
    let rows: Vec<(&str, Answer, Reason)> = vec![
        ("not found", Box::new(|_| Some("HTTP/1.1 404 Not Found\r\n\r\n".into())), Reason::DialRefused),
        (
            "elsewhere",
            Box::new(|_| Some("HTTP/1.1 301 Moved\r\nLocation: ws://169.254.169.254/\r\n\r\n".into())),
            Reason::DialRefused,
        ),
        ("another accept", Box::new(spoiled("Accept: ", "Accept: A")), Reason::DialRefused),
        ("another protocol", Box::new(spoiled("websocket", "h2c")), Reason::DialRefused),
        (
            "an extension",
            Box::new(spoiled("Upgrade\r\n", "Upgrade\r\nSec-WebSocket-Extensions: x\r\n")),
            Reason::DialRefused,
        ),
        (
            "a sub-protocol",
            Box::new(spoiled("Upgrade\r\n", "Upgrade\r\nSec-WebSocket-Protocol: x\r\n")),
            Reason::DialRefused,
        ),
        (
            "a huge head",
            Box::new(|_| Some(format!("HTTP/1.1 101 {}", "x".repeat(9000)))),
            Reason::DialRefused,
        ),
        ("no HTTP", Box::new(|_| Some("SSH-2.0-none\r\n".into())), Reason::DialRefused),
        ("its end", Box::new(|_| Some(String::new())), Reason::DialRefused),
        ("never", Box::new(|_| None), Reason::DialTimeout),
    ];
    for (what, answer, reason) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = by_address().replace("[route", "failure_delay = \"1ms\"\n[route")
            + "endpoint = \"ws\"\nattempts = 1\nconnect_timeout = \"500ms\"\n";
        let gate = Gate::start(1, 100, &text);
        let mut client = gate.connect();
        client.write_all(&hello(listener.local_addr().unwrap())).unwrap();
        let mut endpoint = accept(&listener);
        let answer = answer(&read_head(&endpoint).unwrap());
        let kept = answer.is_none().then(|| endpoint.try_clone().unwrap());
        endpoint.write_all(answer.unwrap_or_default().as_bytes()).unwrap();
        drop(endpoint);
        let told = rest_of(&client).unwrap();
        assert_eq!(told, [&5u32.to_le_bytes()[..], b"error"].concat(), "{what}");
        drop((client, kept));
        assert_eq!(ended(&gate), reason, "{what}");
    }
}

#[test]
fn an_answer_is_read_however_it_is_cut_and_what_comes_with_it_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &cell("tcp", "ws", listener.local_addr().unwrap(), ""));
    for cut in [1, 60, 1000] {
        let mut client = gate.connect();
        let mut endpoint = accept(&listener);
        let request = read_head(&endpoint).unwrap();
        let first = frame(By::Server, TEXT, b"I speak first");
        let wire = [agreement(&request).as_bytes(), &first].concat();
        endpoint.set_nodelay(true).unwrap();
        for piece in wire.chunks(cut) {
            endpoint.write_all(piece).unwrap();
        }
        let mut got = [0; 13];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"I speak first", "cut {cut}");
        client.write_all(b"and I").unwrap();
        assert_eq!(read_message(&endpoint).unwrap(), (BINARY, b"and I".to_vec()), "cut {cut}");
    }
}

#[test]
fn a_stream_s_bytes_pass_both_ways_in_messages_of_bounded_size() {
    let address = endpoint(echo_messages);
    let gate = Gate::start(1, 100, &cell("tcp", "ws", address, ""));
    let client = gate.connect();
    let sent = stream(BULK);
    let mut back = vec![0; BULK];
    thread::scope(|scope| {
        scope.spawn(|| (&client).write_all(&sent).unwrap());
        (&client).read_exact(&mut back).unwrap();
    });
    assert!(sent == back, "{BULK} bytes are not what was sent");
    // One byte at a time.
    client.set_nodelay(true).unwrap();
    for byte in &sent[..2000] {
        (&client).write_all(&[*byte]).unwrap();
    }
    (&client).read_exact(&mut back[..2000]).unwrap();
    assert!(sent[..2000] == back[..2000]);
    drop(client);
    let kcp = Gate::start(1, 100, &cell("kcp", "ws", address, ""));
    echo_through(&connect(&kcp), BULK / 8);
}

#[test]
fn a_stream_s_reads_are_whole_binary_messages() {
    let (_gate, mut client, endpoint) = session("tcp", "");
    let sent = stream(1 << 20);
    let mut sender = client.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&sent).unwrap());
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let frame = read_frame(&endpoint).unwrap();
            assert!(frame.fin && frame.opcode == BINARY && frame.payload.len() <= 1 << 16);
            got.extend(frame.payload);
        }
        assert!(got == sent);
    });
    // Back, text and binary alike are bytes.
    let mut endpoint = endpoint;
    let parts = [
        part(By::Server, false, TEXT, "grü".as_bytes()),
        frame(By::Server, PING, b"?"),
        part(By::Server, true, MORE, "ß".as_bytes()),
        frame(By::Server, BINARY, b"\0"),
        frame(By::Server, TEXT, b""),
        frame(By::Server, TEXT, b"."),
    ];
    endpoint.write_all(&parts.concat()).unwrap();
    let want = "grüß\0.".as_bytes();
    let mut got = vec![0; want.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got, want);
    assert_eq!(read_frame(&endpoint).unwrap().opcode, PONG);
}

#[test]
fn messages_keep_their_kind_and_borders_both_ways() {
    let big = stream(1 << 20);
    for by in [By::Client, By::Server] {
        let messages: Vec<(u8, Vec<u8>, Vec<Vec<u8>>)> = vec![
            whole(by, TEXT, "grüß".as_bytes()),
            whole(by, BINARY, b""),
            whole(by, TEXT, b""),
            // Cut in the middle of a letter, with control frames between, and fragments of nothing.
            (
                TEXT,
                "aßb".as_bytes().to_vec(),
                vec![
                    part(by, false, TEXT, b""),
                    part(by, false, MORE, b"a\xc3"),
                    frame(by, PING, b"here?"),
                    part(by, false, MORE, b""),
                    frame(by, PONG, b"unasked"),
                    part(by, false, MORE, b"\x9fb"),
                    part(by, true, MORE, b""),
                ],
            ),
            (BINARY, b"xy".to_vec(), vec![part(by, false, BINARY, b"x"), part(by, true, MORE, b"y")]),
            whole(by, BINARY, &big),
            (
                BINARY,
                [&big[..], &big].concat(),
                vec![part(by, false, BINARY, &big), part(by, true, MORE, &big)],
            ),
        ];
        let small = (0..3000u32).map(|number| whole(by, BINARY, &number.to_be_bytes()));
        let messages: Vec<_> = messages.into_iter().chain(small).collect();
        let (_gate, client, endpoint) = session("ws", "");
        let (mut says, hears) = if by == By::Client { (&client, &endpoint) } else { (&endpoint, &client) };
        let wire: Vec<u8> = messages.iter().flat_map(|(_, _, frames)| frames.concat()).collect();
        thread::scope(|scope| {
            scope.spawn(|| says.write_all(&wire).unwrap());
            for (place, (kind, payload, _)) in messages.iter().enumerate() {
                let (got_kind, got) = read_message(hears).unwrap();
                assert!(got_kind == *kind && got == *payload, "message {place} by {by:?}: {got_kind}");
            }
        });
        assert_eq!(read_frame(says).unwrap().payload, b"here?", "by {by:?}");
        // Cut into single bytes all of it is the same.
        let little: Vec<u8> = messages[..5].iter().flat_map(|(_, _, frames)| frames.concat()).collect();
        says.set_nodelay(true).unwrap();
        little.iter().for_each(|byte| says.write_all(&[*byte]).unwrap());
        for (kind, payload, _) in &messages[..5] {
            assert_eq!(read_message(hears).unwrap(), (*kind, payload.clone()), "by {by:?}");
        }
    }
}

#[test]
fn a_listener_s_framing_is_nothing_to_an_endpoint_that_has_messages_itself() {
    let framing =
        "ws = { framing_up = \"length-prefixed\", framing_down = \"length-prefixed\", max_message = \"1B\" }";
    let (_gate, mut client, mut endpoint) = session("ws", framing);
    client.write_all(&part(By::Client, false, TEXT, b"longer than ")).unwrap();
    client.write_all(&part(By::Client, true, MORE, b"one byte")).unwrap();
    assert_eq!(read_message(&endpoint).unwrap(), (TEXT, b"longer than one byte".to_vec()));
    endpoint.write_all(&frame(By::Server, BINARY, b"no prefix")).unwrap();
    assert_eq!(read_message(&client).unwrap(), (BINARY, b"no prefix".to_vec()));
}

#[test]
fn a_message_is_passed_on_before_it_is_whole_however_long_it_claims_to_be() {
    for by in [By::Client, By::Server] {
        let (_gate, client, endpoint) = session("ws", "");
        let (mut says, hears) = if by == By::Client { (&client, &endpoint) } else { (&endpoint, &client) };
        let begun = stream(1 << 20);
        says.write_all(&header(by, true, BINARY, 1 << 40)).unwrap();
        says.write_all(&begun).unwrap();
        let mut got = Vec::new();
        while got.len() < begun.len() {
            let frame = read_frame(hears).unwrap();
            assert!(!frame.fin && (frame.opcode == BINARY) == got.is_empty(), "by {by:?}");
            got.extend(frame.payload);
        }
        assert!(got == begun, "by {by:?}");
    }
}

#[test]
fn bulk_passes_both_ways_at_once_between_two_websockets() {
    let address = endpoint(echo_messages);
    let gate = Gate::start(1, 100, &cell("ws", "ws", address, ""));
    let client = upgraded(&gate);
    let sent = stream(BULK);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Of every length class that a header has.
            for (place, piece) in sent.chunks(100_000).enumerate() {
                let cut = [100, 5000, 100_000][place % 3].min(piece.len());
                let (head, tail) = piece.split_at(cut);
                (&client).write_all(&part(By::Client, false, BINARY, head)).unwrap();
                (&client).write_all(&part(By::Client, true, MORE, tail)).unwrap();
            }
        });
        for (place, piece) in sent.chunks(100_000).enumerate() {
            let (kind, got) = read_message(&client).unwrap();
            assert!(kind == BINARY && got == piece, "message {place}");
        }
    });
}

#[test]
fn tiny_messages_do_not_cost_a_write_each() {
    let (_gate, mut client, mut endpoint) = session("ws", "");
    let frames = frame(By::Client, BINARY, b"x").repeat(9000);
    let (total, reader) = (
        9000 * 7,
        thread::spawn(move || {
            let (mut got, mut reads) = (0, 0);
            let mut buffer = vec![0; 1 << 16];
            while got < 9000 * 7 {
                got += endpoint.read(&mut buffer).unwrap();
                reads += 1;
            }
            (got, reads)
        }),
    );
    client.write_all(&frames).unwrap();
    let (got, reads) = reader.join().unwrap();
    assert!(got == total && reads <= 64, "{reads} reads for 9000 messages of one write, {got} bytes");
}

#[test]
fn a_slow_reader_is_waited_for_and_not_buffered_for() {
    for (client, by) in [("tcp", By::Client), ("ws", By::Client), ("tcp", By::Server), ("ws", By::Server)] {
        let (gate, near, far) = session(client, "");
        let (says, hears) = if by == By::Client { (near, far) } else { (far, near) };
        let piece = if by == By::Client && client == "tcp" {
            vec![7; 1 << 15]
        } else {
            frame(by, BINARY, &[7; 1 << 15])
        };
        let (stopped, stop) = mpsc::sync_channel(1);
        let mut writer = says.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let mut written: u64 = 0;
            // Far more than all kernel buffers on the way.
            while written < 256 << 20 && writer.write_all(&piece).is_ok() {
                written += piece.len() as u64;
            }
            stopped.send(written).unwrap();
        });
        let moved = rest(|| {
            let counts = &gate.handle.counts().listeners[0];
            counts.up_bytes + counts.down_bytes
        });
        assert!(moved < 64 << 20, "{moved} bytes to {client} by {by:?}");
        assert!(stop.try_recv().is_err(), "{client} by {by:?}");
        drop(hears);
        drop(gate);
        drop(says);
        writing.join().unwrap();
    }
}

#[test]
fn a_storm_of_pings_is_bounded_and_the_last_one_is_answered() {
    for by in [By::Client, By::Server] {
        let (gate, client, endpoint) = session("ws", "");
        let (mut says, other) = if by == By::Client { (&client, &endpoint) } else { (&endpoint, &client) };
        // Nobody reads the answers: none may be kept for ever, and the session goes on.
        let storm = frame(by, PING, b"many").repeat(10_000);
        says.write_all(&storm).unwrap();
        says.write_all(&frame(by, PING, b"last")).unwrap();
        says.write_all(&frame(by, TEXT, b"behind")).unwrap();
        assert_eq!(read_message(other).unwrap(), (TEXT, b"behind".to_vec()), "by {by:?}");
        let mut answers = 0;
        while read_frame(says).unwrap().payload != b"last" {
            answers += 1;
        }
        assert!(answers <= 10_000, "{answers} by {by:?}");
        assert_eq!(gate.handle.counts().sessions, 1);
    }
}

#[test]
fn a_silent_endpoint_is_pinged() {
    let (_gate, _client, endpoint) = session("ws", "ws = { ping_interval = \"200ms\" }");
    for _ in 0..3 {
        let frame = read_frame(&endpoint).unwrap();
        assert!(frame.opcode == PING && frame.mask.is_some() && frame.payload.is_empty());
    }
}

/// A message in one frame.
fn whole(by: By, kind: u8, payload: &[u8]) -> (u8, Vec<u8>, Vec<Vec<u8>>) {
    (kind, payload.to_vec(), vec![frame(by, kind, payload)])
}

/// An endpoint that agrees to every upgrade.
fn endpoint(serve: fn(&TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let request = read_head(&stream).unwrap();
                stream.write_all(agreement(&request).as_bytes()).unwrap();
                serve(&stream);
            });
        }
    });
    address
}
