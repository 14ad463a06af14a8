//! The splice path: socket to pipe to socket, without a copy to this process.

use std::io;

use crate::io::Io;
use crate::leg::Leg;
use crate::relay::{Flow, Path, Pumped, READS};

/// A move of fewer bytes is small.
const SMALL_MOVE: usize = 8 * 1024;
/// So many small moves in a row send a direction back to copying.
const DEMOTE_AFTER: u8 = 8;

impl Flow {
    /// One turn of splicing; `None` when the path was changed.
    pub(super) fn splice(&mut self, from: &mut Leg, to: &mut Leg, io: &mut Io) -> Option<Pumped> {
        let (Some(source), Some(target)) = (from.plain(), to.plain()) else { return self.demote(io) };
        let Self { path: Path::Splice { small }, pipe: held, .. } = self else { return None };
        if to.is_blocked() {
            return Some(Pumped::Blocked);
        }
        if to.is_shut() || to.is_broken() {
            return self.demote(io);
        }
        let mut stop = Pumped::Spent;
        for _ in 0..READS {
            let Some(pipe) = held.as_mut() else {
                let Some(pipe) = io.pipes.take() else { return self.demote(io) };
                *held = Some(pipe);
                continue;
            };
            if pipe.held() > 0 {
                match pipe.drain(target) {
                    Ok(_) => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Pumped::Blocked),
                    Err(_) => {
                        to.mark_broken();
                        return self.demote(io);
                    }
                }
            }
            match pipe.fill(source) {
                Ok(0) => {
                    from.mark_ended();
                    stop = Pumped::Ended;
                    break;
                }
                Ok(count) => {
                    self.bytes += count as u64;
                    self.spliced += count as u64;
                    self.heard = true;
                    *small = if count < SMALL_MOVE { *small + 1 } else { 0 };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !from.is_broken() => {
                    stop = Pumped::Drained;
                    break;
                }
                Err(_) => {
                    from.mark_broken();
                    from.mark_ended();
                    stop = Pumped::Ended;
                    break;
                }
            }
        }
        self.rest(stop, from, io)
    }

    /// The source has paused: the pipe goes back, and small moves go back to copying.
    fn rest(&mut self, stop: Pumped, from: &mut Leg, io: &mut Io) -> Option<Pumped> {
        if self.holds_bytes() {
            return Some(stop);
        }
        self.release(io);
        if stop == Pumped::Drained {
            from.mark_drained();
        }
        if matches!(self.path, Path::Splice { small, .. } if small >= DEMOTE_AFTER) {
            self.path = Path::Copy { large: 0 };
        }
        Some(stop)
    }

    /// Moves what the pipe holds to `to`, as far as there is room; nothing is read into it.
    pub(crate) fn empty_pipe(&mut self, to: &mut Leg) {
        let (Some(pipe), Some(target)) = (&mut self.pipe, to.plain()) else {
            return;
        };
        while pipe.held() > 0 {
            match pipe.drain(target) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return to.mark_broken(),
            }
        }
    }

    /// Back to copying at once.
    fn demote(&mut self, io: &mut Io) -> Option<Pumped> {
        self.release(io);
        self.path = Path::Copy { large: 0 };
        None
    }
}
