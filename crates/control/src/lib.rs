//! The control plane of Portcullis: names, logs, admin and metrics.
//!
//! Everything here may be slow, allocate and wait; nothing here is on the path of bytes. It touches the
//! data plane only through its handle, and when it stands still the sessions that are open go on.

pub mod admin;
pub mod capacity;
mod devices;
pub mod drain;
pub mod export;
pub mod log;
pub mod plane;
pub mod resolve;
pub mod status;
pub mod store;
