#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::crypt::{Cipher, Key};
use super::super::fec::mul_acc_scalar;
use super::super::segment;
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
            let mut heard = Vec::new();
            for _ in 0..100 {
                line.run(&mut client, &mut server, 1, |_| false);
                heard.extend(read_all(&mut server));
            }
            assert!(heard == stream, "{} {framed}", cipher.label());
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
        // One datagram does not have a window filled.
        assert_eq!((server.write(&[7; 60_000]), server.has_room()), (4096, false));
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
fn a17_whatever_a_forger_sends_little_of_it_is_kept_when_memory_is_short() {
    for framed in [false, true] {
        let line = Line::new(Crypt::null());
        let mut server = conversation(&line.crypt, framed, false);
        server.tighten(true);
        for number in 0..600_u32 {
            // The first begins a hello; the second is missing for ever; the rest fill the window and more.
            let (sn, payload) = if number == 0 { (0, [0; 4].to_vec()) } else { (number + 1, vec![7; 1300]) };
            let segments = push(sn, &payload);
            let datagram = if framed { frame(number, &segments) } else { segments };
            server.handle_datagram(line.now, &datagram, None);
        }
        assert!(server.held() <= 4096, "{} bytes, framed: {framed}", server.held());
        assert!(server.decoder.is_none());
        // In order, it is kept until a little waits to be read.
        for sn in 1..600 {
            server.handle_datagram(line.now, &push(sn, &[7; 1300]), None);
        }
        assert!((65_536..84_000).contains(&server.held()), "{} bytes", server.held());
    }
}

#[test]
fn a_stream_goes_up_under_loss_though_memory_is_short_and_nothing_was_proven() {
    // Nothing is ever said to the client, so it never proves itself.
    let stream: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut line = Line::new(Crypt::null());
    let mut client = conversation(&line.crypt, true, true);
    let mut server = conversation(&line.crypt, true, false);
    server.tighten(true);
    let (mut sent, mut heard) = (0, Vec::new());
    while heard.len() < stream.len() {
        sent += client.write(&stream[sent..]);
        let salt = line.now.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        line.run(&mut client, &mut server, 1, |count| {
            (salt ^ count as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56 < 13
        });
        heard.extend(read_all(&mut server));
        assert!(line.now < Tick(60_000), "{} bytes in a minute", heard.len());
    }
    assert!(heard == stream && !server.is_proven());
    assert!(line.now < Tick(10_000), "{:?}", line.now);
}

#[test]
fn a_client_that_waits_in_silence_gets_its_answer_whatever_was_lost_before_it() {
    for (framed, per_cent) in [(false, 5), (false, 20), (true, 5), (true, 20)] {
        let unanswered = (0..500).filter(|seed| !is_answered(framed, per_cent, *seed)).count();
        assert_eq!(unanswered, 0, "of 500 at {per_cent} % loss, framed: {framed}");
    }
}

#[test]
fn a_client_that_says_one_byte_gets_a_long_answer_whatever_is_lost_of_its_beginning() {
    for (framed, per_cent) in [(false, 5), (false, 20), (true, 5), (true, 20)] {
        let unanswered = (0..300).filter(|seed| !is_flooded(framed, per_cent, *seed)).count();
        assert_eq!(unanswered, 0, "of 300 at {per_cent} % loss, framed: {framed}");
    }
}

/// One byte, and an endpoint that answers it with much at once: does that arrive within a minute?
fn is_flooded(framed: bool, per_cent: u64, seed: u64) -> bool {
    let mut line = Line::new(Crypt::null());
    let mut client = conversation(&line.crypt, framed, true);
    let mut server = conversation(&line.crypt, framed, false);
    let mut chance = seed;
    let mut lost = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % 100 < per_cent
    };
    client.write(b"?");
    let (mut asked, mut answered, mut got) = (false, 0, 0);
    while line.now < Tick(60_000) && got < 20_000 {
        for datagram in line.hear(&mut client) {
            if !lost() {
                line.tell(&mut server, datagram);
            }
        }
        asked |= !read_all(&mut server).is_empty();
        if asked {
            answered += server.write(&[6; 20_000][answered..]);
        }
        for datagram in line.hear(&mut server) {
            if !lost() {
                line.tell(&mut client, datagram);
            }
        }
        got += read_all(&mut client).len();
        line.now = Tick(line.now.0 + 1);
    }
    got == 20_000
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
    let (mut asked, mut got, mut answer) = (0, 0, Vec::new());
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
            answer.extend(b"ok");
        }
        if before < 41 && asked == 41 {
            answer.extend([6; 20_000]);
        }
        answer.drain(..server.write(&answer));
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
            let written = server.write(&[5; 9000]);
            line.run(&mut client, &mut server, 600, |_| false);
            assert_eq!(written + server.write(&vec![5; 9000 - written]), 9000);
            line.run(&mut client, &mut server, 100, |_| false);
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

/// A PUSH of the conversation of these tests.
fn push(sn: u32, payload: &[u8]) -> Vec<u8> {
    let command = segment::Command::Push;
    let mut out = Outbox::default();
    out.begin(0);
    segment::Segment { conv: 77, command, fragment: 0, window: 128, ts: 0, sn, una: 0, payload }
        .write(&mut out);
    out.finish();
    out.datagram(0).to_vec()
}

/// Segments as a data shard.
fn frame(seqid: u32, segments: &[u8]) -> Vec<u8> {
    let size = u16::try_from(segments.len() + 2).unwrap();
    [&seqid.to_le_bytes()[..], &[0xf1, 0], &size.to_le_bytes(), segments].concat()
}
