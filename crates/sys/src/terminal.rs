//! The terminal that a descriptor is.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// How many characters a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// In a line; 0 when the terminal does not know.
    pub columns: u16,
    /// Lines; 0 when the terminal does not know.
    pub rows: u16,
}

/// Asks a terminal for its size.
///
/// # Errors
/// The kernel's: ENOTTY when it is no terminal.
pub fn size(terminal: impl AsFd) -> io::Result<Size> {
    let size = tcgetwinsize(terminal)?;
    Ok(Size { columns: size.ws_col, rows: size.ws_row })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_has_no_size() {
        let file = std::fs::File::open("/dev/null");
        assert!(file.is_ok_and(|file| size(file).is_err()));
    }
}
