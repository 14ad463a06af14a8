//! Payload in and out of a leg: through its codec, in as few system calls as may be.

use std::mem;

use portcullis_core::outcome::Reason;
use portcullis_core::wire::ws::Control;

use super::{Codec, Leg, Received, Unit, ws};
use crate::ring::Lent;

/// Pieces of fewer bytes are gathered and sent together: a system call for each would cost more than a copy.
const SMALL: usize = 4 * 1024;
/// So many gathered bytes are sent.
const GATHERED: usize = 32 * 1024;
/// Reads of an endpoint that is to close first, in one turn; one that sends more is not about to.
const LAST_READS: usize = 16;

impl Leg {
    /// Reads once and gives `sink` the units of payload that came of it. What the codec has to answer is
    /// sent on this leg.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        lent: &mut Lent,
        mut sink: impl FnMut(Unit<'_>, &mut Lent),
    ) -> Received {
        if self.unread.is_none()
            && matches!(self.codec, Codec::Raw)
            && let Some(received) = self.read_stream(lent, &mut sink)
        {
            return received;
        }
        let received = self.receive(buffer, lent);
        let (Received::Some(count) | Received::Last(count)) = received else {
            return self.without_goodbye(received);
        };
        let Codec::Ws(ws) = &mut self.codec else {
            if count > 0 {
                sink(Unit::of(&buffer[..count]), lent);
            }
            return received;
        };
        let decoded = if ws.keeps_borders() {
            // What is gathered here would lose its borders: the other leg gathers it, as frames.
            ws.decode(&mut buffer[..count], |unit| sink(unit, lent))
        } else {
            decode_gathered(ws, &mut buffer[..count], lent, &mut sink)
        };
        self.flush(lent);
        match decoded {
            Ok(true) => {
                self.state.ended = true;
                Received::Eof
            }
            Ok(false) => received,
            Err(reason) => Received::Violation(reason),
        }
    }

    /// A WebSocket endpoint that ends without a close frame has broken off.
    fn without_goodbye(&mut self, received: Received) -> Received {
        match &self.codec {
            Codec::Ws(ws) if received == Received::Eof && ws.is_client() && ws.heard().is_none() => {
                self.state.broken = true;
                Received::Broken
            }
            _ => received,
        }
    }

    /// Reads once and drops what came, until the peer has said its own goodbye. A WebSocket's is its close
    /// frame: the server then closes first (RFC 6455 section 7.1.1).
    pub(crate) fn discard(&mut self, buffer: &mut [u8], lent: &mut Lent) -> Received {
        let received = self.receive(buffer, lent);
        if let (Codec::Ws(ws), Received::Some(count) | Received::Last(count)) = (&mut self.codec, received)
            && ws.hears_close(&mut buffer[..count])
        {
            self.state.ended = true;
        }
        received
    }

    /// Has the peer closed, if it is to close first? (RFC 6455 section 7.1.1: the server does, and keeps the
    /// port in waiting.) What it still sends is dropped.
    pub(crate) fn has_left(&mut self, buffer: &mut [u8], lent: &mut Lent) -> bool {
        if self.state.broken || !matches!(&self.codec, Codec::Ws(ws) if ws.is_client()) {
            return true;
        }
        for _ in 0..LAST_READS {
            match self.receive(buffer, lent) {
                Received::Eof | Received::Broken | Received::Violation(_) => return true,
                Received::Last(_) => return false,
                Received::Some(_) => {}
            }
        }
        true
    }

    /// Sends a unit of payload; what there is no room for is kept. Call
    /// [`Leg::send_staged`] after the last of a read: frames are put together.
    pub(crate) fn write(&mut self, unit: Unit<'_>, lent: &mut Lent) {
        match &self.codec {
            Codec::Ws(ws) if ws.frames_units() => self.write_frame(unit, lent),
            Codec::Ws(_) => self.write_chunks(unit.bytes, lent),
            Codec::Raw | Codec::Upgrading(_) | Codec::Asking(_) => {
                self.write_wire([&[], unit.lead, unit.bytes], lent);
            }
        }
    }

    /// Sends bytes of a stream in the frames that the listener's framing asks for.
    fn write_chunks(&mut self, mut bytes: &[u8], lent: &mut Lent) {
        let mut gathered = lent.scratch();
        while let Codec::Ws(ws) = &mut self.codec
            && let Some(chunk) = ws.encode(&mut bytes)
        {
            let is_small = chunk.bytes.len() < SMALL && !bytes.is_empty();
            if is_small {
                gathered.extend_from_slice(&chunk.header);
                gathered.extend_from_slice(chunk.bytes);
            }
            if !gathered.is_empty() && (!is_small || gathered.len() >= GATHERED) {
                self.write_wire([&[], &[], &gathered], lent);
                gathered.clear();
            }
            if !is_small {
                self.write_wire([&chunk.header, &[], chunk.bytes], lent);
            }
        }
        if !gathered.is_empty() {
            self.write_wire([&[], &[], &gathered], lent);
        }
        lent.give_scratch(gathered);
    }

