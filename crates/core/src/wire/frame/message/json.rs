//! Messages as JSON (RFC 8259): one object of strings and numbers.

use serde::{Deserialize, Serialize};

use super::{Codec, Login, MESSAGE_MAX, Malformed, Register, Reply};
use crate::config::FrameCodec;

pub(super) const CODEC: Codec = Codec { codec: FrameCodec::Json, write, register, login };

/// So many arrays and objects may stand in one another.
const DEPTH: usize = 16;

#[derive(Default, Serialize)]
struct Answer<'a> {
    #[serde(rename = "srvTime", skip_serializing_if = "Option::is_none")]
    srv_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// What a client says of itself. A name that stands twice is refused by serde; names of others are passed over
/// without being kept.
#[derive(Deserialize)]
struct Said {
    client_id: Box<str>,
    token: Option<Box<str>>,
    proof: Option<Box<str>>,
}

fn write(reply: &Reply<'_>, to: &mut Vec<u8>) {
    let answer = match reply {
        Reply::Heartbeat(stamp, granted) => Answer {
            srv_time: Some(stamp.to_string()),
            token: granted.map(|granted| granted.token),
            expires_at: granted.map(|granted| granted.expires_at),
            message: None,
        },
        Reply::Token(granted) => {
            Answer { token: Some(granted.token), expires_at: Some(granted.expires_at), ..Answer::default() }
        }
        Reply::LoggedIn { expires_at } => Answer { expires_at: Some(*expires_at), ..Answer::default() },
        Reply::Error(message) => Answer { message: Some(message), ..Answer::default() },
    };
    // Strings and numbers have a form in JSON, and a vector has room.
    serde_json::to_writer(to, &answer).ok();
}

fn register(bytes: &[u8]) -> Result<Register, Malformed> {
    let Said { client_id, proof, .. } = read(bytes)?;
    Ok(Register { client_id, proof })
}

fn login(bytes: &[u8]) -> Result<Login, Malformed> {
    let Said { client_id, token, .. } = read(bytes)?;
    Ok(Login { client_id, token: token.ok_or(Malformed)? })
}

fn read(bytes: &[u8]) -> Result<Said, Malformed> {
    // serde would take an array for the object.
    if bytes.len() > MESSAGE_MAX || !bytes.trim_ascii_start().starts_with(b"{") || is_deep(bytes) {
        return Err(Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| Malformed)
}

/// Are there more arrays and objects in one another than anybody needs? In what is no JSON they may be counted wrongly.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return true;
        }
    }
    false
}
