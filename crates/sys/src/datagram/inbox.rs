//! What came in with one system call.

use std::alloc::{self, Layout};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::slice;

use super::control::{self, Control};
use super::name::{self, NAME_LEN, Name};
use super::{BATCH, Datagrams, Local};

/// Room of a slot for what GRO puts together: the longest IP packet there is.
const TRAIN_ROOM: usize = 65_536;

/// Room for what one [`Datagrams::receive`] takes; reused from turn to turn and from socket to socket.
///
/// Its memory is touched only as far as datagrams reach: of the default 4 MiB a page of each slot (256 KiB)
/// until trains come.
pub struct Inbox {
    headers: Vec<libc::mmsghdr>,
    /// How many of them the last receive has filled.
    filled: usize,
    /// What the headers point to.
    slots: NonNull<[Slot]>,
    /// What the slots point to.
    bytes: NonNull<u8>,
    layout: Layout,
    room: usize,
}

/// What the kernel writes beside the bytes.
struct Slot {
    name: Name,
    control: Control,
    part: libc::iovec,
}

/// A datagram that came in.
#[derive(Debug)]
pub struct Incoming<'b> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to; `None` on a connected socket.
    pub to: Option<Local>,
    /// What is in it, as far as the slot has room.
    pub bytes: &'b mut [u8],
    /// It, or more behind it, did not fit into the slot.
    pub truncated: bool,
}

// SAFETY: the pointers are to memory that the inbox alone owns.
unsafe impl Send for Inbox {}

impl Default for Inbox {
    /// Room for [`BATCH`] trains.
    fn default() -> Self {
        Self::new(BATCH, TRAIN_ROOM)
    }
}

impl Inbox {
    /// Makes `slots` (1 to 1,024) slots of `room` (1 to 65,536) bytes each; what is outside is taken as the nearest.
    ///
    /// A room below 65,507 cuts trains: for sockets without them only.
    #[must_use]
    pub fn new(slots: usize, room: usize) -> Self {
        let (count, room) = (slots.clamp(1, 1_024), room.clamp(1, TRAIN_ROOM));
        let stride = room.next_multiple_of(64);
        // No more aligned than `calloc` gives by itself: for more, the standard library writes the zeros.
        #[expect(clippy::expect_used, reason = "at most 1,024 × 65,536 bytes: no overflow")]
        let layout = Layout::array::<u64>(count * stride / 8).expect("at most 64 MiB");
        // SAFETY: the size is not zero.
        let Some(bytes) = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }) else {
            alloc::handle_alloc_error(layout)
        };
        let slots: Box<[Slot]> = (0..count)
            .map(|index| {
                // SAFETY: within the allocation, which has `count` strides.
                let base = unsafe { bytes.add(index * stride) };
                let part = libc::iovec { iov_base: base.as_ptr().cast(), iov_len: room };
                Slot { name: name::EMPTY, control: Control::EMPTY, part }
            })
            .collect();
        let slots = NonNull::from(Box::leak(slots));
        let headers = (0..count)
            .map(|index| {
                // SAFETY: within the slice; no reference to a slot lives while the kernel may write.
                unsafe { header(slots.cast::<Slot>().add(index)) }
            })
            .collect();
        Self { headers, filled: 0, slots, bytes, layout, room }
    }

    /// Did the last receive fill every slot? Then there may be more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.headers.len()
    }

    /// The datagrams of the last receive, oldest first; all may be held at once. Trains are cut into
    /// the datagrams they were made of.
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        IterMut {
            headers: self.headers.get(..self.filled).unwrap_or_default().iter(),
            slots: self.slots.cast(),
            train: None,
            inbox: PhantomData,
        }
    }

    /// Makes the filled slots ready for the kernel again.
    fn clear(&mut self) {
        for header in self.headers.iter_mut().take(self.filled) {
            header.msg_hdr.msg_namelen = NAME_LEN;
            header.msg_hdr.msg_controllen = Control::LEN as _;
        }
        self.filled = 0;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // SAFETY: both came from `new`, with this layout, and nothing borrows from an inbox that is dropped.
        unsafe {
            drop(Box::from_raw(self.slots.as_ptr()));
            alloc::dealloc(self.bytes.as_ptr(), self.layout);
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, filled) = (self.headers.len(), self.filled);
        f.debug_struct("Inbox")
            .field("slots", &slots)
            .field("room", &self.room)
            .field("filled", &filled)
            .finish()
    }
}

