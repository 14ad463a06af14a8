//! Devices register, log in, and are known by their tokens: on the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use portcullis_peers::serve::Connection;
use portcullis_peers::{DEMO_ANSWER, Endpoint, Frame, FrameClient, TlsStream, Trust, TypeWidth, serve_demo};
use portcullis_tests::{Authority, Gate, Setup, Site, until};
use serde_json::Value;

const WIDTH: TypeWidth = TypeWidth::One;
/// The seed's: SHA-256 of a MAC address.
const DEVICE: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

type Client<C> = FrameClient<C>;

/// A config with one listener `in` before the demo's server; the store lies in `{folder}`.
fn config(endpoint: SocketAddr, protocol: &str, lines: &str) -> String {
    Setup::new().fixed("in", protocol, &[endpoint], lines).text().replace(
        "[log]\n",
        "[store]\nfile = \"{folder}/store.redb\"\n\n[log]\naudit_file = \"{folder}/audit.log\"\n",
    )
}

fn plain(endpoint: SocketAddr, tokens: &str) -> String {
    config(endpoint, "tcp", &format!("frames = {{}}\ntokens = {{ allow_plaintext = true, {tokens} }}"))
}

fn demo() -> Endpoint {
    Endpoint::start(serve_demo(WIDTH, &[])).unwrap()
}

fn connect(gate: &Gate) -> Client<TcpStream> {
    Client::tcp(gate.listener("in"), WIDTH).unwrap()
}

/// A token as clients keep it.
fn bytes_of(token: &str) -> [u8; 16] {
    let digits = token.replace('-', "");
    std::array::from_fn(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap())
}

fn register_frame(client_id: &str) -> Frame {
    let message = serde_json::json!({ "client_id": client_id }).to_string();
    Frame::new(WIDTH.types().register, message.as_bytes())
}

fn login_frame(client_id: &str, token: &str) -> Frame {
    let message = serde_json::json!({ "client_id": client_id, "token": token }).to_string();
    Frame::new(WIDTH.types().login, message.as_bytes())
}

