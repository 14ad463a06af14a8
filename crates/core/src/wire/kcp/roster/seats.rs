//! The sessions of one remote address: nearly always one.

/// A session of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) conv: u32,
    /// Whether it showed that it receives what is sent to its address.
    pub(super) proven: bool,
    pub(super) token: u64,
}

/// At least one session, in the order in which they began.
#[derive(Debug)]
pub(super) enum Seats {
    /// Without an allocation of its own.
    One(Seat),
    /// Never empty.
    Several(Vec<Seat>),
}

/// What became of a removal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// There was no such session.
    Nobody,
    /// Others stay.
    One,
    /// Nobody stays; the seats are to be dropped.
    Last,
}

impl Seats {
    pub(super) fn all(&self) -> &[Seat] {
        match self {
            Self::One(seat) => std::slice::from_ref(seat),
            Self::Several(seats) => seats,
        }
    }

    pub(super) fn find(&self, conv: u32) -> Option<Seat> {
        self.all().iter().find(|seat| seat.conv == conv).copied()
    }

    pub(super) fn unproven(&self) -> usize {
        self.all().iter().filter(|seat| !seat.proven).count()
    }

    /// Whose parity it is that names no conv: the newest session that has proven itself, else the newest.
    pub(super) fn for_parity(&self) -> Option<Seat> {
        let newest_first = || self.all().iter().rev();
        newest_first().find(|seat| seat.proven).or_else(|| newest_first().next()).copied()
    }

    /// Adds the newest session. There must be no other of its conv.
    pub(super) fn add(&mut self, seat: Seat) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, seat]),
            Self::Several(seats) => seats.push(seat),
        }
    }

    pub(super) fn remove(&mut self, conv: u32) -> Removed {
        let Some(place) = self.all().iter().position(|seat| seat.conv == conv) else {
            return Removed::Nobody;
        };
        let Self::Several(seats) = self else { return Removed::Last };
        seats.remove(place);
        match seats[..] {
            [] => return Removed::Last,
            [last] => *self = Self::One(last),
            [..] => {}
        }
        Removed::One
    }

    /// Marks the session of `conv` as proven and returns the tokens of all that began before it.
    pub(super) fn prove(&mut self, conv: u32) -> Vec<u64> {
        let Some(place) = self.all().iter().position(|seat| seat.conv == conv) else { return Vec::new() };
        let seats = match self {
            Self::One(seat) => std::slice::from_mut(seat),
            Self::Several(seats) => seats,
        };
        let Some((older, [seat, ..])) = seats.split_at_mut_checked(place) else { return Vec::new() };
        seat.proven = true;
        older.iter().map(|seat| seat.token).collect()
    }
}
