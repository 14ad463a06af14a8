//! Lost data from parity: copies are held while a parity may come, and nothing is computed unless one does and
//! data is missing.

use super::detect::Detector;
use super::matrix::Basis;
use super::window::Window;
use super::{Kind, MulAcc, SHARD_MAX, Shards};

/// After this many groups in a row without any parity no more copies are held until one comes: a slow sender
/// makes none (see `STALE` of the encoder).
const BARREN: u8 = 4;

/// Recovers lost data shards of a peer, whatever its shards are.
///
/// Data frames are never held back: their segments are read when they come, and the decoder is told of them. Holds
/// at most `data` shards of at most 1500 bytes for each of four groups, and 4 KiB while it does not know the
/// peer's shards; none of it after [`Decoder::rest`].
#[derive(Debug)]
pub struct Decoder {
    mul_acc: MulAcc,
    detector: Detector,
    window: Window,
    groups: Vec<Group>,
    /// The emptied room of an earlier group.
    spare: Room,
    /// Groups in a row that went by without parity.
    barren: u8,
    recovered: u64,
}

/// What is there of one group.
#[derive(Debug)]
struct Group {
    number: u32,
    /// A bit for each place whose shard has come.
    come: [u64; 4],
    /// How many of them were data.
    data: u8,
    room: Room,
    parity: bool,
    /// All data is there, or was recovered, or never will be: nothing is held, what still comes is late.
    done: bool,
}

/// Copies of shards behind one another.
#[derive(Debug, Default)]
struct Room {
    /// Places and ends of the shards in `bytes`, in the order they came.
    shards: Vec<(u8, usize)>,
    bytes: Vec<u8>,
}

impl Decoder {
    /// A decoder that believes in `hint` until frames contradict it: what the listener itself is configured to.
    #[must_use]
    pub fn new(mul_acc: MulAcc, hint: Option<Shards>) -> Self {
        Self {
            mul_acc,
            detector: Detector::new(hint),
            window: Window::default(),
            groups: Vec::new(),
            spare: Room::default(),
            barren: 0,
            recovered: 0,
        }
    }

    /// Takes note of a data frame; `recovered` is given the KCP bytes of every lost one that can be made by it.
    ///
    /// The frame's own segments are not passed on: the caller has them.
    pub fn data(&mut self, seqid: u32, shard: &[u8], mut recovered: impl FnMut(&[u8])) {
        self.take(Kind::Data, seqid, shard, &mut recovered);
    }

    /// Takes a parity frame; `recovered` is given the KCP bytes of every lost data frame that can be made by it.
    pub fn parity(&mut self, seqid: u32, shard: &[u8], mut recovered: impl FnMut(&[u8])) {
        self.take(Kind::Parity, seqid, shard, &mut recovered);
    }

    /// What the peer is believed to use; `None` before anything is known.
    #[must_use]
    pub fn shards(&self) -> Option<Shards> {
        self.detector.known()
    }

    /// What the peer certainly uses; `None` until enough frames have shown it.
    #[must_use]
    pub fn certain(&self) -> Option<Shards> {
        self.detector.certain()
    }

    #[cfg(test)]
    pub(super) fn believe(&mut self, shards: Shards) {
        self.detector.believe(shards);
    }

    /// How many lost data frames were recovered.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Gives all memory back; what has been learnt of the peer stays.
    pub fn rest(&mut self) {
        self.detector.rest();
        self.groups = Vec::new();
        self.spare = Room::default();
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn held(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| group.room.held()).sum();
        let slots = self.groups.capacity() * size_of::<Group>();
        self.detector.held() + self.spare.held() + slots + groups
    }

    fn take(&mut self, kind: Kind, seqid: u32, shard: &[u8], recovered: &mut dyn FnMut(&[u8])) {
        if self.detector.observe(kind, seqid) {
            self.groups.clear();
            self.spare = Room::default();
            self.window = Window::default();
        }
        if kind == Kind::Parity {
            self.barren = 0;
        }
        let Some(shards) = self.detector.known() else { return };
        let Some((number, place)) = shards.place(seqid) else { return };
        if !(2..=SHARD_MAX).contains(&shard.len()) {
            return;
        }
        if !self.window.admits(number, shards.groups()) {
            return;
        }
        self.retire(shards.groups());
        if self.barren >= BARREN {
            return;
        }
        let (mul_acc, certain) = (self.mul_acc, self.detector.certain().is_some());
        let Some(group) = self.group(number) else { return };
        if shards.kind(seqid) != kind {
            // Not a group of this code, or not only: nothing is made of it.
            self.spare(number);
            return;
        }
        group.parity |= kind == Kind::Parity;
        if group.done || !group.mark(place) {
            return;
        }
        group.data += u8::from(kind == Kind::Data);
        if group.data == shards.data() {
            self.spare(number);
            return;
        }
        group.room.hold(place, shard, shards);
        // By another code than theirs, shards of equal length make a frame that looks right and is not: conv and
        // command are alike in all, and only the number and the payload are wrong.
        if certain && group.room.shards.len() >= usize::from(shards.data()) {
            self.recovered += group.recover(shards, mul_acc, recovered);
            self.spare(number);
        }
    }

