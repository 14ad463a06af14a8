//! A client of the admin API: one request a connection, everything bounded.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use portcullis_core::config::AdminBind;
use serde_json::{Value, json};

use super::CtlError;

/// How long a gateway may take to be reached.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may be silent: a reload reads files and binds sockets.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: a page of a thousand sessions has half a megabyte.
const LONGEST: u64 = 16 << 20;
/// The most header fields of an answer.
const FIELDS: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody is there.
    #[error("no gateway is reached at {at}; does it run, and is this its admin listener?")]
    Reach {
        /// Where it should be.
        at: AdminBind,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What is there speaks otherwise.
    #[error("what is at {at} does not answer as a gateway's admin listener: {why}")]
    Answer {
        /// Where it is.
        at: AdminBind,
        /// What is wrong.
        why: &'static str,
    },
}

/// A gateway, and what is shown to it.
pub(super) struct Client {
    /// Where it is.
    pub(super) address: AdminBind,
    /// The token.
    pub(super) token: String,
}

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

impl Client {
    /// Asks for what is at `path`.
    pub(super) fn get(&self, path: &str) -> Result<Value, CtlError> {
        self.ask("GET", path, None)
    }

    /// Asks, and gives the answer's JSON.
    ///
    /// # Errors
    /// No gateway, no answer, or a refusal with the gateway's words.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, CtlError> {
        let reach = |source| ClientError::Reach { at: self.address.clone(), source };
        let mut stream = self.connect().map_err(reach)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: portcullis\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let sent = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let heard = stream.take(LONGEST).read_to_end(&mut answer);
        // Who refuses may answer before it has heard everything, and hang up.
        if answer.is_empty() {
            sent.and(heard.map(|_| ())).map_err(reach)?;
        }
        let strange = |why| ClientError::Answer { at: self.address.clone(), why };
        let (status, answer) = read(&answer).map_err(strange)?;
        if (200..300).contains(&status) { Ok(answer) } else { Err(refused(status, &answer)) }
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.address {
            AdminBind::Tcp(addr) => {
                let stream = TcpStream::connect_timeout(addr, CONNECT)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                Ok(Box::new(stream))
            }
            AdminBind::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Reads a whole answer (RFC 9112): its status, and its body as JSON.
fn read(answer: &[u8]) -> Result<(u16, Value), &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("its answer ends early"),
        Err(_) => return Err("it does not speak HTTP/1.1"),
    };
    let field = |name: &str| {
        head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let body = answer.get(length..).unwrap_or_default();
    // The gateway says how long its answers are, and never sends them in chunks.
    let claimed = field("content-length").and_then(|value| str::from_utf8(value).ok()?.parse::<usize>().ok());
    if claimed != Some(body.len()) {
        return Err("its answer is not as long as it says");
    }
    let body = serde_json::from_slice(body).map_err(|_| "its answer is no JSON")?;
    Ok((head.code.unwrap_or_default(), body))
}

/// The gateway's words for why it does not do something.
fn refused(status: u16, answer: &Value) -> CtlError {
    let word = |value: &Value| value.as_str().map(super::table::printable);
    let errors = answer["errors"].as_array().into_iter().flatten().filter_map(word);
    let told: Vec<String> = word(&answer["error"]).into_iter().chain(errors).collect();
    let told = if told.is_empty() { vec![json!({ "status": status }).to_string()] } else { told };
    CtlError::Refused { status, told }
}

/// Writes `text` so that it may stand in a path or a query (RFC 3986 section 2.1).
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
        assert_eq!(read(whole), Ok((200, json!({ "a": 1 }))));
        for cut in 0..whole.len() {
            assert!(read(whole.get(..cut).unwrap_or_default()).is_err(), "cut at {cut}");
        }
        for answer in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ] {
            assert!(read(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn what_stands_in_a_path_is_encoded() {
        assert_eq!(encoded("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(encoded("[::1]:80/?&%"), "%5B%3A%3A1%5D%3A80%2F%3F%26%25");
    }
}
