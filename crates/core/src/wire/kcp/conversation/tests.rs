#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::crypt::{Cipher, Key};
use super::super::fec::mul_acc_scalar;
use super::*;

fn settings(crypt: &Crypt) -> Settings {
    let mtu = u16::try_from(1350 - crypt.overhead() - fec::HEADER).unwrap();
    Settings {
        nodelay: true,
        interval: 20,
        resend: 2,
        congestion: false,
        send_window: 256,
        receive_window: 256,
        mtu,
        stream: true,
        dead_link: 20,
    }
}

fn conversation(crypt: &Crypt, framed: bool, dialled: bool) -> Conversation {
    coded(crypt, (10, 3), framed, dialled)
}

fn coded(crypt: &Crypt, (data, parity): (u8, u8), framed: bool, dialled: bool) -> Conversation {
    Conversation::new(Plan {
        conv: 77,
        settings: &settings(crypt),
        start: Start { sn: 0, clock: 0x1234_5678 },
        code: Some(Shards::new(data, parity).unwrap()),
        framed,
        seqid: 0,
        mul_acc: mul_acc_scalar,
        dialled,
    })
}

struct Line {
    crypt: Crypt,
    nonces: NonceSource,
    out: Outbox,
    now: Tick,
}

impl Line {
    fn new(crypt: Crypt) -> Self {
        Self { crypt, nonces: NonceSource::new(&[7; 32], 0), out: Outbox::default(), now: Tick(1000) }
    }

    /// Lets `from` speak and returns its datagrams.
    fn hear(&mut self, from: &mut Conversation) -> Vec<Vec<u8>> {
        self.out.clear();
        from.transmit(self.now, &self.crypt, &mut self.nonces, &mut self.out);
        self.out.iter().map(<[u8]>::to_vec).collect()
    }

    fn tell(&self, to: &mut Conversation, mut datagram: Vec<u8>) {
        to.handle_datagram(self.now, self.crypt.open(&mut datagram).unwrap(), None);
    }

    /// Passes what both say to and fro for `millis`; `lost` says which datagrams of `a` are.
    fn run(&mut self, a: &mut Conversation, b: &mut Conversation, millis: u64, lost: impl Fn(usize) -> bool) {
        let mut count = 0;
        for _ in 0..millis {
            for datagram in self.hear(a) {
                if !lost(count) {
                    self.tell(b, datagram);
                }
                count += 1;
            }
            for datagram in self.hear(b) {
                self.tell(a, datagram);
            }
            self.now = Tick(self.now.0 + 1);
        }
    }
}

fn read_all(from: &mut Conversation) -> Vec<u8> {
    let mut all = Vec::new();
    while !from.readable().is_empty() {
        let count = from.readable().len();
        all.extend_from_slice(from.readable());
        from.consume(count);
    }
    all
}

#[test]
fn a_stream_passes_under_every_cipher_in_frames_and_bare() {
    let stream: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).take(100_000).collect();
    for cipher in Cipher::ALL {
        for framed in [false, true] {
            let mut line = Line::new(Crypt::new(cipher, &Key::from_passphrase("it's a secrect")).unwrap());
            let mut client = conversation(&line.crypt, framed, true);
            let mut server = conversation(&line.crypt, framed, false);
            assert_eq!(client.write(&stream), stream.len());
            line.run(&mut client, &mut server, 50, |_| false);
            assert!(read_all(&mut server) == stream, "{} {framed}", cipher.label());
            assert_eq!(server.write(b"heard"), 5);
            line.run(&mut client, &mut server, 50, |_| false);
            assert_eq!(read_all(&mut client), b"heard");
            assert!(server.is_proven() && client.unacknowledged() == 0 && server.unacknowledged() == 0);
        }
    }
}

#[test]
fn a_lost_datagram_comes_back_out_of_the_parity_without_being_sent_again() {
    let mut line = Line::new(Crypt::null());
    let mut client = conversation(&line.crypt, true, true);
    let mut server = conversation(&line.crypt, true, true);
    // Enough to be certain of the client's code, and as many groups as there are.
    assert_eq!(client.write(&[8; 26_000]), 26_000);
    line.run(&mut client, &mut server, 30, |_| false);
    assert_eq!(read_all(&mut server).len(), 26_000);
    assert_eq!(client.write(&[9; 13_000]), 13_000); // ten datagrams
    line.run(&mut client, &mut server, 15, |index| matches!(index, 2 | 5 | 9));
    assert_eq!(read_all(&mut server).len(), 13_000);
    assert_eq!((server.recovered(), client.tally().retransmits), (3, 0));
}

#[test]
fn a_client_gets_parity_of_its_own_code_only_and_none_before_that_is_certain() {
    for (data, parity) in [(5, 2), (10, 3), (3, 1)] {
        let mut line = Line::new(Crypt::null());
        let mut client = coded(&line.crypt, (data, parity), true, true);
        let mut server = conversation(&line.crypt, true, false);
        let group = u32::from(data + parity);
        let (mut client_frames, mut parities) = (0, 0);
        for _ in 0..400 {
            client.write(b"so that there is something to acknowledge");
            server.write(&[3; 1300]);
            for datagram in line.hear(&mut client) {
                client_frames += 1;
                line.tell(&mut server, datagram);
            }
            for datagram in line.hear(&mut server) {
                if let Some(Frame::Parity { seqid, .. }) = fec::demux(&datagram) {
                    assert!(client_frames >= 12, "a guess after {client_frames} frames");
                    assert!(seqid % group >= u32::from(data), "{seqid} is no parity of {data}/{parity}");
                    parities += 1;
                } else if parities > 0 && parities % 7 == 0 {
                    parities += 1; // this one is lost
                    continue;
                }
                line.tell(&mut client, datagram);
            }
            read_all(&mut server);
            assert!(read_all(&mut client).iter().all(|&byte| byte == 3));
            line.now = Tick(line.now.0 + 1);
        }
        assert!(client.recovered() > 0 && parities > 20, "{data}/{parity}: {parities}");
    }
}

