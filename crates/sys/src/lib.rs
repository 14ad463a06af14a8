//! The Linux half of Portcullis: system calls behind a safe API.
//!
//! The only crate with `unsafe`. It knows sockets, pipes and epoll; it knows nothing of sessions,
//! routes or limits. Every function is one system call or a fixed short sequence of them ([`gf256`] makes
//! none: it is instructions that safe Rust cannot say); none blocks but [`epoll::Poller::wait`]. Unless a
//! function says otherwise its error is the kernel's.

#![allow(
    unsafe_code,
    reason = "this crate is the one place where system calls without a safe wrapper are made"
)]

pub mod datagram;
pub mod epoll;
pub mod gf256;
pub mod interfaces;
pub mod limits;
pub mod random;
pub mod socket;
pub mod splice;
pub mod terminal;
pub mod wake;
