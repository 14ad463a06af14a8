//! The pure half of Portcullis: protocols, routing, limits and the stages of a session.
//!
//! Nothing here opens a socket, reads a file, asks the clock or draws a random number: time and
//! bytes are arguments, so every schedule is a unit test. What the operator wrote becomes a
//! [`config::Config`]; from it comes one immutable [`snapshot::Snapshot`]; and each session walks the
//! stages of [`opening`] until its bytes flow.

// A new variant must be looked at wherever one is told from another; a `_` arm would swallow it.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod allow;
pub mod balance;
pub mod census;
pub mod config;
pub mod endpoint;
pub mod health;
pub mod limit;
pub mod name;
pub mod opening;
pub mod outcome;
pub mod overload;
mod passphrase;
pub mod pool;
pub mod resolver;
pub mod snapshot;
pub mod ticket;
pub mod tls;
pub mod token;
pub mod unit;
pub mod upstream;
pub mod wheel;
pub mod wire;
