//! What is known of one segment that was sent.

use crate::wheel::Tick;

/// A segment that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) start: u32,
    pub(super) len: u16,
    /// How often it was sent; copies that waited for no answer are not counted.
    pub(super) tries: u8,
    /// How many such copies may follow.
    pub(super) spares: u8,
    pub(super) state: State,
    /// Is the latest `ts` one that no earlier transmission had?
    pub(super) distinct: bool,
    pub(super) first_ts: u32,
    pub(super) last_ts: u32,
    pub(super) first_place: u32,
    pub(super) place: u32,
    pub(super) rto: u32,
    pub(super) resend_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Acked,
    Flying,
    /// To be sent again, since later ones arrived.
    Overtaken,
    /// To be sent again, since no answer came in time.
    TimedOut,
    /// To be sent again, since it is likely to have been lost again.
    Spare,
}

/// When a segment is sent again that is likely to have been lost again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    /// The count of answers from which on.
    pub(super) due: u32,
    /// The transmission it doubles.
    pub(super) place: u32,
    pub(super) sn: u32,
}

/// The record of no segment.
pub(super) const NO_RECORD: Record = Record {
    start: 0,
    len: 0,
    tries: 0,
    spares: 0,
    state: State::Acked,
    distinct: false,
    first_ts: 0,
    last_ts: 0,
    first_place: 0,
    place: 0,
    rto: 0,
    resend_at: Tick::NEVER,
};
