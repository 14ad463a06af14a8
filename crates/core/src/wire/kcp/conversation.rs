//! One conversation with one peer: the ARQ machine in its framing, sealed at the rim.

use std::mem;
use std::time::Duration;

use super::arq::{Arq, Origin, Settings, Start, Tally};
use super::crypt::{Crypt, NonceSource};
use super::fec::{self, Decoder, Encoder, Frame, MulAcc, Shards};
use super::outbox::Outbox;
use crate::wheel::Tick;

#[cfg(test)]
mod tests;

/// To an address that has not proved that it hears us go at most so many times the bytes that came from it.
const AMPLIFICATION: u64 = 3;
/// What a correction still holds after so much silence is let go: no parity of that time will come.
const REST_AFTER: Duration = Duration::from_secs(10);
/// So many bytes in order of an address that has not proved itself, and its losses are mended like any other's.
const CORRECTED_AFTER: u64 = 256 << 10;
/// How long whoever has had its share is let be: it may be thousands of forged addresses.
const STARVED_FOR: Duration = Duration::from_secs(1);

/// What a conversation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'p> {
    /// Its number, as the dialler chose it.
    pub conv: u32,
    /// How it sends and receives.
    pub settings: &'p Settings,
    /// Where its numbers begin.
    pub start: Start,
    /// The code of the frames that are sent, and the one that is expected of the peer.
    pub code: Option<Shards>,
    /// Is what is sent in frames? As bare segments it is understood by every peer.
    pub framed: bool,
    /// The number of the first frame.
    pub seqid: u32,
    /// The kernel of the code's arithmetic.
    pub mul_acc: MulAcc,
    /// Did we dial the peer's address? Else it must first prove that it is there.
    pub dialled: bool,
}

/// One conversation: in go datagrams that were opened, out come sealed ones and a stream.
#[derive(Debug)]
pub struct Conversation {
    arq: Arq,
    encoder: Option<Box<Encoder>>,
    decoder: Option<Box<Decoder>>,
    code: Option<Shards>,
    mul_acc: MulAcc,
    /// When the corrections let go of what they hold; `NEVER`: nothing is held.
    rest_at: Tick,
    /// Bytes that may go to an address that has not proved itself; `None`: it has, or we dialled it.
    allowance: Option<u64>,
    /// How many datagrams came whose cipher's header the allowance does not count yet.
    uncounted: u64,
    /// Until then the address has had what it may have, and only its own datagrams change that.
    starved_until: Tick,
    /// Did we dial the peer's address? Then the code is ours to choose.
    dialled: bool,
    /// Is the code that is sent the peer's own? Until then it gets no parity.
    is_understood: bool,
}

impl Conversation {
    /// Begins one; until bytes move it costs no memory but its struct, and that of the encoder with frames.
    #[must_use]
    pub fn new(plan: Plan<'_>) -> Self {
        let Plan { conv, settings, start, code, framed, seqid, mul_acc, dialled } = plan;
        let encoder = code.filter(|_| framed).map(|code| Box::new(Encoder::new(code, mul_acc, seqid)));
        let mut arq = Arq::new(conv, settings, start);
        if !dialled {
            arq.spare();
        }
        Self {
            arq,
            encoder,
            decoder: None,
            code,
            mul_acc,
            rest_at: Tick::NEVER,
            allowance: (!dialled).then_some(0),
            uncounted: 0,
            starved_until: Tick(0),
            dialled,
            is_understood: dialled,
        }
    }

