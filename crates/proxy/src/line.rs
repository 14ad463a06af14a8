//! The line of unfinished hellos, oldest first: a doubly linked list through slot numbers.

/// Nobody.
const NONE: u32 = u32::MAX;

/// Who waits, in order of arrival. Joining, leaving and asking for the oldest are constant time.
#[derive(Debug)]
pub(crate) struct Line {
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self { links: Vec::new(), oldest: NONE, newest: NONE, length: 0 }
    }
}

impl Line {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Who waits longest.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts `slot` at the end. It must not be in the line.
    pub(crate) fn join(&mut self, slot: u32) {
        let index = slot as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, Link { before: NONE, after: NONE });
        }
        self.links[index] = Link { before: self.newest, after: NONE };
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].after = slot,
        }
        self.newest = slot;
        self.length += 1;
    }

    /// Takes `slot` out. It must be in the line.
    pub(crate) fn leave(&mut self, slot: u32) {
        let Link { before, after } = self.links[slot as usize];
        match before {
            NONE => self.oldest = after,
            before => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.newest = before,
            after => self.links[after as usize].before = before,
        }
        self.length -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leaves_first_whoever_left_between() {
        let mut line = Line::default();
        (0..6).for_each(|slot| line.join(slot));
        for gone in [0, 3, 5] {
            line.leave(gone);
        }
        line.join(3);
        let mut order = Vec::new();
        while let Some(slot) = line.oldest() {
            line.leave(slot);
            order.push(slot);
        }
        assert_eq!(order, [1, 2, 4, 3]);
        assert_eq!(line.len(), 0);
    }
}
