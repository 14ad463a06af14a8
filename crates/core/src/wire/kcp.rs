//! KCP as kcp-go v5 and C ikcp speak it: reliable streams over datagrams, without I/O.
//!
//! A datagram on the wire is, from the outside in: the cipher's header ([`crypt`]), a forward error
//! correction header ([`fec`], absent between peers without it), then one or more segments ([`segment`]).
//! [`arq`] is the machine that turns segments into a stream and back; a [`conversation`] is that in its
//! framing. What is written leaves through an [`outbox`].

pub mod arq;
pub mod conversation;
pub mod crypt;
pub mod fec;
pub mod outbox;
pub mod roster;
pub mod segment;
