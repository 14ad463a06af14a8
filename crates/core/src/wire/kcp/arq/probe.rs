//! Questions about the peer's window, and answers about ours.

use crate::wheel::Tick;

/// How long to wait before the first question, and at most, in milliseconds: kcp-go's and ikcp.c's figures.
const WAIT: (u32, u32) = (500, 120_000);

/// How many times an open window is told unasked.
const TELLS: u8 = 3;

#[derive(Debug)]
pub(super) struct Probe {
    /// A question is to be sent.
    asking: bool,
    /// An answer is to be sent.
    telling: bool,
    /// How many more times to send it: the news that a closed window is open may be lost, and some peers wait for
    /// seconds before they ask.
    repeats: u8,
    /// No answer before this: questions may come in floods.
    tell_at: Tick,
    /// When to ask a peer whose window is closed.
    ask_at: Tick,
    /// How long to wait between two questions; 0 while the peer's window is open or nothing waits.
    wait: u32,
    /// Questions since the peer was last heard.
    unanswered: u8,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            asking: false,
            telling: false,
            repeats: 0,
            tell_at: Tick(0),
            ask_at: Tick::NEVER,
            wait: 0,
            unanswered: 0,
        }
    }
}

impl Probe {
    pub(super) fn ask(&mut self) {
        self.asking = true;
    }

    pub(super) fn tell(&mut self) {
        self.telling = true;
    }

    /// Tells that the window is open, unasked, until the peer makes use of it, [`TELLS`] times at most.
    pub(super) fn tell_open(&mut self) {
        self.telling = true;
        // At once, however lately it was told: the peer stands still, and no flood of its own brings this about.
        self.tell_at = Tick(0);
        self.repeats = TELLS - 1;
    }

    /// The peer makes use of the window: if it was told, it has heard.
    pub(super) fn used(&mut self) {
        if (1..TELLS - 1).contains(&self.repeats) {
            self.telling = false;
            self.repeats = 0;
        }
    }

    /// Something of the peer arrived.
    pub(super) fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Runs the timer of a closed window, behind which something waits or not.
    pub(super) fn persist(&mut self, now: Tick, stuck: bool) {
        let (first, most) = WAIT;
        if !stuck {
            self.wait = 0;
            self.ask_at = Tick::NEVER;
        } else if self.wait == 0 {
            self.wait = first;
            self.ask_at = Tick(now.0.saturating_add(u64::from(first)));
        } else if now >= self.ask_at {
            self.wait = (self.wait * 2).min(most);
            self.ask_at = Tick(now.0.saturating_add(u64::from(self.wait)));
            self.asking = true;
            self.unanswered = self.unanswered.saturating_add(1);
        }
    }

    /// Does the timer run?
    pub(super) fn persists(&self) -> bool {
        self.wait > 0
    }

    /// Questions since the peer was last heard that got no answer.
    pub(super) fn unanswered(&self) -> u8 {
        self.unanswered
    }

    /// When there is something to send, or to do.
    pub(super) fn due(&self) -> Tick {
        let ask = if self.asking { Tick(0) } else { self.ask_at };
        let tell = if self.telling { self.tell_at } else { Tick::NEVER };
        ask.min(tell)
    }

    /// Is a question to be sent? Asked once: it counts as sent.
    pub(super) fn take_question(&mut self) -> bool {
        std::mem::take(&mut self.asking)
    }

    /// Is an answer to be sent now? Asked once: it counts as sent, and the next one waits for `pause` milliseconds.
    pub(super) fn take_answer(&mut self, now: Tick, pause: u32) -> bool {
        let due = self.telling && now >= self.tell_at;
        if due {
            self.telling = self.repeats > 0;
            self.repeats = self.repeats.saturating_sub(1);
            self.tell_at = Tick(now.0.saturating_add(u64::from(pause)));
        }
        due
    }

    /// Is the answer one of several?
    pub(super) fn repeats(&self) -> bool {
        self.repeats > 0
    }
}