fn request() -> Frame {
    Frame::new(WIDTH.types().hello, br#"{"message":"hello"}"#)
}

/// The JSON of a token message; panics with what came instead.
fn granted(answer: &Frame) -> Value {
    assert_eq!(answer.kind, WIDTH.types().token, "{}", String::from_utf8_lossy(&answer.payload));
    serde_json::from_slice(&answer.payload).unwrap()
}

fn token_of(message: &Value) -> String {
    message["token"].as_str().unwrap().to_owned()
}

fn register<C: Connection>(client: &Client<C>, client_id: &str) -> String {
    token_of(&granted(&client.ask(&register_frame(client_id)).unwrap()))
}

fn login<C: Connection>(client: &Client<C>, client_id: &str, token: &str) {
    let message = granted(&client.ask(&login_frame(client_id, token)).unwrap());
    assert!(message["expires_at"].as_u64().unwrap() > now() && message.get("token").is_none());
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a client is told, until its stream ends.
fn last_words<C: Connection>(client: &Client<C>) -> Vec<Frame> {
    let mut words = Vec::new();
    while let Ok(Some(frame)) = client.read() {
        words.push(frame);
    }
    words
}

/// The one error that everybody gets who is refused, and then the end.
fn assert_refused<C: Connection>(client: &Client<C>, why: &str) {
    let words = last_words(client);
    let told: Vec<_> = words.iter().map(|frame| (frame.kind, frame.payload.clone())).collect();
    assert_eq!(told, [(WIDTH.types().error, br#"{"message":"error: not authorized"}"#.to_vec())], "{why}");
}

/// The lines of the audit, once there are so many.
fn audit(gate: &Gate, lines: usize) -> Vec<Value> {
    let read = || {
        let text = std::fs::read_to_string(gate.site().folder().join("audit.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    until("the audit's lines", || read().len() >= lines);
    read()
}

fn decisions(lines: &[Value]) -> Vec<(String, String, String)> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| (text(line, "action"), text(line, "outcome"), text(line, "reason"))).collect()
}

#[test]
fn a_device_registers_by_tls_and_logs_in_with_its_token_later() {
    let endpoint = demo();
    let site = Site::new();
    let authority = Authority::new();
    let issued = authority.issue(&["localhost"], 2100);
    site.write("web.pem", &issued.cert);
    site.write("web.key", &issued.key);
    let lines = "tls = { certs = [{ cert = \"{folder}/web.pem\", key = \"{folder}/web.key\" }] }\nframes = {}\ntokens = {}";
    let gate = site.start(&config(endpoint.address(), "tls", lines));
    let trust = Trust::new(authority.pem.as_bytes(), "localhost").unwrap();
    let connect = || FrameClient::<TlsStream>::tls(gate.listener("in"), &trust, WIDTH).unwrap();
    let client = connect();
    let message = granted(&client.ask(&register_frame(DEVICE)).unwrap());
    let token = token_of(&message);
    let week = 7 * 24 * 3600;
    assert!((now() + week - 60..=now() + week).contains(&message["expires_at"].as_u64().unwrap()));
    assert_eq!(client.ask(&request()).unwrap().payload, DEMO_ANSWER);
    drop(client);
    let client = connect();
    login(&client, DEVICE, &token);
    assert_eq!(client.ask(&request()).unwrap().payload, DEMO_ANSWER);
    let shown = request().with_token(bytes_of(&token));
    assert_eq!(client.ask(&shown).unwrap().payload, DEMO_ANSWER);
}

#[test]
fn plaintext_is_refused_unless_somebody_takes_the_risk() {
    let endpoint = demo();
    let told = Gate::refused(&config(endpoint.address(), "tcp", "frames = {}\ntokens = {}")).unwrap();
    assert!(told.contains("allow_plaintext"), "{told}");
    let gate = Gate::start(&plain(endpoint.address(), ""));
    assert!(gate.log().contains("WARN"), "{}", gate.log());
}

#[test]
fn nothing_goes_on_before_the_device_is_known_and_everybody_is_refused_alike() {
    let endpoint = demo();
    let gate = Gate::start(&plain(endpoint.address(), ""));
    let first = connect(&gate);
    let token = register(&first, DEVICE);
    let other = "00000000-0000-4000-8000-000000000000";
    let stranger = |frame: &Frame, why: &str| {
        let client = connect(&gate);
        client.send(frame).unwrap();
        assert_refused(&client, why);
    };
    stranger(&request(), "a request");
    stranger(&request().with_token(bytes_of(&token)), "a request with a good token");
    stranger(&register_frame(DEVICE), "a name that is taken");
    stranger(&register_frame("no name"), "no name");
    stranger(&login_frame(DEVICE, other), "a wrong token");
    stranger(&login_frame(DEVICE, "no token"), "no token");
    stranger(&login_frame("somebody", &token), "a token for another name");
    stranger(&Frame::new(WIDTH.types().login, b"{"), "no JSON");
    stranger(&Frame::new(WIDTH.types().login, &[b' '; 9000]), "a message that is too long");
    // A device shows another's token.
    let second = connect(&gate);
    let own = register(&second, "another");
    assert_eq!(second.ask(&request().with_token(bytes_of(&own))).unwrap().payload, DEMO_ANSWER);
    second.send(&request().with_token(bytes_of(&token))).unwrap();
    assert_refused(&second, "another's token");
    // Whom nobody has accused goes on.
    assert_eq!(first.ask(&request()).unwrap().payload, DEMO_ANSWER);
    let lines = audit(&gate, 12);
    // What one worker refuses by itself may be written behind what another has asked after it.
    let mut reasons: Vec<_> = decisions(&lines).into_iter().map(|(_, _, reason)| reason).collect();
    reasons.sort_unstable();
    let mut want = [
        "",
        "not-logged-in",
        "not-logged-in",
        "bound",
        "malformed",
        "wrong-token",
        "malformed",
        "unknown",
        "malformed",
        "malformed",
        "",
        "wrong-token",
    ];
    want.sort_unstable();
    assert_eq!(reasons, want, "{lines:#?}");
    for line in &lines {
        assert!(!line.to_string().contains(&token) && !line.to_string().contains(&own), "{line}");
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:") && line["listener"] == "in");
    }
    assert!(!gate.log().contains(&token));
}

#[test]
fn a_client_that_never_logs_in_is_gone_within_its_hello() {
    let endpoint = demo();
    let lines = "hello_timeout = \"1s\"\nframes = {}\ntokens = { allow_plaintext = true }";
    let gate = Gate::start(&config(endpoint.address(), "tcp", lines));
    let began = Instant::now();
    let client = connect(&gate);
    // It may say that it is there, which is no reason to keep it.
    client.heartbeat().unwrap();
    assert!(last_words(&client).is_empty());
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    until("the reason in the log", || gate.log().contains("reason=hello-timeout"));
}

#[test]
fn what_was_pipelined_behind_a_login_goes_on_in_its_order() {
    let endpoint = demo();
    let gate = Gate::start(&plain(endpoint.address(), ""));
    let token = register(&connect(&gate), DEVICE);
    let client = connect(&gate);
    let shown = request().with_token(bytes_of(&token));
    client.send_all(&[login_frame(DEVICE, &token), request(), shown.clone(), request(), shown]).unwrap();
    granted(&client.read().unwrap().unwrap());
    for _ in 0..4 {
        assert_eq!(client.read().unwrap().unwrap().payload, DEMO_ANSWER);
    }
}

/// Heartbeats until one brings a token.
fn rotate(client: &Client<TcpStream>) -> String {
    let mut brought = None;
    until("a heartbeat that brings a token", || {
        let answer: Value = serde_json::from_slice(&client.heartbeat().unwrap()).unwrap();
        assert_eq!(answer["srvTime"].as_str().map(str::len), Some(14), "{answer}");
        brought = answer["token"].as_str().map(str::to_owned);
        assert_eq!(brought.is_some(), answer["expires_at"].is_u64(), "{answer}");
        brought.is_some()
    });
    brought.unwrap()
}

#[test]
fn a06_rotation_keeps_the_old_token_until_the_new_one_is_used_and_takes_its_use_for_theft_after_that() {
    let endpoint = demo();
    let gate = Gate::start(&plain(endpoint.address(), "rotate_after = \"1s\""));
    let client = connect(&gate);
    let old = register(&client, DEVICE);
    let new = rotate(&client);
    assert_ne!(old, new);
    // The client may not have heard of the new one.
    let again = connect(&gate);
    login(&again, DEVICE, &old);
    assert_eq!(again.ask(&request().with_token(bytes_of(&old))).unwrap().payload, DEMO_ANSWER);
    // It uses it: from here on the old one has two holders.
    assert_eq!(client.ask(&request().with_token(bytes_of(&new))).unwrap().payload, DEMO_ANSWER);
    let thief = connect(&gate);
    thief.send(&login_frame(DEVICE, &old)).unwrap();
    let stolen = Instant::now();
    assert_refused(&thief, "the thief");
    // Every session of the family ends, on whatever worker it is.
    for session in [&client, &again] {
        assert_refused(session, "a session of the family");
    }
    assert!(stolen.elapsed() < Duration::from_secs(5), "{:?}", stolen.elapsed());
    for (token, why) in [(&new, "the newest"), (&old, "the old")] {
        let client = connect(&gate);
        client.send(&login_frame(DEVICE, token)).unwrap();
        assert_refused(&client, why);
    }
    let last = decisions(&audit(&gate, 6));
    assert!(last.contains(&("login".into(), "refused".into(), "stolen".into())), "{last:?}");
    until("the reason in the log", || gate.log().contains("reason=device-revoked"));
}

#[test]
fn a06_a_session_that_goes_on_with_a_retired_token_is_taken_for_a_thief() {
    let endpoint = demo();
    let gate = Gate::start(&plain(endpoint.address(), "rotate_after = \"1s\""));
    let (first, second) = (connect(&gate), connect(&gate));
    let old = register(&first, DEVICE);
    login(&second, DEVICE, &old);
    assert_eq!(second.ask(&request().with_token(bytes_of(&old))).unwrap().payload, DEMO_ANSWER);
    let new = rotate(&first);
    assert_eq!(first.ask(&request().with_token(bytes_of(&new))).unwrap().payload, DEMO_ANSWER);
    until("the other session is asked about its token", || {
        second.send(&request().with_token(bytes_of(&old))).is_err()
            || second.read().map_or(true, |frame| frame.is_none_or(|frame| frame.kind == WIDTH.types().error))
    });
    assert_refused(&first, "the family");
}

#[test]
fn a07_ten_thousand_guesses_are_throttled_and_the_owner_is_not_kept_out() {
    let endpoint = demo();
    let gate = Gate::start(&plain(endpoint.address(), ""));
    let owner = connect(&gate);
    let token = register(&owner, DEVICE);
    let guess = |number: u32| format!("00000000-0000-4000-8000-{number:012x}");
    for number in 0..200 {
        let client = connect(&gate);
        client.send(&login_frame(DEVICE, &guess(number))).unwrap();
        assert_refused(&client, "a guess");
    }
    let reasons = decisions(&audit(&gate, 201));
    let tried = reasons.iter().filter(|(_, _, reason)| reason == "wrong-token").count();
    let throttled = reasons.iter().filter(|(_, _, reason)| reason == "throttled").count();
    assert_eq!(tried + throttled, 200);
    assert!((20..=60).contains(&tried), "{tried} guesses were looked at");
    // What is open goes on, and the device's own network (another address of loopback) is let in.
    assert_eq!(owner.ask(&request().with_token(bytes_of(&token))).unwrap().payload, DEMO_ANSWER);
    let client = from("127.0.0.2", gate.listener("in"));
    login(&client, DEVICE, &token);
}

/// A client with another address of loopback.
fn from(ip: &str, gate: SocketAddr) -> Client<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    connect(&socket, &gate).unwrap();
    Client::new(TcpStream::from(socket), WIDTH)
}

#[test]
fn devices_outlive_a_restart() {
    let endpoint = demo();
    let site = Site::new();
    let store = site.folder().join("kept.redb").display().to_string();
    let text = plain(endpoint.address(), "").replace("{folder}/store.redb", &store);
    let gate = Gate::start(&text);
    let token = register(&connect(&gate), DEVICE);
    gate.terminate();
    let gate = Gate::start(&text);
    let client = connect(&gate);
    login(&client, DEVICE, &token);
    assert_eq!(client.ask(&request()).unwrap().payload, DEMO_ANSWER);
}

/// Registers devices over many connections until the gateway is gone; those that were acknowledged.
fn register_until_it_dies(gate: SocketAddr, crowd: usize, kept: &Arc<Mutex<HashMap<String, String>>>) {
    thread::scope(|scope| {
        for number in 0..crowd {
            scope.spawn(move || {
                let Ok(client) = Client::tcp(gate, WIDTH) else { return };
                for device in 0_u32.. {
                    let client_id = format!("device-{number}-{device}");
                    let Ok(answer) = client.ask(&register_frame(&client_id)) else { return };
                    let token = token_of(&granted(&answer));
                    kept.lock().unwrap().insert(client_id, token);
                }
            });
        }
    });
}

#[test]
fn b04_no_registration_that_was_acknowledged_is_lost_when_the_gateway_is_killed() {
    let endpoint = demo();
    let site = Site::new();
    let store = site.folder().join("kept.redb").display().to_string();
    let text = plain(endpoint.address(), "").replace("{folder}/store.redb", &store);
    let kept = Arc::new(Mutex::new(HashMap::new()));
    let gate = Gate::start(&text);
    let address = gate.listener("in");
    let pid = rustix::process::Pid::from_raw(gate.pid().try_into().unwrap()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| register_until_it_dies(address, 64, &kept));
        until("registrations are under way", || kept.lock().unwrap().len() > 3000);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    drop(gate);
    let gate = Gate::start(&text);
    let kept = kept.lock().unwrap();
    let client = connect(&gate);
    for (client_id, token) in kept.iter() {
        login(&client, client_id, token);
    }
}
