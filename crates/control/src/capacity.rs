//! How many sessions the process has room for.

/// The most sessions of one process, whatever the kernel lets it have.
const MOST: u64 = 4_000_000;

/// What a process holds besides sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The limit of open files in force.
    pub open_files: u64,
    /// Worker threads.
    pub workers: usize,
    /// Listening sockets.
    pub sockets: usize,
}

/// Returns how many sessions `needs` leaves room for; at least 1.
///
/// A session holds two files, its client's and its endpoint's. Kept back: 64 for the program itself (log
/// files, standard streams, reloads), 64 clients of the admin listener and 64 for name look-ups, but for these
/// at most a quarter of all; for the pipes of splicing 128 per worker, but at most an eighth of all; 4 for each
/// worker's poller and doorbell; and twice the listening sockets, because a reload holds the old and the new.
#[must_use]
pub fn sessions(needs: Needs) -> u32 {
    let workers = needs.workers as u64;
    let program = (64 + 64 + 64).min(needs.open_files / 4);
    let pipes = (128 * workers).min(needs.open_files / 8);
    let kept_back = program + pipes + 4 * workers + 2 * needs.sockets as u64;
    let sessions = (needs.open_files.saturating_sub(kept_back) / 2).clamp(1, MOST);
    u32::try_from(sessions).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_take_two_files_each_of_what_is_left() {
        for (open_files, workers, sockets, want) in [
            (1024, 2, 3, 345),            // 1024 - 192 - 128 - 8 - 6 = 690
            (256, 2, 1, 75),              // 256 - 64 - 32 - 8 - 2 = 150
            (20_000, 2, 3, 9769),         // 20,000 - 192 - 256 - 8 - 6 = 19,538
            (1_048_576, 64, 10, 519_958), // 1,048,576 - 192 - 8192 - 256 - 20 = 1,039,916
            (16, 2, 4, 1),
            (0, 0, 0, 1),
            (u64::MAX, 2, 3, 4_000_000),
        ] {
            assert_eq!(sessions(Needs { open_files, workers, sockets }), want, "{open_files} files");
        }
    }
}
