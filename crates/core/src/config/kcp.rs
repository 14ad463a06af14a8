//! `kcp = { … }` of a listener, a route or an upstream.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

mod kinds;
mod rows;
#[cfg(test)]
mod tests;

use super::RateLimit;
use super::error::Report;
use super::key::Reader;
use super::write::Writer;
use crate::wire::kcp::arq;
use crate::wire::kcp::crypt::{self, Cipher, Crypt};
use rows::{
    BURST, CLOSE_MESSAGE, CONGESTION, CRYPT, FEC, INTERVAL, KEY, KEY_FILE, MTU, NODELAY, OPEN_RATE, PRESET,
    PRESETS, PROBE, RATE, RAW_KEY, RECEIVE_WINDOW, RESEND, SEND_WINDOW, STREAM, USUAL_PACE, WINDOW,
};
pub(super) use rows::{LISTENER, ROUTE, UPSTREAM};

/// What the forward error correction header takes of every datagram, in bytes.
const FEC_HEADER: u16 = 8;
/// Unanswered transmissions of one segment until the peer counts as gone (ikcp.c: `dead_link`).
const DEAD_LINK: u8 = 20;
/// The payload of the seed's datagrams, in bytes: kcp-go's own default.
const SEED_MTU: u16 = 1400;
/// Forward error correction of the seed: data and parity shards.
const SEED_FEC: (u8, u8) = (10, 3);

/// Told wherever credentials pass without a cipher.
pub(super) const CLEAR_CREDENTIAL: &str = "the keys of this route are credentials, and without a cipher they \
    pass in clear; `crypt = \"aes-gcm\"` with a key hides them";

/// How KCP is spoken, with clients or with endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kcp {
    /// The machine's settings. Its `mtu` is what [`Kcp::mtu`] leaves once the cipher's header is off, and
    /// the 8 bytes of forward error correction too: always at a listener, where each client chooses its
    /// framing, and at endpoints when `fec` is on.
    pub arq: arq::Settings,
    /// The payload of a UDP datagram, in bytes; 576 to 1500.
    pub mtu: u16,
    /// Data and parity shards of what is sent, each at least 1, at most 255 together; `None` = off. At a
    /// listener a client that comes without is answered without.
    pub fec: Option<(u8, u8)>,
    /// How datagrams are hidden.
    pub cipher: Cipher,
    /// What they are hidden with; `Some` exactly when the cipher needs one.
    pub key: Option<KcpKey>,
    /// The last bytes of a stream whose other side has ended; empty = none.
    pub close_message: Box<[u8]>,
    /// Is an endpoint open only when it has answered? Means nothing at a listener.
    pub probe: bool,
    /// How fast one network may open sessions. Means nothing towards endpoints.
    pub open_rate: RateLimit,
}

/// The secret of a cipher. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum KcpKey {
    /// A passphrase, as kcptun derives a key from it.
    Passphrase(Box<str>),
    /// A file that holds a passphrase; one final newline is no part of it.
    File(PathBuf),
    /// The key itself, of a length that the cipher takes.
    Raw(Box<[u8]>),
}

impl fmt::Debug for KcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase(_) => f.write_str("Passphrase(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Raw(_) => f.write_str("Raw(***)"),
        }
    }
}

/// Whom KCP is spoken with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client,
    Endpoint,
}

/// The four numbers that a preset stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    nodelay: bool,
    interval: Duration,
    resend: u8,
    congestion: bool,
}

/// Reads the table of a listener.
pub(super) fn read_listener(reader: &Reader<'_>) -> Option<Kcp> {
    Some(read(reader, Peer::Client))
}

/// Reads the table of a route or an upstream.
pub(super) fn read_endpoint(reader: &Reader<'_>) -> Option<Kcp> {
    Some(read(reader, Peer::Endpoint))
}

/// Writes the table of a listener.
pub(super) fn write_listener(writer: &mut Writer<'_>, kcp: &Kcp) {
    write(writer, kcp);
    writer.put_nested(&OPEN_RATE, &kcp.open_rate);
}

/// Writes the table of a route or an upstream.
pub(super) fn write_endpoint(writer: &mut Writer<'_>, kcp: &Kcp) {
    write(writer, kcp);
    writer.put(&PROBE, &kcp.probe);
}