    /// Drops the groups that the window has left behind.
    fn retire(&mut self, circle: u32) {
        let mut index = 0;
        while let Some(group) = self.groups.get(index) {
            if self.window.holds(group.number, circle) {
                index += 1;
                continue;
            }
            self.barren = if group.parity { 0 } else { self.barren.saturating_add(1) };
            let group = self.groups.swap_remove(index);
            self.keep(group.room);
        }
        if self.barren >= BARREN {
            self.spare = Room::default();
        }
    }

    /// The group of that number, made when it is not there.
    fn group(&mut self, number: u32) -> Option<&mut Group> {
        let index = match self.groups.iter().position(|group| group.number == number) {
            Some(index) => index,
            None => {
                let room = std::mem::take(&mut self.spare);
                self.groups.push(Group { number, come: [0; 4], data: 0, room, parity: false, done: false });
                self.groups.len() - 1
            }
        };
        self.groups.get_mut(index)
    }

    /// Ends a group whose data is complete, and keeps its memory for the next.
    fn spare(&mut self, number: u32) {
        let Some(group) = self.groups.iter_mut().find(|group| group.number == number) else { return };
        group.done = true;
        let room = std::mem::take(&mut group.room);
        self.keep(room);
    }

    /// Empties a room for the next group, unless there is a larger one.
    fn keep(&mut self, mut room: Room) {
        if room.bytes.capacity() > self.spare.bytes.capacity() {
            room.shards.clear();
            room.bytes.clear();
            self.spare = room;
        }
    }
}

impl Group {
    /// Marks a place as come; `false` when it was before.
    fn mark(&mut self, place: u8) -> bool {
        let Some(word) = self.come.get_mut(usize::from(place / 64)) else { return false };
        let bit = 1 << (place % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    fn has(&self, place: u8) -> bool {
        self.come.get(usize::from(place / 64)).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Makes the missing data of as many held shards as the group has data, and returns how many were sound.
    fn recover(&self, shards: Shards, mul_acc: MulAcc, recovered: &mut dyn FnMut(&[u8])) -> u64 {
        let basis = Basis::new(self.room.shards.iter().map(|&(place, _)| place).collect());
        let longest = self.room.each().map(<[u8]>::len).max().unwrap_or(0);
        let mut made = vec![0; longest];
        let mut sound = 0;
        for place in (0..shards.data()).filter(|&place| !self.has(place)) {
            made.fill(0);
            for (coefficient, shard) in basis.row(place).zip(self.room.each()) {
                mul_acc(coefficient, shard, &mut made);
            }
            if let Some(segments) = segments(&made) {
                recovered(segments);
                sound += 1;
            }
        }
        sound
    }
}

impl Room {
    fn held(&self) -> usize {
        self.bytes.capacity() + self.shards.capacity() * size_of::<(u8, usize)>()
    }

    /// Adds a copy of a shard. Grows by doubling, but never above what a group can come to hold.
    fn hold(&mut self, place: u8, shard: &[u8], shards: Shards) {
        let need = self.bytes.len() + shard.len();
        if need > self.bytes.capacity() {
            let most = usize::from(shards.data()) * SHARD_MAX;
            let room = (2 * self.bytes.capacity()).min(most).max(need);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(shard);
        self.shards.push((place, self.bytes.len()));
    }

    /// The held shards in the order they came.
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.shards.iter().map(|&(_, end)| end));
        begins.zip(&self.shards).filter_map(|(begin, &(_, end))| self.bytes.get(begin..end))
    }
}

/// The KCP bytes of a recovered shard, which has its own size in front and nothing but zeros behind.
///
/// `None` when it is not so: the group was not of one code, because shards changed or somebody lied.
fn segments(shard: &[u8]) -> Option<&[u8]> {
    let size = usize::from(u16::from_le_bytes(*shard.first_chunk::<2>()?));
    let segments = shard.get(2..size)?;
    let padding = shard.get(size..)?;
    (!segments.is_empty() && padding.iter().all(|&byte| byte == 0)).then_some(segments)
}

#[cfg(test)]
mod tests;
