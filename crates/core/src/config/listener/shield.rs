//! What frame mode and device tokens need of the listener that they stand at.

use super::{FRAMES, HELLO, IDLE_TIMEOUT, LIMITS, TOKENS, WS};
use crate::config::frames::rows::{FORWARD_HEARTBEATS, HEARTBEAT_INTERVAL};
use crate::config::key::Reader;
use crate::config::limit::rows::MESSAGE_RATE;
use crate::config::tokens::rows::ALLOW_PLAINTEXT;
use crate::config::{Framing, Hello, Listener};
use crate::unit::show_duration;
use crate::wire::kcp::crypt::Cipher;

/// Tells keys that do not go together.
pub(super) fn check(reader: &Reader<'_>, listener: &Listener) {
    check_frames(reader, listener);
    check_tokens(reader, listener);
    check_limits(reader, listener);
}

fn check_frames(reader: &Reader<'_>, listener: &Listener) {
    if listener.frames.is_none() {
        return;
    }
    let keyless = match listener.hello {
        Hello::None | Hello::Sni => true,
        Hello::LengthPrefixed | Hello::Frontd | Hello::Funny | Hello::Header => false,
    };
    if !keyless {
        let at = if reader.has(HELLO.name) { HELLO.name } else { FRAMES.name };
        let message = "a client that speaks in frames has its first frame in the place of a hello";
        reader.error(at, message, "`hello = \"none\"`, or \"sni\", beside `frames`");
    }
    if let Some(ws) = &listener.ws {
        for (key, framing) in [("framing_up", ws.framing_up), ("framing_down", ws.framing_down)] {
            if framing == Framing::LengthPrefixed {
                let message = format!("`{key} = \"length-prefixed\"` does not go with `frames`");
                let hint = "\"raw\": frames have a length of their own, and messages of ws are pieces of their stream";
                reader.inside(WS.name).error(key, message, hint);
            }
        }
    }
}

fn check_tokens(reader: &Reader<'_>, listener: &Listener) {
    let Some(tokens) = &listener.tokens else { return };
    if listener.frames.is_none() && !reader.has(FRAMES.name) {
        let hint = "add `frames = {}`: tokens are asked and given in frames";
        reader.error(TOKENS.name, "`tokens` needs `frames`", hint);
    }
    let clear = is_clear(listener);
    if clear && !tokens.allow_plaintext {
        let hint = "protocol \"tls\" or \"wss\", or kcp with `crypt = \"aes-gcm\"`; `allow_plaintext = true` takes the risk";
        reader.error(TOKENS.name, "tokens would pass where anybody on the way can read and use them", hint);
    }
    if !clear && tokens.allow_plaintext {
        let hint = "take it out: were the protocol changed one day, nobody would be told";
        let tokens = reader.inside(TOKENS.name);
        tokens.refuse(&[ALLOW_PLAINTEXT.name], "where tokens are never sent in clear", hint);
    }
}

fn check_limits(reader: &Reader<'_>, listener: &Listener) {
    let limits = reader.inside(LIMITS.name);
    if listener.frames.is_none() && !reader.has(FRAMES.name) {
        let (why, hint) = ("without `frames`", "take it out, or add `frames = {}`: only frames are counted");
        limits.refuse(&[MESSAGE_RATE.name], why, hint);
        limits.inside("per_session").refuse(&[MESSAGE_RATE.name], why, hint);
    }
}

/// Tells what runs but may not be meant.
pub(super) fn advise(reader: &Reader<'_>, listener: &Listener) {
    let (Some(frames), inside) = (&listener.frames, reader.inside(FRAMES.name)) else { return };
    if frames.heartbeat_interval >= listener.idle_timeout {
        let text = format!(
            "`heartbeat_interval` ({}) is not below `idle_timeout` ({}): clients with nothing to say but heartbeats are \
             cut between two of them",
            show_duration(frames.heartbeat_interval),
            show_duration(listener.idle_timeout)
        );
        let set = inside.has(HEARTBEAT_INTERVAL.name);
        let at = if set { inside.at(HEARTBEAT_INTERVAL.name) } else { reader.at(IDLE_TIMEOUT.name) };
        reader.report.warn(&at, text);
    }
    let Some(tokens) = &listener.tokens else { return };
    if frames.forward_heartbeats {
        let text = "endpoints answer the heartbeats (`forward_heartbeats`), so that no answer brings a new token: devices \
                    must log in with the old one until it ends, and register again";
        reader.report.warn(&inside.at(FORWARD_HEARTBEATS.name), text);
    }
    if tokens.allow_plaintext && is_clear(listener) {
        let text = "DEVICE TOKENS PASS IN CLEAR: whoever sees one on its way is that device to this gateway; \
                    protocol \"tls\" or \"wss\", or kcp with `crypt = \"aes-gcm\"`, hides them";
        reader.report.warn(&reader.inside(TOKENS.name).at(ALLOW_PLAINTEXT.name), text);
    }
}

/// Can anybody on the way read or change what a client sends? Ciphers of KCP that only hide do not keep from changing.
fn is_clear(listener: &Listener) -> bool {
    let sealed = listener.kcp.as_ref().is_some_and(|kcp| kcp.cipher == Cipher::AesGcm);
    listener.tls.is_none() && !sealed
}
