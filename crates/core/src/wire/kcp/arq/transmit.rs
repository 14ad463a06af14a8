//! How a datagram is filled: acknowledgements, questions and answers, what is sent again, what is new.

use std::ops::Range;

use super::super::outbox::Outbox;
use super::super::segment::{Command, HEADER, Segment};
use super::flight::{Flight, Stamp};
use super::{Arq, SPARING_LEN};
use crate::wheel::Tick;

impl Arq {
    /// A segment without payload.
    fn control(&mut self, command: Command, ts: u32, sn: u32) -> Segment<'static> {
        self.counts.segments_out += 1;
        let window = self.receiver.tell(&self.settings);
        let una = if self.is_sparing() { self.told } else { self.receiver.next() };
        Segment { conv: self.conv, command, fragment: 0, window, ts, sn, una, payload: &[] }
    }

    pub(super) fn write_acks(&mut self, out: &mut Outbox, end: usize) {
        self.acks.filter(self.receiver.next());
        for (sn, ts) in self.acks.take((end - out.open_len()) / HEADER) {
            self.control(Command::Ack, ts, sn).write(out);
        }
    }

    pub(super) fn write_probes(&mut self, now: Tick, out: &mut Outbox, end: usize) {
        if out.open_len() + HEADER <= end && self.probe.take_question() {
            self.control(Command::WindowAsk, 0, 0).write(out);
        }
        let interval = u32::from(self.settings.interval);
        let pause = if self.probe.repeats() { self.rtt.rto(&self.settings).max(interval) } else { interval };
        if out.open_len() + HEADER <= end && self.probe.take_answer(now, pause) {
            self.control(Command::WindowTell, 0, 0).write(out);
        }
    }

    /// Fills a datagram with what is to be sent again, then with what is new.
    pub(super) fn write_data(&mut self, now: Tick, out: &mut Outbox, span: Range<usize>) {
        let stamp = Stamp {
            now,
            ts: self.ts(now),
            rto: self.rtt.first_rto(&self.settings),
            spares: self.sender.spares(&self.settings),
            spacing: self.settings.resend.into(),
        };
        while let Some(lost) = self.sender.flight_mut().and_then(Flight::lost) {
            if out.open_len() + HEADER + lost.len > span.end {
                return;
            }
            let Some(flight) = self.sender.flight_mut() else { return };
            flight.sent(lost.sn, stamp);
            self.counts.retransmits += 1;
            self.counts.fast_retransmits += u64::from(lost.overtaken);
            self.write_push(lost.sn, stamp.ts, out);
        }
        loop {
            let mut whole = self.sender.sendable(&self.settings);
            if self.is_sparing() {
                let room = (span.len() / 8).saturating_sub(HEADER).max(SPARING_LEN);
                whole = if self.is_flying() { 0 } else { whole.min(room) };
            }
            let len = whole.min(span.end.saturating_sub(out.open_len() + HEADER));
            // A full datagram is worth cutting a segment a little shorter; a scrap of one is not.
            let alone = out.open_len() == span.start;
            if len == 0 || (len < whole && !alone && len * 2 < self.settings.mss()) {
                return;
            }
            let Some(sn) = self.sender.cut(len, stamp) else { return };
            self.write_push(sn, stamp.ts, out);
        }
    }

    fn write_push(&mut self, sn: u32, ts: u32, out: &mut Outbox) {
        let head = self.control(Command::Push, ts, sn);
        let Some(flight) = self.sender.flight() else { return };
        let (front, back) = flight.payload(sn);
        out.push(&head.header(front.len() + back.len()));
        out.push(front);
        out.push(back);
    }
}
