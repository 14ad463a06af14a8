//! Messages as protobuf (proto3): `docs/shield.proto` is the published form.

use prost::Message;

use super::{Codec, Login, MESSAGE_MAX, Malformed, Register, Reply};
use crate::config::FrameCodec;

pub(super) const CODEC: Codec = Codec { codec: FrameCodec::Protobuf, write, register, login };

#[derive(Clone, PartialEq, Message)]
struct HeartbeatReply {
    #[prost(string, tag = "1")]
    srv_time: String,
    #[prost(string, optional, tag = "2")]
    token: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    expires_at: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TokenReply {
    #[prost(string, optional, tag = "1")]
    token: Option<String>,
    #[prost(uint64, tag = "2")]
    expires_at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Error {
    #[prost(string, tag = "1")]
    message: String,
}

/// `Register` of the published form. Of a field that stands twice a reader of proto3 takes the last: read as
/// repeated fields, which are written alike, both are seen.
#[derive(Clone, PartialEq, Message)]
struct Registration {
    #[prost(string, repeated, tag = "1")]
    client_id: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    proof: Vec<String>,
}

/// `Login` of the published form.
#[derive(Clone, PartialEq, Message)]
struct LoggingIn {
    #[prost(string, repeated, tag = "1")]
    client_id: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    token: Vec<String>,
}

fn write(reply: &Reply<'_>, to: &mut Vec<u8>) {
    let written = match reply {
        Reply::Heartbeat(stamp, granted) => HeartbeatReply {
            srv_time: stamp.to_string(),
            token: granted.map(|granted| granted.token.into()),
            expires_at: granted.map(|granted| granted.expires_at),
        }
        .encode(to),
        Reply::Token(granted) => {
            TokenReply { token: Some(granted.token.into()), expires_at: granted.expires_at }.encode(to)
        }
        Reply::LoggedIn { expires_at } => TokenReply { token: None, expires_at: *expires_at }.encode(to),
        Reply::Error(message) => Error { message: (*message).into() }.encode(to),
    };
    written.ok(); // a vector has room
}

fn register(bytes: &[u8]) -> Result<Register, Malformed> {
    let Registration { client_id, proof } = read(bytes)?;
    Ok(Register { client_id: once(client_id)?.ok_or(Malformed)?, proof: once(proof)? })
}

fn login(bytes: &[u8]) -> Result<Login, Malformed> {
    let LoggingIn { client_id, token } = read(bytes)?;
    Ok(Login { client_id: once(client_id)?.ok_or(Malformed)?, token: once(token)?.ok_or(Malformed)? })
}

fn read<M: Message + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    if bytes.len() > MESSAGE_MAX {
        return Err(Malformed);
    }
    M::decode(bytes).map_err(|_| Malformed)
}

fn once(values: Vec<String>) -> Result<Option<Box<str>>, Malformed> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(Into::into)),
        (_, Some(_)) => Err(Malformed),
    }
}
