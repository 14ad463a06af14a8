//! How sessions end where a side of them is sealed: an end that is said, one that is not, and a reset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use portcullis_core::outcome::Reason;
use tls::{CELLS, Peer, Speech, session};

#[test]
fn an_end_is_passed_on_after_every_byte_and_leaves_the_other_direction_open() {
    for cell in CELLS {
        for client_first in [true, false] {
            let (gate, client, endpoint) = session(cell, "");
            let (mut first, mut last) = if client_first { (client, endpoint) } else { (endpoint, client) };
            let sent = vec![7; 300_000];
            let reader = std::thread::spawn(move || {
                let mut got = Vec::new();
                last.read_to_end(&mut got).unwrap();
                (last, got)
            });
            first.write_all(&sent).unwrap();
            first.end();
            let (mut last, got) = reader.join().unwrap();
            assert!(got == sent, "{} bytes, {cell:?}, client first {client_first}", got.len());
            last.write_all(b"the answer").unwrap();
            last.end();
            let mut answer = Vec::new();
            first.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"the answer", "{cell:?}, client first {client_first}");
            gate.wait_until_empty();
            let reason = if client_first { Reason::ClientEnded } else { Reason::EndpointEnded };
            assert_eq!(gate.handle.counts().listeners[0].closed, [(reason, 1)], "{cell:?}");
        }
    }
}

#[test]
fn a_reset_is_passed_on_as_a_reset_behind_what_was_read() {
    for cell in CELLS {
        for client_breaks in [true, false] {
            let (gate, client, endpoint) = session(cell, "");
            let (mut breaks, mut other) = if client_breaks { (client, endpoint) } else { (endpoint, client) };
            breaks.write_all(b"before").unwrap();
            other.read_exact(&mut [0; 6]).unwrap();
            breaks.reset();
            is_reset(&mut other, &format!("{cell:?}, client breaks {client_breaks}"));
            gate.wait_until_empty();
            let reason = if client_breaks { Reason::ClientReset } else { Reason::EndpointReset };
            assert_eq!(gate.handle.counts().listeners[0].closed, [(reason, 1)], "{cell:?}");
        }
    }
}

#[test]
fn an_end_that_is_not_said_counts_as_a_reset_behind_every_byte() {
    for cell in CELLS {
        for client_breaks in [true, false] {
            if (if client_breaks { cell.0 } else { cell.1 }) == Speech::Tcp {
                continue;
            }
            let (gate, client, endpoint) = session(cell, "");
            let (mut breaks, mut other) = if client_breaks { (client, endpoint) } else { (endpoint, client) };
            breaks.write_all(b"before").unwrap();
            breaks.cut();
            other.read_exact(&mut [0; 6]).unwrap();
            is_reset(&mut other, &format!("{cell:?}, client breaks {client_breaks}"));
            gate.wait_until_empty();
        }
    }
}

#[test]
fn both_ends_at_once_are_both_said() {
    for cell in CELLS {
        let (gate, mut client, mut endpoint) = session(cell, "");
        client.end();
        endpoint.end();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "{cell:?}");
        assert_eq!(endpoint.read(&mut [0; 1]).unwrap(), 0, "{cell:?}");
        gate.wait_until_empty();
    }
}

#[test]
fn a_session_that_the_gateway_ends_is_ended_by_word() {
    for cell in CELLS {
        let (gate, mut client, mut endpoint) = session(cell, "");
        gate.handle.close_some(1, Reason::Drained);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "{cell:?}");
        assert_eq!(endpoint.read(&mut [0; 1]).unwrap(), 0, "{cell:?}");
        drop((client, endpoint));
        gate.wait_until_empty();
    }
}

#[test]
fn a_record_that_was_changed_on_its_way_breaks_the_session_and_nothing_of_it_is_passed_on() {
    let (gate, mut client, mut endpoint) = session((Speech::Tls, Speech::Tcp), "");
    client.write_all(b"good").unwrap();
    endpoint.read_exact(&mut [0; 4]).unwrap();
    // An application's record of 32 bytes that nobody sealed.
    let forged = [&[0x17, 3, 3, 0, 32][..], &[9; 32]].concat();
    let mut socket = client.socket();
    socket.write_all(&forged).unwrap();
    is_reset(&mut endpoint, "a forged record");
    gate.wait_until_empty();
    assert_eq!(gate.handle.counts().listeners[0].up_bytes, 4);
}

#[test]
fn a_half_closed_session_whose_other_half_is_silent_is_ended() {
    let (gate, mut client, mut endpoint) =
        session((Speech::Tls, Speech::Tls), "half_close_timeout = \"300ms\"");
    client.end();
    assert_eq!(endpoint.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    gate.wait_within(Duration::from_secs(20), |counts| counts.sessions == 0);
    assert_eq!(gate.handle.counts().listeners[0].closed, [(Reason::HalfCloseTimeout, 1)]);
}

/// Expects a broken connection, with nothing before it.
fn is_reset(peer: &mut Peer, when: &str) {
    let end = peer.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "{when}");
}
