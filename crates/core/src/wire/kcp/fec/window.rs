//! Which groups are looked at: the newest and three behind it, on the circle of group numbers.

/// How many groups around the newest one are taken at their word.
const REACH: u32 = 3;
/// How many frames in a row must agree on another place before the window goes there.
const CONVINCED: u8 = 3;

/// The newest group, and where else frames claim to be.
///
/// One frame from far off (a forged one, a stateless answer) moves nothing: it takes some in a row that are near
/// each other and none within the window between them. So a real leap costs two frames, and a window that was
/// moved by a liar comes back with three of the truth.
#[derive(Debug, Default)]
pub(super) struct Window {
    newest: Option<u32>,
    rumour: u32,
    heard: u8,
}

impl Window {
    /// Is this group, one of `circle` many, within the window? Moves the window when it must.
    pub(super) fn admits(&mut self, group: u32, circle: u32) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(group);
            return true;
        };
        let ahead = distance(newest, group, circle);
        if ahead <= REACH {
            self.newest = Some(group);
            self.heard = 0;
            return true;
        }
        if circle - ahead <= REACH {
            self.heard = 0;
            return true;
        }
        let near = distance(self.rumour, group, circle);
        self.heard = if near <= REACH || circle - near <= REACH { self.heard + 1 } else { 1 };
        self.rumour = group;
        if self.heard < CONVINCED {
            return false;
        }
        self.newest = Some(group);
        self.heard = 0;
        true
    }

    /// Is this group still within the window?
    pub(super) fn holds(&self, group: u32, circle: u32) -> bool {
        self.newest.is_some_and(|newest| distance(group, newest, circle) <= REACH)
    }
}

/// How far `to` is ahead of `from`, both below `circle`.
fn distance(from: u32, to: u32, circle: u32) -> u32 {
    if to >= from { to - from } else { circle - from + to }
}