    /// Sends a unit as one frame. Small ones and those that are masked are put together.
    fn write_frame(&mut self, unit: Unit<'_>, lent: &mut Lent) {
        if self.state.shut || self.state.broken {
            return;
        }
        let Codec::Ws(ws) = &mut self.codec else { return };
        let Ok(mask) = ws.mask(&mut lent.masks) else { return self.mark_broken() };
        let Some(header) = ws.header(unit.border, unit.len() as u64, mask) else { return };
        if mask.is_none() && unit.len() >= SMALL {
            self.send_staged(lent);
            return self.write_wire([&header, unit.lead, unit.bytes], lent);
        }
        lent.stage(&header, [unit.lead, unit.bytes], mask);
        if lent.staged() >= GATHERED {
            self.send_staged(lent);
        }
    }

    /// Sends what [`Leg::write`] has kept only to send it together with more.
    pub(crate) fn send_staged(&mut self, lent: &mut Lent) {
        if lent.staged() > 0 {
            let staged = lent.take_staged();
            self.write_wire([&[], &[], &staged], lent);
            lent.give_staged(staged);
        }
    }

    /// Sends a message of the gateway itself: bytes of the stream, or one binary message.
    pub(crate) fn say(&mut self, message: &[u8], lent: &mut Lent) {
        match &self.codec {
            _ if message.is_empty() => {}
            Codec::Raw | Codec::Upgrading(_) | Codec::Asking(_) => {
                self.write_wire([&[], &[], message], lent);
            }
            Codec::Ws(_) => {
                self.write_frame(Unit::of(message), lent);
                self.send_staged(lent);
            }
        }
    }

    /// Says goodbye in the codec's words, if it has any for `reason`.
    pub(crate) fn bid_farewell(&mut self, reason: Reason, lent: &mut Lent) {
        if let Codec::Ws(ws) = &mut self.codec {
            let code = if ws.is_client() { ws::endpoint_code(reason) } else { ws::close_code(reason) };
            ws.close(Control::close(code, ""));
            self.flush(lent);
        }
    }

    /// Says a close frame that the other leg's peer has said: code and reason pass. Nothing to a stream.
    pub(crate) fn pass_farewell(&mut self, words: Option<Control>, lent: &mut Lent) {
        if let (Codec::Ws(ws), Some(words)) = (&mut self.codec, words) {
            ws.close(words);
            self.flush(lent);
        }
    }

    /// The close frame in which its peer has said goodbye.
    pub(crate) fn farewell(&self) -> Option<Control> {
        match &self.codec {
            Codec::Ws(ws) => ws.heard(),
            Codec::Raw | Codec::Upgrading(_) | Codec::Asking(_) => None,
        }
    }

    /// Did its connection break before its peer had said goodbye?
    pub(crate) fn is_cut(&self) -> bool {
        self.is_broken() && self.farewell().is_none()
    }

    /// Asks a silent peer whether it is there, if its codec has a word for that.
    pub(crate) fn ping(&mut self, lent: &mut Lent) {
        if let Codec::Ws(ws) = &mut self.codec {
            ws.ping();
            self.flush(lent);
        }
    }

    /// Has its codec a word for its end?
    pub(crate) fn has_farewells(&self) -> bool {
        matches!(self.codec, Codec::Ws(_))
    }

    /// Ends our direction towards an endpoint, after the client has ended its own with `words`, if it had any.
    /// Call when nothing is kept.
    pub(crate) fn end(&mut self, words: Option<Control>, reason: Reason, lent: &mut Lent) {
        if self.has_farewells() {
            // No half-close: the peer answers, closes its connection, and until then it may go on.
            self.pass_farewell(words, lent);
            self.bid_farewell(reason, lent);
        } else {
            self.shut(lent);
        }
    }

    /// Has both its messages and the other leg's keep their borders.
    pub(crate) fn keep_borders(&mut self) {
        if let Codec::Ws(ws) = &mut self.codec {
            ws.keep_borders();
        }
    }
}

/// Decodes what was read; small pieces of payload are put together.
fn decode_gathered(
    ws: &mut ws::Ws,
    bytes: &mut [u8],
    lent: &mut Lent,
    sink: &mut impl FnMut(Unit<'_>, &mut Lent),
) -> Result<bool, Reason> {
    let mut gathered = lent.scratch();
    let mut payload = 0;
    let decoded = ws.decode(bytes, |unit| {
        let is_small = unit.len() < SMALL;
        if is_small {
            gathered.extend_from_slice(unit.lead);
            gathered.extend_from_slice(unit.bytes);
            payload += unit.payload;
        }
        if !gathered.is_empty() && (!is_small || gathered.len() >= GATHERED) {
            sink(Unit { payload: mem::take(&mut payload), ..Unit::of(&gathered) }, lent);
            gathered.clear();
        }
        if !is_small {
            sink(unit, lent);
        }
    });
    if !gathered.is_empty() {
        sink(Unit { payload, ..Unit::of(&gathered) }, lent);
    }
    lent.give_scratch(gathered);
    decoded
}
