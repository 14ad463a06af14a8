//! Messages as XML 1.0: a root of the message's name, one element a value, its text the value.
//!
//! | message | root | elements |
//! |---|---|---|
//! | answer to a heartbeat | `heartbeat-reply` | `srvTime`, `token` and `expires_at` when there is a new one |
//! | register | `register` | `client_id`, `proof` where it is asked for |
//! | login | `login` | `client_id`, `token` |
//! | token | `token-reply` | `token` after a registration, `expires_at` |
//! | error | `error` | `message` |
//!
//! What is read may have a declaration, white space and unknown elements of text. It may have no document type, no
//! reference of any kind, no instruction, no section of character data, no attribute and no comment: nothing in it
//! stands for something else.

#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not asked for is refused")]

use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::{Codec, Login, MESSAGE_MAX, Malformed, Register, Reply};
use crate::config::FrameCodec;

pub(super) const CODEC: Codec = Codec { codec: FrameCodec::Xml, write, register, login };

/// The values that are read.
#[derive(Default)]
struct Values {
    client_id: Option<Box<str>>,
    token: Option<Box<str>>,
    proof: Option<Box<str>>,
}

fn write(reply: &Reply<'_>, to: &mut Vec<u8>) {
    match reply {
        Reply::Heartbeat(stamp, granted) => element(to, "heartbeat-reply", |to| {
            value(to, "srvTime", &stamp.to_string());
            if let Some(granted) = granted {
                value(to, "token", granted.token);
                value(to, "expires_at", &granted.expires_at.to_string());
            }
        }),
        Reply::Token(granted) => element(to, "token-reply", |to| {
            value(to, "token", granted.token);
            value(to, "expires_at", &granted.expires_at.to_string());
        }),
        Reply::LoggedIn { expires_at } => {
            element(to, "token-reply", |to| value(to, "expires_at", &expires_at.to_string()));
        }
        Reply::Error(message) => element(to, "error", |to| value(to, "message", message)),
    }
}

fn element(to: &mut Vec<u8>, name: &str, inner: impl FnOnce(&mut Vec<u8>)) {
    to.extend_from_slice(format!("<{name}>").as_bytes());
    inner(to);
    to.extend_from_slice(format!("</{name}>").as_bytes());
}

fn value(to: &mut Vec<u8>, name: &str, text: &str) {
    element(to, name, |to| to.extend_from_slice(escape(text).as_bytes()));
}

fn register(bytes: &[u8]) -> Result<Register, Malformed> {
    let values = read(bytes, "register")?;
    Ok(Register { client_id: values.client_id.ok_or(Malformed)?, proof: values.proof })
}

fn login(bytes: &[u8]) -> Result<Login, Malformed> {
    let values = read(bytes, "login")?;
    let (client_id, token) = (values.client_id.ok_or(Malformed)?, values.token.ok_or(Malformed)?);
    Ok(Login { client_id, token })
}

/// Reads a root of elements of text, two levels and no more.
fn read(bytes: &[u8], root: &str) -> Result<Values, Malformed> {
    let text = str::from_utf8(bytes).map_err(|_| Malformed)?;
    if text.len() > MESSAGE_MAX {
        return Err(Malformed);
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        match next(&mut reader)? {
            Event::Decl(_) => {}
            Event::Start(start) if start.name().as_ref() == root => break,
            event => blank(&event)?,
        }
    }
    let values = values(&mut reader)?;
    loop {
        match next(&mut reader)? {
            Event::Eof => return Ok(values),
            event => blank(&event)?,
        }
    }
}

/// The next event; a tag with attributes is none.
fn next<'b>(reader: &mut Reader<&'b [u8]>) -> Result<Event<'b>, Malformed> {
    match reader.read_event() {
        Ok(Event::Start(start)) if !start.attributes_raw().trim_ascii().is_empty() => Err(Malformed),
        read => read.map_err(|_| Malformed),
    }
}

/// Reads the elements of the root, to its end.
fn values(reader: &mut Reader<&[u8]>) -> Result<Values, Malformed> {
    let mut values = Values::default();
    loop {
        match next(reader)? {
            Event::End(_) => return Ok(values),
            Event::Start(start) => {
                let text = text_of(reader)?;
                values.put(start.name().as_ref(), text)?;
            }
            event => blank(&event)?,
        }
    }
}

/// The text of an element that was begun, to its end.
fn text_of(reader: &mut Reader<&[u8]>) -> Result<Box<str>, Malformed> {
    let mut value = String::new();
    loop {
        match next(reader)? {
            Event::Text(text) => value.push_str(&text),
            Event::End(_) => return Ok(value.into()),
            _ => return Err(Malformed),
        }
    }
}

/// Only white space may stand between elements.
fn blank(event: &Event<'_>) -> Result<(), Malformed> {
    match event {
        Event::Text(text) if text.trim_ascii().is_empty() => Ok(()),
        _ => Err(Malformed),
    }
}

impl Values {
    fn put(&mut self, name: &str, text: Box<str>) -> Result<(), Malformed> {
        let place = match name {
            "client_id" => &mut self.client_id,
            "token" => &mut self.token,
            "proof" => &mut self.proof,
            _ => return Ok(()),
        };
        if place.replace(text).is_some() { Err(Malformed) } else { Ok(()) }
    }
}