impl<'b> IntoIterator for &'b mut Inbox {
    type Item = Incoming<'b>;
    type IntoIter = IterMut<'b>;

    fn into_iter(self) -> IterMut<'b> {
        self.iter_mut()
    }
}

impl Datagrams {
    /// Takes what is there, as far as `inbox` has slots, and returns how many slots it filled: at least
    /// one. What was in the inbox is gone.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there. On a connected socket also what the network says of the peer
    /// (`ConnectionRefused`), once.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        inbox.clear();
        let socket = self.socket.as_raw_fd();
        loop {
            let headers = inbox.headers.as_mut_ptr();
            let count = inbox.headers.len() as libc::c_uint;
            // SAFETY: every header points to a name, a control buffer and one part of the inbox, all
            // of the lengths told, alive, and borrowed by nobody, for `inbox` is borrowed exclusively.
            let answer = unsafe { libc::recvmmsg(socket, headers, count, 0, std::ptr::null_mut()) };
            if let Ok(filled) = usize::try_from(answer) {
                inbox.filled = filled;
                return Ok(filled);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// The datagrams of an [`Inbox`].
pub struct IterMut<'b> {
    headers: slice::Iter<'b, libc::mmsghdr>,
    /// The slot of the next header.
    slots: NonNull<Slot>,
    train: Option<Train<'b>>,
    inbox: PhantomData<&'b mut Inbox>,
}

/// What is left of a slot.
struct Train<'b> {
    from: SocketAddr,
    to: Option<Local>,
    segment: usize,
    truncated: bool,
    rest: &'b mut [u8],
}

impl fmt::Debug for IterMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("slots_left", &self.headers.len()).finish_non_exhaustive()
    }
}

impl<'b> Iterator for IterMut<'b> {
    type Item = Incoming<'b>;

    fn next(&mut self) -> Option<Incoming<'b>> {
        let train = match self.train.take() {
            Some(train) => train,
            None => self.next_slot()?,
        };
        let Train { from, to, segment, truncated, rest } = train;
        if segment == 0 || segment >= rest.len() {
            return Some(Incoming { from, to, bytes: rest, truncated });
        }
        let (bytes, rest) = rest.split_at_mut(segment);
        self.train = Some(Train { from, to, segment, truncated, rest });
        Some(Incoming { from, to, bytes, truncated: false })
    }
}

impl<'b> IterMut<'b> {
    /// The next slot whose sender can be read.
    fn next_slot(&mut self) -> Option<Train<'b>> {
        loop {
            let header = self.headers.next()?;
            let slot = self.slots;
            // SAFETY: there are as many slots as headers; one past the last is never read.
            self.slots = unsafe { slot.add(1) };
            // SAFETY: a slot of the inbox, which `'b` borrows exclusively; nobody writes to it meanwhile.
            let slot = unsafe { slot.as_ref() };
            let Some(from) = name::read(&slot.name) else { continue };
            // SAFETY: as `recvmmsg` left it, and the slot's control buffer is alive.
            let told = unsafe { control::read(&header.msg_hdr) };
            let length = (header.msg_len as usize).min(slot.part.iov_len);
            // SAFETY: `length` bytes of this slot's part, which no other slot shares and which is
            // handed out once for each borrow of the inbox.
            let rest = unsafe { slice::from_raw_parts_mut(slot.part.iov_base.cast::<u8>(), length) };
            let segment = told.segment.map_or(0, usize::from);
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            return Some(Train { from, to: told.to, segment, truncated, rest });
        }
    }
}

/// # Safety
/// `slot` outlives the header.
unsafe fn header(slot: NonNull<Slot>) -> libc::mmsghdr {
    let slot = slot.as_ptr();
    // SAFETY: all-zero is a valid header.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    // SAFETY: the slot is alive; only addresses are taken.
    unsafe {
        header.msg_hdr.msg_name = (&raw mut (*slot).name).cast();
        header.msg_hdr.msg_control = (&raw mut (*slot).control).cast();
        header.msg_hdr.msg_iov = &raw mut (*slot).part;
    }
    header.msg_hdr.msg_namelen = NAME_LEN;
    header.msg_hdr.msg_controllen = Control::LEN as _;
    header.msg_hdr.msg_iovlen = 1;
    header
}
