//! What is given up when the process runs short of files, memory or time: what costs most first.
//!
//! Pure: somebody measures [`Pressure`] about once a second, this says which [`Step`] it calls for. Up at once, down
//! one step at a time, and only when the pressure has been clearly lower for a while; else what a step has set free
//! would be used up again by what the next moment lets in.

use std::time::Duration;

use crate::wheel::Tick;

#[cfg(test)]
mod tests;

/// How much is given up. Each step includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    #[default]
    Calm,
    /// Idle connections and pipes that are kept in case they are needed.
    Trim,
    /// New clients of networks that have more than their share of the sessions.
    Share,
    /// New sessions.
    Closed,
    /// The sessions for which most bytes are held.
    Shed,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [Self::Calm, Self::Trim, Self::Share, Self::Closed, Self::Shed];

    /// Its number, from 0.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The step of a number; one that is too high is the last.
    #[must_use]
    pub fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Shed)
    }

    /// What it means, for the log.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Calm => "nothing is given up",
            Self::Trim => "pools are emptied",
            Self::Share => "networks above their share get no new sessions",
            Self::Closed => "nobody gets a new session",
            Self::Shed => "the sessions that hold most bytes are ended",
        }
    }

    fn below(self) -> Self {
        Self::of(self.number().saturating_sub(1))
    }
}

/// How short the process is. Of what is not known nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Open files in use, as a part of the limit.
    pub files: Option<Files>,
    /// Memory in use as a part of what there is: 1 = all.
    pub memory: Option<f64>,
    /// The longest that any worker took over one turn since the last look.
    pub turn: Duration,
}

/// Open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// In use.
    pub used: u64,
    /// The limit in force.
    pub limit: u64,
    /// Of these, how many sessions never use: they are for the admin listener, logs and reloads.
    pub kept_back: u64,
}

/// Of memory in use, from which part on a step is taken.
const MEMORY: [(f64, Step); 4] =
    [(0.96, Step::Shed), (0.92, Step::Closed), (0.87, Step::Share), (0.80, Step::Trim)];
/// How much less it must be until the step is taken back.
const MEMORY_BACK: f64 = 0.03;
/// From how long a turn on a step is taken, when turns stay so long for [`LASTING`].
const TURN: [(Duration, Step); 3] = [
    (Duration::from_secs(2), Step::Closed),
    (Duration::from_secs(1), Step::Share),
    (Duration::from_millis(500), Step::Trim),
];
/// So long turns must be long one look after the other: one signature, or a machine that stood still, is no load.
const LASTING: Duration = Duration::from_secs(5);
/// So long the pressure must be lower until a step is taken back.
const CALM: Duration = Duration::from_secs(3);

/// The step in force, and since when things are as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overload {
    step: Step,
    /// Since when less would do.
    lower_since: Option<Tick>,
    /// Since when turns are long.
    slow_since: Option<Tick>,
}

impl Overload {
    /// The step in force.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Takes a look and says which step is in force from here on.
    pub fn handle(&mut self, pressure: &Pressure, now: Tick) -> Step {
        let wanted = self.wanted(pressure, 0.0, now);
        if wanted > self.step {
            self.lower_since = None;
            self.step = wanted;
        } else if self.wanted(pressure, MEMORY_BACK, now) < self.step {
            let since = *self.lower_since.get_or_insert(now);
            if now.since(since) >= CALM {
                self.step = self.step.below();
                self.lower_since = Some(now);
            }
        } else {
            self.lower_since = None;
        }
        self.step
    }

    /// The step that a pressure calls for that is `margin` higher.
    fn wanted(&mut self, pressure: &Pressure, margin: f64, now: Tick) -> Step {
        let part = pressure.memory.map_or(0.0, |part| part + margin);
        let memory = MEMORY.iter().find(|(from, _)| part >= *from).map_or(Step::Calm, |(_, step)| *step);
        let turn = TURN.iter().find(|(from, _)| pressure.turn >= *from).map(|(_, step)| *step);
        self.slow_since = turn.map(|_| self.slow_since.unwrap_or(now));
        let lasts = self.slow_since.is_some_and(|since| now.since(since) >= LASTING);
        let turn = turn.filter(|_| lasts).unwrap_or_default();
        pressure.files.map_or(Step::Calm, of_files).max(memory).max(turn)
    }
}

/// A full house uses all files but those kept back: that is no pressure yet. Files of sessions that end come back by
/// themselves, so nobody is ended for lack of them.
fn of_files(files: Files) -> Step {
    let free = files.limit.saturating_sub(files.used);
    if free < files.kept_back / 2 {
        Step::Closed
    } else if free < files.kept_back * 3 / 4 {
        Step::Share
    } else if free < files.kept_back {
        Step::Trim
    } else {
        Step::Calm
    }
}
