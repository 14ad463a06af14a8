//! What a request asks for: the pairs of its query, or the members of the JSON object it carries.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::Refusal;

/// The longest body that is read, in bytes.
pub(super) const BODY: usize = 16 * 1024;

/// Fields by name. Each is taken once; what nobody takes is refused at the end.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let has_body = !matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE);
        if !has_body {
            return Self::of_query(request.uri().query().unwrap_or_default());
        }
        let long = |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {BODY} bytes are read"));
        let body = to_bytes(request.into_body(), BODY).await.map_err(long)?;
        if body.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::bad("the body is no JSON object")),
            Err(error) => Err(Refusal::bad(format!("the body is no JSON: {error}"))),
        }
    }
}

impl Fields {
    /// Reads `name=value&name=value` (application/x-www-form-urlencoded, WHATWG URL section 5.1).
    pub(super) fn of_query(query: &str) -> Result<Self, Refusal> {
        let mut fields = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) = decoded.ok_or_else(|| Refusal::bad("the query is not percent-encoded"))?;
            if fields.contains_key(&name) {
                return Err(Refusal::bad(format!("`{name}` is there twice")));
            }
            fields.insert(name, Value::String(value));
        }
        Ok(Self(fields))
    }

    /// Takes a field as it is; `null` is there.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Takes a text or a number and makes of it what it stands for; `what` says what that is.
    pub(super) fn parse<T: FromStr>(&mut self, name: &str, what: impl Display) -> Result<Option<T>, Refusal> {
        let text = match self.0.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Refusal::bad(format!("`{name}` is no {what}"))),
        };
        text.parse().map(Some).map_err(|_| Refusal::bad(format!("`{name}` is no {what}")))
    }

    /// Takes a number within bounds.
    pub(super) fn number(&mut self, name: &str, from: u32, to: u32) -> Result<Option<u32>, Refusal> {
        let what = format!("whole number from {from} to {to}");
        let number = self.parse::<u32>(name, &what)?;
        match number {
            Some(number) if !(from..=to).contains(&number) => {
                Err(Refusal::bad(format!("`{name}` is no {what}")))
            }
            number => Ok(number),
        }
    }

    /// Takes yes or no; absent is no.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(false),
            Some(Value::Bool(true)) => Ok(true),
            Some(_) => Err(Refusal::bad(format!("`{name}` is neither true nor false"))),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            Some(name) => Err(Refusal::bad(format!("nothing goes by `{name}` here"))),
            None => Ok(()),
        }
    }
}

/// Decodes one name or value; `None` when it is not encoded well, or is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(16 * high + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_query_is_read_as_browsers_and_curl_write_it() {
        let mut fields = Fields::of_query("a=1&b=x%20y+z&c=%5B%3A%3A1%5D%3A80&d&").unwrap();
        assert_eq!(fields.parse::<u32>("a", "number").unwrap(), Some(1));
        assert_eq!(fields.parse::<String>("b", "text").unwrap().unwrap(), "x y z");
        assert_eq!(fields.parse::<String>("c", "text").unwrap().unwrap(), "[::1]:80");
        assert_eq!(fields.parse::<String>("d", "text").unwrap().unwrap(), "");
        assert_eq!(fields.parse::<u32>("e", "number").unwrap(), None);
        fields.finish().unwrap();
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["a=1&a=2", "a=%", "a=%1", "a=%zz", "%ff=1"] {
            assert!(Fields::of_query(query).is_err(), "{query}");
        }
        let mut fields = Fields::of_query("limit=5&limits=5").unwrap();
        assert_eq!(fields.number("limit", 1, 5).unwrap(), Some(5));
        assert!(fields.finish().is_err(), "a name that is misspelt does not go unseen");
        for (query, from, to) in [("n=0", 1, 5), ("n=6", 1, 5), ("n=-1", 0, 5), ("n=x", 0, 5), ("n=", 0, 5)] {
            assert!(Fields::of_query(query).unwrap().number("n", from, to).is_err(), "{query}");
        }
    }
}
