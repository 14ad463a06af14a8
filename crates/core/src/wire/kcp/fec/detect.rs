//! Finding out how many shards a peer makes a group of, from what arrives of them.
//!
//! Nothing on the wire says it. But a seqid tells a frame's place, `seqid % (data + parity)`, and the place its
//! type: so every frame is evidence for or against every possible pair. Loss only thins the evidence, order does
//! not matter, and a stray frame is one voice of many. (kcp-go asks for a whole run of each type without a gap.)

use super::{Kind, Shards};

/// Frames kept as evidence: two groups of the largest size, 4 KiB.
const SAMPLES: usize = 512;
/// Evidence is weighed first when there is this much, then each time there is half as much again.
const FIRST: usize = 12;
/// Evidence is weighed at least this often, in frames: it costs about 0.2 ms.
const SELDOM: usize = 256;
/// The doubt that one frame of the wrong type adds; each frame of the right one takes 1 away.
const CONTRADICTION: u16 = 128;
/// Doubt above which other shards are considered: three wrong ones among fewer than 84 right ones. Slow enough
/// to see that 100/1 became 101/1.
const DOUBTFUL: u16 = 300;
const DOUBT_MAX: u16 = 2048;
/// So many frames in a row of the right type, parity twice among them, make a hint certain: at 20 % loss a wrong
/// one gets there once in a million times.
const CERTAIN: u8 = 24;
const CERTAIN_PARITY: u8 = 2;

/// What is believed, and the evidence while there is doubt.
#[derive(Debug)]
pub(super) struct Detector {
    known: Option<Shards>,
    /// Frames in a row of the right type, and how many of them were parity, until there are enough of both.
    run: (u8, u8),
    doubt: u16,
    evidence: Evidence,
}

impl Detector {
    /// Begins with the belief in `hint`.
    pub(super) fn new(hint: Option<Shards>) -> Self {
        Self { known: hint, run: (0, 0), doubt: 0, evidence: Evidence::default() }
    }

    /// What the peer is believed to use.
    pub(super) fn known(&self) -> Option<Shards> {
        self.known
    }

    /// What the peer certainly uses: frames have spoken for it, and too few against it.
    pub(super) fn certain(&self) -> Option<Shards> {
        self.known.filter(|_| self.is_certain() && self.doubt < DOUBTFUL)
    }

    fn is_certain(&self) -> bool {
        self.run.0 >= CERTAIN && self.run.1 >= CERTAIN_PARITY
    }

    /// Takes a frame as evidence and says whether the belief has changed by it.
    pub(super) fn observe(&mut self, kind: Kind, seqid: u32) -> bool {
        match self.known {
            Some(known) if seqid >= known.paws() => return false,
            Some(known) if known.kind(seqid) == kind => {
                self.doubt = self.doubt.saturating_sub(1);
                let (frames, parity) = self.run;
                self.run = (frames.saturating_add(1), parity.saturating_add(u8::from(kind == Kind::Parity)));
            }
            Some(_) => {
                self.doubt = self.doubt.saturating_add(CONTRADICTION).min(DOUBT_MAX);
                // A stray frame shakes a guess, not a certainty.
                if !self.is_certain() || self.doubt >= DOUBTFUL {
                    self.run = (0, 0);
                }
            }
            // Data alone tells nothing, and asks for nothing.
            None if kind == Kind::Data && self.evidence.is_empty() => return false,
            None => self.doubt = DOUBT_MAX,
        }
        if self.doubt == 0 {
            self.rest();
            return false;
        }
        if !self.evidence.add(kind, seqid) || self.doubt < DOUBTFUL {
            return false;
        }
        let Some(found) = self.evidence.verdict() else { return false };
        self.rest();
        self.doubt = 0;
        let changed = self.known != Some(found);
        self.believe(found);
        changed
    }

    /// Takes `shards` for certain.
    pub(super) fn believe(&mut self, shards: Shards) {
        self.known = Some(shards);
        self.run = (CERTAIN, CERTAIN_PARITY);
    }

    /// Forgets the evidence and gives its memory back; what is believed stays.
    pub(super) fn rest(&mut self) {
        if !self.evidence.is_empty() {
            self.evidence = Evidence::default();
        }
    }

    /// Bytes held on the heap.
    pub(super) fn held(&self) -> usize {
        self.evidence.samples.capacity() * size_of::<Sample>()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    seqid: u32,
    kind: Kind,
}

/// The last frames, in the order they came.
#[derive(Debug, Default)]
struct Evidence {
    samples: Vec<Sample>,
    /// Where the next sample goes once there are [`SAMPLES`].
    oldest: usize,
    /// Samples since the last verdict, and how many there must be for the next.
    fresh: usize,
    wanted: usize,
}

impl Evidence {
    fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds a sample and says whether it is time for a verdict.
    fn add(&mut self, kind: Kind, seqid: u32) -> bool {
        let sample = Sample { seqid, kind };
        if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        } else if let Some(oldest) = self.samples.get_mut(self.oldest) {
            *oldest = sample;
            self.oldest = (self.oldest + 1) % SAMPLES;
        }
        self.fresh += 1;
        self.fresh >= self.wanted.max(FIRST)
    }

    /// The one pair of shards that the evidence speaks for; `None` while another would do nearly as well.
    fn verdict(&mut self) -> Option<Shards> {
        self.fresh = 0;
        self.wanted = (self.samples.len() / 2).min(SELDOM);
        let mut best = Best::default();
        for group in 2..=256u16 {
            self.weigh(group, &mut best);
        }
        // Some wrong voices are heard over, but then the second best must be far worse.
        let clear = best.wrong <= self.samples.len() / 16 && best.second >= 2 * best.wrong + 2;
        best.shards.filter(|_| clear)
    }

    /// Counts, for a group size, the samples that each border between data and parity makes wrong.
    fn weigh(&self, group: u16, best: &mut Best) {
        // Balance of data over parity by place, and the samples that are wrong when all places are parity.
        let mut balance = [0i32; 256];
        let mut wrong = 0i32;
        for sample in &self.samples {
            let Some(place) = balance.get_mut((sample.seqid % u32::from(group)) as usize) else { continue };
            match sample.kind {
                Kind::Data => {
                    *place += 1;
                    wrong += 1;
                }
                Kind::Parity => *place -= 1,
            }
        }
        let group = usize::from(group);
        for (place, balance) in balance.iter().enumerate().take(group - 1) {
            wrong -= balance;
            let data = place + 1;
            best.consider(usize::try_from(wrong).unwrap_or(0), data, group - data);
        }
    }
}

/// The pair with the fewest wrong samples, and how many the next one has.
#[derive(Debug)]
struct Best {
    shards: Option<Shards>,
    wrong: usize,
    second: usize,
}

impl Default for Best {
    fn default() -> Self {
        Self { shards: None, wrong: usize::MAX / 4, second: usize::MAX / 4 }
    }
}

impl Best {
    fn consider(&mut self, wrong: usize, data: usize, parity: usize) {
        if wrong >= self.wrong {
            self.second = self.second.min(wrong);
            return;
        }
        let (Ok(data), Ok(parity)) = (u8::try_from(data), u8::try_from(parity)) else { return };
        let Ok(shards) = Shards::new(data, parity) else { return };
        self.second = self.wrong;
        self.wrong = wrong;
        self.shards = Some(shards);
    }
}

#[cfg(test)]
mod tests;
