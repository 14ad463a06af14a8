//! The relay contract: every order of half-closes, closes and resets ends through the gateway as it does on a
//! direct connection, whatever moves the bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpListener;

use Side::{Client, Endpoint};
use Step::{Accept, Broken, Close, Ended, Fin, Got, Hold, Reset, Resume, Send, SendFin, Warm};
use portcullis_tests::script::{Played, Side, Step, play};
use portcullis_tests::{Gate, Setup};

const BIG: usize = 3 << 20;

/// The close orders: a name and a script. A row ends when both sides know that it has.
const ORDERS: &[(&str, &[Step])] = &[
    (
        "client ends first, nothing sent",
        &[Accept, Fin(Client), Ended(Endpoint), Fin(Endpoint), Ended(Client)],
    ),
    (
        "endpoint ends first, nothing sent",
        &[Accept, Fin(Endpoint), Ended(Client), Fin(Client), Ended(Endpoint)],
    ),
    ("both end at once, nothing sent", &[Accept, Fin(Client), Fin(Endpoint), Ended(Client), Ended(Endpoint)]),
    (
        "client asks, ends, and gets a long answer",
        &[
            Accept,
            Warm,
            Send(Client, 1000),
            Fin(Client),
            Ended(Endpoint),
            Send(Endpoint, BIG),
            Fin(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "client sends much, ends, and gets a long answer",
        &[
            Accept,
            Warm,
            Send(Client, BIG),
            Fin(Client),
            Ended(Endpoint),
            Send(Endpoint, BIG),
            Fin(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "endpoint sends much, ends, and gets a long answer",
        &[
            Accept,
            Warm,
            Send(Endpoint, BIG),
            Fin(Endpoint),
            Ended(Client),
            Send(Client, BIG),
            Fin(Client),
            Ended(Endpoint),
        ],
    ),
    (
        "client's last bytes share a segment with its end",
        &[
            Accept,
            Warm,
            SendFin(Client, 700),
            Ended(Endpoint),
            Send(Endpoint, 900),
            Fin(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "endpoint's last bytes share a segment with its end",
        &[
            Accept,
            Warm,
            SendFin(Endpoint, 700),
            Ended(Client),
            Send(Client, BIG),
            Fin(Client),
            Ended(Endpoint),
        ],
    ),
    (
        "both send their last bytes with their end at once",
        &[Accept, Warm, SendFin(Client, 1200), SendFin(Endpoint, 1300), Ended(Client), Ended(Endpoint)],
    ),
    (
        "client closes when all is read",
        &[
            Accept,
            Warm,
            Send(Endpoint, 5000),
            Got(Client, 5000),
            Close(Client),
            Ended(Endpoint),
            Fin(Endpoint),
        ],
    ),
    (
        "endpoint closes when all is read",
        &[Accept, Warm, Send(Client, 5000), Got(Endpoint, 5000), Close(Endpoint), Ended(Client), Fin(Client)],
    ),
    (
        "client sends and closes at once",
        &[Accept, Warm, Send(Client, BIG), Close(Client), Ended(Endpoint), Fin(Endpoint)],
    ),
    (
        "endpoint sends and closes at once",
        &[Accept, Warm, Send(Endpoint, BIG), Close(Endpoint), Ended(Client), Fin(Client)],
    ),
    (
        "endpoint writes into a client that has closed",
        &[Accept, Warm, Close(Client), Ended(Endpoint), Broken(Endpoint)],
    ),
    (
        "client writes into an endpoint that has closed",
        &[Accept, Warm, Close(Endpoint), Ended(Client), Broken(Client)],
    ),
    ("client resets, nothing sent", &[Accept, Reset(Client), Ended(Endpoint)]),
    ("endpoint resets, nothing sent", &[Accept, Reset(Endpoint), Ended(Client)]),
    (
        "client sends and resets when it was read",
        &[
            Accept,
            Warm,
            Send(Client, BIG),
            Got(Endpoint, BIG),
            Reset(Client),
            Ended(Endpoint),
            Broken(Endpoint),
        ],
    ),
    (
        "endpoint sends and resets when it was read",
        &[
            Accept,
            Warm,
            Send(Endpoint, BIG),
            Got(Client, BIG),
            Reset(Endpoint),
            Ended(Client),
            Broken(Client),
        ],
    ),
    (
        "client sends a little and resets at once",
        &[Accept, Warm, Send(Client, 1000), Reset(Client), Ended(Endpoint)],
    ),
    (
        "endpoint sends a little and resets at once",
        &[Accept, Warm, Send(Endpoint, 1000), Reset(Endpoint), Ended(Client)],
    ),
    (
        "client ends, endpoint resets instead of ending",
        &[
            Accept,
            Warm,
            Fin(Client),
            Ended(Endpoint),
            Send(Endpoint, 1000),
            Got(Client, 1000),
            Reset(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "endpoint ends, client resets instead of ending",
        &[
            Accept,
            Warm,
            Fin(Endpoint),
            Ended(Client),
            Send(Client, 1000),
            Got(Endpoint, 1000),
            Reset(Client),
            Ended(Endpoint),
        ],
    ),
    (
        "a slow client reads all that was sent before the end",
        &[
            Accept,
            Warm,
            Hold(Client),
            Send(Endpoint, BIG),
            Resume(Client),
            Got(Client, BIG),
            Fin(Endpoint),
            Ended(Client),
            Fin(Client),
            Ended(Endpoint),
        ],
    ),
    (
        "a slow endpoint reads all that was sent before the end",
        &[
            Accept,
            Warm,
            Hold(Endpoint),
            Send(Client, BIG),
            Resume(Endpoint),
            Fin(Client),
            Ended(Endpoint),
            Fin(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "client's end comes with its first bytes, before the endpoint is there",
        &[SendFin(Client, 500), Accept, Ended(Endpoint), Send(Endpoint, BIG), Fin(Endpoint), Ended(Client)],
    ),
    (
        "client's many first bytes and end come before the endpoint is there",
        &[
            Send(Client, 100_000),
            Fin(Client),
            Accept,
            Got(Endpoint, 100_000),
            Ended(Endpoint),
            Send(Endpoint, 100),
            Fin(Endpoint),
            Ended(Client),
        ],
    ),
    (
        "endpoint speaks first and ends, client answers after",
        &[
            Accept,
            SendFin(Endpoint, 100),
            Ended(Client),
            Send(Client, 100),
            Fin(Client),
            Got(Endpoint, 100),
            Ended(Endpoint),
        ],
    ),
    (
        "one byte each way, then both end",
        &[
            Accept,
            Send(Client, 1),
            Got(Endpoint, 1),
            Send(Endpoint, 1),
            Got(Client, 1),
            Fin(Client),
            Fin(Endpoint),
            Ended(Client),
            Ended(Endpoint),
        ],
    ),
];

#[test]
fn b21_every_order_plays_to_its_end_on_a_direct_connection() {
    assert!(ORDERS.len() >= 24, "{} orders", ORDERS.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for (name, steps) in ORDERS {
        let played = play(listener.local_addr().unwrap(), b"", &listener, steps);
        assert_eq!(played.stuck, None, "{name}: {:?}", played);
        assert_eq!(
            played,
            play(listener.local_addr().unwrap(), b"", &listener, steps),
            "{name}: twice the same"
        );
    }
}

#[test]
fn b21_every_close_order_is_that_of_a_direct_connection_when_bytes_are_copied() {
    check("false");
}

#[test]
fn b21_every_close_order_is_that_of_a_direct_connection_when_bytes_are_spliced() {
    check("true");
}

/// Plays each order directly, behind a length-prefixed hello and without a hello, and compares.
fn check(zero_copy: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap();
    let quiet = format!("zero_copy = {zero_copy}\nsuccess_message = \"\"");
    let setup = Setup::new().addressed("hello", "tcp", &["127.0.0.1:*"], &quiet).fixed(
        "none",
        "tcp",
        &[endpoint],
        &format!("zero_copy = {zero_copy}"),
    );
    let gate = Gate::start(&setup.text());
    let key = endpoint.to_string();
    let hello = [&(key.len() as u32).to_le_bytes()[..], key.as_bytes()].concat();

    let mut different = Vec::new();
    for (name, steps) in ORDERS {
        let want = play(endpoint, b"", &listener, steps);
        for (way, hello) in [("hello", &hello[..]), ("none", b"")] {
            let got = play(gate.listener(way), hello, &listener, steps);
            if got != want {
                different.push(format!("{name} ({way}):\n{}", compare(&want, &got)));
            }
        }
    }
    assert!(different.is_empty(), "{} differ\n{}", different.len(), different.join("\n"));
    gate.assert_clean();
    let spliced = gate.metrics().sum("portcullis_path_bytes_total", &["path=\"splice\""]);
    assert_eq!(spliced > 0.0, zero_copy == "true", "{spliced} bytes were spliced");
}

fn compare(want: &Played, got: &Played) -> String {
    let line = |played: &Played| {
        let side = |seen: &portcullis_tests::script::Seen| {
            format!(
                "{} bytes {:02x?}, end {:?}, broken {}",
                seen.bytes,
                &seen.digest[..3],
                seen.end,
                seen.broken
            )
        };
        format!(
            "client {} / endpoint {} / stuck {:?}",
            side(&played.client),
            side(&played.endpoint),
            played.stuck
        )
    };
    format!("  direct  {}\n  gateway {}", line(want), line(got))
}
