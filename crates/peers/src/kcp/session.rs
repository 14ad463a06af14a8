//! A conversation as a hub keeps it: what it is asked, when it is over.

use std::sync::{Arc, Condvar};
use std::time::Duration;

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::conversation::Conversation;
use portcullis_core::wire::kcp::fec::{self, Frame};
use portcullis_core::wire::kcp::segment::{self, Command};

/// A first segment may be overtaken by some of its successors.
const OVERTAKING: u32 = 32;

/// One conversation and those who wait for it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conversation: Conversation,
    /// Told when a reader or a writer should look again.
    pub(super) changed: Arc<Condvar>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    idle_timeout: Duration,
    began: Tick,
    asked_at: Tick,
    over: bool,
}

impl Session {
    pub(super) fn new(conversation: Conversation, idle_timeout: Duration, now: Tick) -> Self {
        Self {
            conversation,
            changed: Arc::default(),
            read_timeout: None,
            write_timeout: None,
            idle_timeout,
            began: now,
            asked_at: now,
            over: false,
        }
    }

    /// Was the peer silent for too long? Then the stream has ended, whatever still comes.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The moment at which [`Session::handle_timeout`] or the conversation has something to do.
    pub(super) fn poll_timeout(&self) -> Tick {
        let silence = if self.over { Tick::NEVER } else { self.silent_at().min(self.ask_at()) };
        self.conversation.poll_timeout().min(silence)
    }

    /// Asks a peer that says nothing whether it is there, and ends what it has left.
    pub(super) fn handle_timeout(&mut self, now: Tick) {
        if now >= self.silent_at() {
            self.over = true;
            self.changed.notify_all();
        } else if now >= self.ask_at() {
            self.asked_at = now;
            self.conversation.ask_window();
        }
    }

    fn silent_at(&self) -> Tick {
        self.began.max(self.conversation.heard_at()).after(self.idle_timeout)
    }

    /// Who has never answered is not asked: a client that says nothing is to say nothing.
    fn ask_at(&self) -> Tick {
        if !self.conversation.is_answered() {
            return Tick::NEVER;
        }
        self.asked_at.max(self.conversation.heard_at()).after(self.idle_timeout / 4)
    }
}

/// What a datagram of a stranger begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) conv: u32,
    /// Does it speak with frames?
    pub(super) framed: bool,
}

/// What a datagram begins, in an endpoint whose streams begin at `sn`. As with kcp-go a question does, without which
/// a server that speaks first were never asked to; an answer and the middle of a stream do not.
pub(super) fn opening(plain: &[u8], sn: u32) -> Option<Opening> {
    let (segments, framed) = match fec::demux(plain)? {
        Frame::Plain(segments) => (segments, false),
        Frame::Data { segments, .. } => (segments, true),
        Frame::Parity { .. } | Frame::OutOfBand => return None,
    };
    let first = segment::segments(segments).next()?.ok()?;
    let begins = match first.command {
        Command::Push => first.sn.wrapping_sub(sn) < OVERTAKING,
        Command::WindowAsk => true,
        Command::Ack | Command::WindowTell => false,
    };
    begins.then_some(Opening { conv: first.conv, framed })
}
