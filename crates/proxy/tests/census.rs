//! Looking through the living sessions, and closing some: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gate::{Gate, by_address, echo, hello, to};
use portcullis_core::census::{Filter, Live, Stage};
use portcullis_core::outcome::{Path, Reason};
use portcullis_proxy::{Act, Met, Place, Visit, VisitError};

#[test]
fn each_session_is_told_of_once_with_what_it_is() {
    let endpoint = echo();
    let gate = Gate::start(2, 1000, &to(endpoint));
    let mut clients: Vec<TcpStream> = (0..20).map(|_| gate.connect()).collect();
    for client in &mut clients {
        client.write_all(b"four").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
    }
    let told = round(&gate, &Filter::default(), 3);
    assert_eq!(told.len(), 20);
    for client in &clients {
        let address = client.local_addr().unwrap();
        let live = told.iter().find(|live| live.client == address).unwrap();
        assert_eq!((live.stage, live.path), (Stage::Open, Path::Copy));
        assert_eq!((live.up_bytes, live.down_bytes), (4, 4));
        assert_eq!((live.listener.as_str(), live.endpoint), ("in", Some(endpoint)));
        assert_eq!(live.upstream.as_ref().unwrap().as_str(), "out");
    }
}

#[test]
fn who_is_greeting_is_told_of_and_who_is_meant_is_found() {
    let (one, other) = (echo(), echo());
    let gate = Gate::start(2, 1000, &by_address());
    let _greeting = gate.connect();
    let clients: Vec<TcpStream> = [one, one, other].iter().map(|endpoint| open(&gate, *endpoint)).collect();
    gate.wait_for(|counts| counts.listeners[0].sessions == 4);
    let count = |filter: Filter| round(&gate, &filter, 1000).len();
    assert_eq!(count(Filter::default()), 4);
    assert_eq!(count(Filter { endpoint: Some(one), ..Filter::default() }), 2);
    assert_eq!(count(Filter { endpoint: Some(other), ..Filter::default() }), 1);
    assert_eq!(count(Filter { upstream: Some("out".into()), ..Filter::default() }), 0);
    assert_eq!(count(Filter { client: "127.0.0.0/8".parse().ok(), ..Filter::default() }), 4);
    assert_eq!(count(Filter { client: "127.0.0.2/32".parse().ok(), ..Filter::default() }), 0);
    let all = round(&gate, &Filter::default(), 1000);
    assert_eq!(all.iter().filter(|live| live.stage == Stage::Opening).count(), 1);
    for live in &all {
        let from = Place { worker: gate.handle.home(live.session), slot: 0 };
        let filter = Filter { session: Some(live.session), ..Filter::default() };
        let met = visit(&gate, Visit { filter, from, most: 1, act: Act::Tell });
        assert_eq!(met.sessions.iter().map(|met| met.session).collect::<Vec<_>>(), [live.session]);
    }
    drop(clients);
}

#[test]
fn who_lives_all_the_while_is_met_once_whoever_comes_and_goes() {
    let gate = Gate::start(2, 5000, &to(echo()));
    // Those that stay are scattered among those that go, and slots are filled again between the pages.
    let mut staying = Vec::new();
    let mut going = Vec::new();
    for nth in 0..600 {
        if nth % 3 == 0 { staying.push(gate.connect()) } else { going.push(gate.connect()) }
    }
    gate.wait_for(|counts| counts.listeners[0].opened == 600);
    let (mut place, mut met, mut pages) = (Some(Place::default()), Vec::new(), 0);
    while let Some(from) = place {
        let page = visit(&gate, Visit { filter: Filter::default(), from, most: 25, act: Act::Tell });
        met.extend(page.sessions);
        place = page.next;
        pages += 1;
        for _ in 0..10 {
            going.remove(pages * 7 % going.len());
            going.push(gate.connect());
        }
        gate.wait_for(|counts| {
            counts.listeners[0].opened == 600 + 10 * pages as u64 && counts.sessions == 600
        });
    }
    let ids: BTreeSet<_> = met.iter().map(|live| live.session).collect();
    assert_eq!(ids.len(), met.len(), "none is met twice");
    for client in &staying {
        let address = client.local_addr().unwrap();
        assert_eq!(met.iter().filter(|live| live.client == address).count(), 1, "{address}");
    }
    assert!(pages >= 600 / 25, "{pages} pages");
}

#[test]
fn those_that_are_meant_are_closed_and_no_more_than_were_asked_for() {
    let (one, other) = (echo(), echo());
    let gate = Gate::start(1, 1000, &by_address());
    let mut closed: Vec<TcpStream> = (0..5).map(|_| open(&gate, one)).collect();
    let mut spared = open(&gate, other);
    let filter = Filter { endpoint: Some(one), ..Filter::default() };
    let close = |most| Visit {
        filter: filter.clone(),
        from: Place::default(),
        most,
        act: Act::Close(Reason::Killed),
    };
    assert_eq!(visit(&gate, close(2)).count, 2);
    gate.wait_for(|counts| counts.listeners[0].closed == [(Reason::Killed, 2)]);
    assert_eq!(visit(&gate, close(100)).count, 3, "those whose end is under way are not counted again");
    gate.wait_for(|counts| counts.listeners[0].closed == [(Reason::Killed, 5)]);
    for client in &mut closed {
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "as politely as in a drain");
    }
    spared.write_all(b"x").unwrap();
    spared.read_exact(&mut [0; 1]).unwrap();
}

#[test]
fn a_place_that_is_not_there_is_refused() {
    let gate = Gate::start(1, 100, &to(echo()));
    let from = Place { worker: 1, slot: 0 };
    let visit = Visit { filter: Filter::default(), from, most: 1, act: Act::Count };
    assert_eq!(gate.handle.visit(visit, |_| ()), Err(VisitError::NoPlace));
}

/// An open session with an endpoint of the client's choice.
fn open(gate: &Gate, endpoint: SocketAddr) -> TcpStream {
    let mut client = gate.connect();
    client.write_all(&hello(endpoint)).unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    client
}

fn visit(gate: &Gate, visit: Visit) -> Met {
    let (tell, told) = sync_channel(1);
    gate.handle.visit(visit, move |met| tell.send(met).unwrap()).unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// Visits every worker, `most` at a time.
fn round(gate: &Gate, filter: &Filter, most: u32) -> Vec<Live> {
    let (mut place, mut met) = (Some(Place::default()), Vec::new());
    while let Some(from) = place {
        let page = visit(gate, Visit { filter: filter.clone(), from, most, act: Act::Tell });
        assert!(page.sessions.len() <= most as usize && page.count as usize == page.sessions.len());
        met.extend(page.sessions);
        place = page.next;
    }
    met
}