    /// Takes a datagram of the peer, without its cipher's header. Payload that is next in the stream goes to
    /// `run`, where one is given and nothing waits in front of it; else it waits to be read.
    ///
    /// A datagram that breaks the format is used as far as it is good.
    pub fn handle_datagram<'b>(&mut self, now: Tick, plain: &'b [u8], run: Option<&mut Vec<&'b [u8]>>) {
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance.saturating_add(AMPLIFICATION * plain.len() as u64);
            self.uncounted += 1;
            self.starved_until = Tick(0);
        }
        // What is broken behind good segments is dropped: who sent it will not be told, and sends again.
        match fec::demux(plain) {
            Some(Frame::Plain(segments)) => {
                let _broken_behind = self.arq.handle_input(now, segments, Origin::Wire, run);
            }
            Some(Frame::Data { seqid, segments, shard }) => {
                let _broken_behind = self.arq.handle_input(now, segments, Origin::Wire, run);
                self.correct(now, |decoder, arq| {
                    decoder.data(seqid, shard, |found| recover(arq, now, found));
                });
            }
            Some(Frame::Parity { seqid, shard }) => self.correct(now, |decoder, arq| {
                decoder.parity(seqid, shard, |found| recover(arq, now, found));
            }),
            Some(Frame::OutOfBand) | None => {}
        }
        if self.arq.is_proven() {
            self.allowance = None;
        }
    }

    fn correct(&mut self, now: Tick, feed: impl FnOnce(&mut Decoder, &mut Arq)) {
        // A decoder keeps copies: not for whoever may be one of thousands of forged addresses.
        if self.arq.stinted().is_some_and(|came| came < CORRECTED_AFTER) {
            return;
        }
        let (code, mul_acc) = (self.code, self.mul_acc);
        let decoder = self.decoder.get_or_insert_with(|| Box::new(Decoder::new(mul_acc, code)));
        feed(decoder, &mut self.arq);
        self.rest_at = now.after(REST_AFTER);
        // A client gets the code that it speaks itself. kcp-go makes frames from parity by its own code, whichever
        // the parity is of, and takes them for data: half of all transfers would be spoiled.
        if let (Some(encoder), Some(theirs)) = (&mut self.encoder, decoder.certain())
            && !self.dialled
        {
            if encoder.shards() != theirs {
                encoder.change(theirs);
            }
            self.is_understood = true;
        }
    }

    /// Writes every datagram that is due, sealed, and returns how many those were.
    ///
    /// To an address that has not proved itself go no more bytes than its own allow; parity is spared there.
    pub fn transmit(
        &mut self,
        now: Tick,
        crypt: &Crypt,
        nonces: &mut NonceSource,
        out: &mut Outbox,
    ) -> usize {
        let first = out.len();
        let cipher = crypt.overhead();
        let headroom = cipher + if self.encoder.is_some() { fec::HEADER } else { 0 };
        // What goes out is weighed with its header; of a short hello the header is the greater part.
        let headers = AMPLIFICATION * cipher as u64 * mem::take(&mut self.uncounted);
        self.allowance = self.allowance.map(|bytes| bytes.saturating_add(headers));
        loop {
            let room =
                self.allowance.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            let room = room.saturating_sub(headroom);
            let index = out.len();
            if !self.arq.poll_transmit(now, out, headroom, room) {
                let starved = self.allowance.is_some() && self.arq.is_held(now);
                self.starved_until = if starved { now.after(STARVED_FOR) } else { Tick(0) };
                break;
            }
            if let Some(encoder) = &mut self.encoder {
                encoder.data(now, &mut out.datagram_mut(index)[cipher..]);
                encoder.parity(out, cipher, self.allowance.is_none() && self.is_understood);
                self.rest_at = now.after(REST_AFTER);
            }
            if let Some(allowance) = &mut self.allowance {
                *allowance = allowance.saturating_sub(out.datagram(index).len() as u64);
            }
        }
        if now >= self.rest_at {
            self.rest();
        }
        (first..out.len()).for_each(|index| crypt.seal(out.datagram_mut(index), nonces.draw()));
        out.len() - first
    }

    fn rest(&mut self) {
        self.rest_at = Tick::NEVER;
        if let Some(encoder) = &mut self.encoder {
            encoder.rest();
        }
        if let Some(decoder) = &mut self.decoder {
            decoder.rest();
        }
    }

    /// The moment at which [`Conversation::transmit`] has something to do; [`Tick::NEVER`] at rest.
    #[must_use]
    pub fn poll_timeout(&self) -> Tick {
        self.arq.poll_timeout().max(self.starved_until).min(self.rest_at)
    }

    /// Takes what there is room for; what is taken is sent by the next [`Conversation::transmit`] that may.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.arq.write(bytes)
    }

    /// Keeps little of what an address sends that has not proved itself, for as long as memory is short.
    pub fn tighten(&mut self, tight: bool) {
        self.arq.tighten(tight);
    }

    /// How many bytes [`Conversation::write`] takes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.arq.room()
    }

    /// Has it room for at least a byte?
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.arq.has_room()
    }

    /// The next bytes of the peer's stream, as far as they lie in one piece.
    #[must_use]
    pub fn readable(&self) -> &[u8] {
        self.arq.readable()
    }

    /// Takes bytes that were read off the stream.
    pub fn consume(&mut self, count: usize) {
        self.arq.consume(count);
    }

    /// Bytes of the peer that are held: in order, early, and to mend losses with.
    #[must_use]
    pub fn held(&self) -> usize {
        self.arq.held() + self.decoder.as_ref().map_or(0, |decoder| decoder.held())
    }

    /// Bytes that were written and not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.arq.unacknowledged()
    }

    /// Asks the peer for its window, and so whether it is there.
    pub fn ask_window(&mut self) {
        self.arq.ask_window();
    }

    /// When the last valid segment came.
    #[must_use]
    pub fn heard_at(&self) -> Tick {
        self.arq.heard_at()
    }

    /// Did a valid segment ever come?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.arq.is_answered()
    }

    /// Has the peer's address shown that it hears us?
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.arq.is_proven()
    }

    /// Was a segment sent too often without an answer?
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.arq.is_dead()
    }

    /// Its number.
    #[must_use]
    pub fn conv(&self) -> u32 {
        self.arq.conv()
    }

    /// How long an answer may take before the question is sent again.
    #[must_use]
    pub fn rto(&self) -> Duration {
        self.arq.rto()
    }

    /// What it has counted since its beginning.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.arq.tally()
    }

    /// Datagrams that the correction brought back.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.decoder.as_ref().map_or(0, |decoder| decoder.recovered())
    }
}

fn recover(arq: &mut Arq, now: Tick, segments: &[u8]) {
    let _broken_behind = arq.handle_input(now, segments, Origin::Recovered, None);
}