#[test]
fn a18_an_address_that_was_not_proven_gets_at_most_three_times_what_came_from_it() {
    for (cipher, framed) in Cipher::ALL.into_iter().flat_map(|cipher| [(cipher, false), (cipher, true)]) {
        let mut line = Line::new(Crypt::new(cipher, &Key::from_passphrase("it's a secrect")).unwrap());
        let mut client = conversation(&line.crypt, framed, true);
        let mut server = conversation(&line.crypt, framed, false);
        client.write(b"twenty-six bytes of hello.");
        let said: Vec<_> = line.hear(&mut client);
        let came: usize = said.iter().map(Vec::len).sum();
        said.into_iter().for_each(|datagram| line.tell(&mut server, datagram));
        let room = server.write(&[7; 60_000]);
        assert_eq!(room, 60_000);
        let mut sent = 0;
        for _ in 0..60_000 {
            sent += line.hear(&mut server).iter().map(Vec::len).sum::<usize>();
            line.now = Tick(line.now.0 + 1);
        }
        assert!(sent > came && sent <= 3 * came, "{cipher}: {sent} bytes for {came}");
    }
}

#[test]
fn a18_an_address_that_has_had_its_share_costs_nothing_until_it_speaks() {
    for (framed, hello) in (0..64).flat_map(|length| [(false, length), (true, length)]) {
        let mut line = Line::new(Crypt::null());
        let mut client = conversation(&line.crypt, framed, true);
        let mut server = conversation(&line.crypt, framed, false);
        client.write(&vec![b'h'; hello + 1]);
        line.hear(&mut client).into_iter().for_each(|datagram| line.tell(&mut server, datagram));
        server.write(&[7; 60_000]);
        let (begun, mut wakes) = (line.now, 0);
        while line.now.since(begun) < Duration::from_secs(60) {
            line.hear(&mut server);
            wakes += 1;
            let next = server.poll_timeout();
            assert!(next > line.now, "it is woken in vain");
            line.now = next;
        }
        assert!(wakes <= 100, "woken {wakes} times in a minute, framed: {framed}, {hello}");
        // When it speaks, it is spoken to.
        line.hear(&mut client);
        client.write(b"again");
        line.hear(&mut client).into_iter().for_each(|datagram| line.tell(&mut server, datagram));
        assert!(!line.hear(&mut server).is_empty());
    }
}

#[test]
fn a_client_that_waits_in_silence_gets_its_answer_whatever_was_lost_before_it() {
    for (framed, per_cent) in [(false, 5), (false, 20), (true, 5), (true, 20)] {
        let unanswered = (0..500).filter(|seed| !is_answered(framed, per_cent, *seed)).count();
        assert_eq!(unanswered, 0, "of 500 at {per_cent} % loss, framed: {framed}");
    }
}

/// A hello, `ok`, a request, an answer: does it arrive within a minute?
fn is_answered(framed: bool, per_cent: u64, seed: u64) -> bool {
    let mut line = Line::new(Crypt::null());
    let mut client = conversation(&line.crypt, framed, true);
    let mut server = conversation(&line.crypt, framed, false);
    let mut chance = seed;
    let mut lost = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % 100 < per_cent
    };
    client.write(b"a hello of 24 bytes, say");
    let (mut asked, mut got) = (0, 0);
    for _ in 0..60_000 {
        for datagram in line.hear(&mut client) {
            if !lost() {
                line.tell(&mut server, datagram);
            }
        }
        for datagram in line.hear(&mut server) {
            if !lost() {
                line.tell(&mut client, datagram);
            }
        }
        let before = asked;
        asked += read_all(&mut server).len();
        if before < 24 && asked >= 24 {
            server.write(b"ok");
        }
        if before < 41 && asked == 41 {
            server.write(&[6; 20_000]);
        }
        let before = got;
        got += read_all(&mut client).len();
        if before < 2 && got >= 2 {
            client.write(b"what do you know?");
        }
        if got == 20_002 {
            return true;
        }
        line.now = Tick(line.now.0 + 1);
    }
    false
}

#[test]
fn an_endpoint_that_speaks_first_and_long_reaches_a_client_that_has_said_little() {
    for (cipher, framed) in Cipher::ALL.into_iter().flat_map(|cipher| [(cipher, false), (cipher, true)]) {
        for said in [&b"hi"[..], b"?", b""] {
            let mut line = Line::new(Crypt::new(cipher, &Key::from_passphrase("it's a secrect")).unwrap());
            let mut client = conversation(&line.crypt, framed, true);
            let mut server = conversation(&line.crypt, framed, false);
            if client.write(said) == 0 {
                client.ask_window();
            }
            server.write(&[5; 9000]);
            line.run(&mut client, &mut server, 600, |_| false);
            assert_eq!(read_all(&mut client).len(), 9000, "{cipher}, framed: {framed}, {said:?}");
            assert!(server.is_proven());
        }
    }
}

#[test]
fn a_silent_conversation_has_no_timer() {
    let mut line = Line::new(Crypt::null());
    let mut client = conversation(&line.crypt, true, true);
    let mut server = conversation(&line.crypt, true, false);
    client.write(&[1; 5000]);
    server.write(&[2; 5000]);
    line.run(&mut client, &mut server, 100, |_| false);
    read_all(&mut client);
    read_all(&mut server);
    line.run(&mut client, &mut server, 11_000, |_| false);
    assert_eq!((client.poll_timeout(), server.poll_timeout()), (Tick::NEVER, Tick::NEVER));
}