/// What an empty table of a listener says.
pub(super) fn usual_listener() -> Kcp {
    unwritten(Peer::Client)
}

/// What an empty table of a route or an upstream says.
pub(super) fn usual_endpoint() -> Kcp {
    unwritten(Peer::Endpoint)
}

/// What the seed's clients speak.
pub(super) fn seed_listener() -> Kcp {
    of_seed(Peer::Client)
}

/// What the seed's endpoints speak.
pub(super) fn seed_endpoint() -> Kcp {
    of_seed(Peer::Endpoint)
}

/// Can whoever sees the datagrams read them?
pub(super) fn is_clear(kcp: &Kcp) -> bool {
    !kcp.cipher.is_keyed()
}

/// Is there a secret that the file itself holds?
pub(super) fn holds_secret(kcp: &Kcp) -> bool {
    matches!(kcp.key, Some(KcpKey::Passphrase(_) | KcpKey::Raw(_)))
}

/// Makes kcp-go's own defaults of ours where the wire shows them. The seed's windows of 32 and its interval
/// of 100 ms are left behind on purpose: a peer never notices that ours are larger and faster, but that it
/// waits less.
fn of_seed(peer: Peer) -> Kcp {
    let usual = unwritten(peer);
    let arq = arq::Settings { stream: false, ..usual.arq };
    settle(Kcp { arq, mtu: SEED_MTU, fec: Some(SEED_FEC), ..usual }, peer)
}

fn unwritten(peer: Peer) -> Kcp {
    read(&Reader::empty(&Report::new("", "")), peer)
}

fn read(reader: &Reader<'_>, peer: Peer) -> Kcp {
    let preset = reader.get(&PRESET);
    let pace = Pace {
        nodelay: reader.find(&NODELAY).unwrap_or(preset.nodelay),
        interval: reader.find(&INTERVAL).unwrap_or(preset.interval),
        resend: reader.find(&RESEND).unwrap_or(preset.resend),
        congestion: reader.find(&CONGESTION).unwrap_or(preset.congestion),
    };
    let window = reader.get(&WINDOW);
    let (send_window, receive_window) = (reader.find(&SEND_WINDOW), reader.find(&RECEIVE_WINDOW));
    if reader.has(SEND_WINDOW.name) && reader.has(RECEIVE_WINDOW.name) {
        let why = "beside `send_window` and `receive_window`";
        reader.refuse(&[WINDOW.name], why, "take it out, or one of the two");
    }
    let (cipher, key) = secret(reader);
    let arq = arq::Settings {
        nodelay: pace.nodelay,
        interval: u16::try_from(pace.interval.as_millis()).unwrap_or(u16::MAX),
        resend: pace.resend,
        congestion: pace.congestion,
        send_window: send_window.unwrap_or(window),
        receive_window: receive_window.unwrap_or(window),
        mtu: 0, // settled below
        stream: reader.get(&STREAM),
        dead_link: DEAD_LINK,
    };
    let kcp = Kcp {
        arq,
        mtu: reader.get(&MTU),
        fec: reader.get(&FEC),
        cipher,
        key,
        close_message: reader.get(&CLOSE_MESSAGE),
        probe: peer == Peer::Client || reader.get(&PROBE),
        open_rate: match peer {
            Peer::Client => reader.get(&OPEN_RATE),
            Peer::Endpoint => (OPEN_RATE.default)(),
        },
    };
    settle(kcp, peer)
}

/// Gives the machine what the headers leave it.
fn settle(mut kcp: Kcp, peer: Peer) -> Kcp {
    let fec = if peer == Peer::Client || kcp.fec.is_some() { FEC_HEADER } else { 0 };
    // 576 - 28 - 8 leaves 540 at least.
    let cipher = u16::try_from(kcp.cipher.overhead()).unwrap_or(u16::MAX);
    kcp.arq.mtu = kcp.mtu.saturating_sub(cipher).saturating_sub(fec);
    kcp
}

