//! Forward error correction as klauspost's default matrix does it.