/// Reads cipher and key, and tells where they do not go together.
fn secret(reader: &Reader<'_>) -> (Cipher, Option<KcpKey>) {
    let cipher = reader.get(&CRYPT);
    let keys = [
        (KEY.name, reader.find(&KEY).map(KcpKey::Passphrase)),
        (KEY_FILE.name, reader.find(&KEY_FILE).map(KcpKey::File)),
        (RAW_KEY.name, reader.find(&RAW_KEY).map(KcpKey::Raw)),
    ];
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).filter(|name| reader.has(name)).collect();
    if !cipher.is_keyed() {
        // A cipher that could not be read has its own error, and may well have needed the key.
        if !reader.is_broken(&CRYPT) {
            let why = format!("with {} \"{cipher}\"", CRYPT.name);
            reader.refuse(&names, &why, "take it out, or choose a cipher: `crypt = \"aes-gcm\"`");
        }
        return (cipher, None);
    }
    if let [first, second, ..] = names.as_slice() {
        let message = format!("`{second}` stands beside `{first}`");
        reader.error(second, message, "one key: `key`, `key_file` or `raw_key`");
    }
    if names.is_empty() {
        let message = format!("`{} = \"{cipher}\"` needs a key", CRYPT.name);
        let hint = "`key_file = \"/etc/portcullis/kcp.key\"` or `key = \"${KCP_KEY}\"` with a passphrase, \
                    or `raw_key` with the key itself in hex";
        reader.error(CRYPT.name, message, hint);
    }
    let key = keys.into_iter().find_map(|(_, key)| key);
    if let Some(KcpKey::Raw(bytes)) = &key
        && let Err(why) = Crypt::new(cipher, &crypt::Key::from_bytes(bytes))
    {
        let hint = format!("a key of such a length in hex, or a passphrase as `{}`", KEY.name);
        reader.error(RAW_KEY.name, format!("`{}`: {why}", RAW_KEY.name), hint);
    }
    (cipher, key)
}

fn write(writer: &mut Writer<'_>, kcp: &Kcp) {
    let arq = &kcp.arq;
    let pace = Pace {
        nodelay: arq.nodelay,
        interval: Duration::from_millis(arq.interval.into()),
        resend: arq.resend,
        congestion: arq.congestion,
    };
    let preset = PRESETS.iter().map(|(_, preset)| *preset).find(|preset| *preset == pace);
    let preset = preset.unwrap_or(USUAL_PACE);
    writer.put_shorthand(&PRESET, &preset);
    let usual = |same: bool| (same, PRESET.name);
    writer.put_spread(&NODELAY, &pace.nodelay, usual(pace.nodelay == preset.nodelay));
    writer.put_spread(&INTERVAL, &pace.interval, usual(pace.interval == preset.interval));
    writer.put_spread(&RESEND, &pace.resend, usual(pace.resend == preset.resend));
    writer.put_spread(&CONGESTION, &pace.congestion, usual(pace.congestion == preset.congestion));
    let (send, receive) = (arq.send_window, arq.receive_window);
    let window = if send == receive { send } else { (WINDOW.default)() };
    writer.put_shorthand(&WINDOW, &window);
    writer.put_spread(&SEND_WINDOW, &send, (send == window, WINDOW.name));
    writer.put_spread(&RECEIVE_WINDOW, &receive, (receive == window, WINDOW.name));
    writer.put(&MTU, &kcp.mtu);
    writer.put(&STREAM, &arq.stream);
    writer.put(&CRYPT, &kcp.cipher);
    match &kcp.key {
        Some(KcpKey::Passphrase(passphrase)) => writer.put_maybe(&KEY, passphrase, false),
        Some(KcpKey::File(path)) => writer.put_maybe(&KEY_FILE, path, false),
        Some(KcpKey::Raw(bytes)) => writer.put_maybe(&RAW_KEY, bytes, false),
        None => {}
    }
    writer.put(&FEC, &kcp.fec);
    writer.put(&CLOSE_MESSAGE, &kcp.close_message);
}

fn read_open_rate(reader: &Reader<'_>) -> Option<RateLimit> {
    Some(RateLimit { rate: reader.get(&RATE), burst: reader.get(&BURST) })
}

fn write_open_rate(writer: &mut Writer<'_>, open: &RateLimit) {
    writer.put(&RATE, &open.rate);
    writer.put(&BURST, &open.burst);
}
