//! The admin listener over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_core::config::{self, AdminBind, Config, LogFormat, LogLevel, Rotate};
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_proxy::{Parts, Running, Sockets};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::log::LogThread;
use crate::status::{InForce, Status};

mod api;

/// A served admin listener in a folder of its own.
struct World {
    addr: SocketAddr,
    token: String,
    read_token: String,
    status: Arc<Status>,
    folder: PathBuf,
    stop: Option<watch::Sender<()>>,
    serving: JoinSet<()>,
    proxy: ProxyHandle,
    running: Option<Running>,
    reloads: mpsc::Receiver<Reload>,
    /// The writer of its log, as long as that goes on.
    log: Option<LogThread>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.proxy.shut_down();
        if let Some(running) = self.running.take() {
            let _panicked = running.join();
        }
        let _already_gone = fs::remove_dir_all(&self.folder);
    }
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("portcullis-admin-{}-{nth}", std::process::id()));
    fs::remove_dir_all(&folder).ok(); // left by one of this number that was killed
    folder
}

impl World {
    fn start() -> Self {
        let folder = folder();
        let config = config::Admin {
            bind: "127.0.0.1:0".parse().unwrap(),
            token_file: folder.join("state/admin.token"),
            read_token_file: Some(folder.join("state/read.token")),
        };
        let socket = AdminSocket::bind(&config, None).unwrap();
        let token = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        let (operate, read) = (token("state/admin.token"), token("state/read.token"));
        let status = Arc::new(Status::new(InForce {
            file: "/etc/p.toml".into(),
            effective: "workers = 1\n".into(),
            hash: 7,
            listeners: vec![("game-tcp".into(), "127.0.0.1:7082".parse().unwrap())],
            admin: None,
            session_maximum: 500,
        }));
        let (proxy, running) = data_plane();
        let (reload, reloads) = mpsc::channel(1);
        let (log, writer) = log(&folder);
        let facts = Facts {
            status: Arc::clone(&status),
            dns: Arc::default(),
            store: Store::start(&folder.join("store.redb"), log.clone()).unwrap().0,
            log,
            traffic: Arc::new(Traffic::default),
            proxy: proxy.clone(),
            orders: Arc::default(),
            reload,
        };
        let addr = socket.place().tcp().unwrap();
        let mut serving = JoinSet::new();
        let (stop, stopped) = watch::channel(());
        serving.spawn(serve(socket, facts, stopped).unwrap());
        Self {
            addr,
            token: operate,
            read_token: read,
            status,
            folder,
            stop: Some(stop),
            serving,
            proxy,
            running: Some(running),
            reloads,
            log: Some(writer),
        }
    }

    /// Sends `request` and returns everything that comes until the end.
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A refused request may end in a reset behind its answer.
        let _reset = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str, extra: &str) -> (u16, String) {
        self.ask("GET", path, extra, "").await
    }

    async fn ask(&self, method: &str, path: &str, extra: &str, body: &str) -> (u16, String) {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}{extra}\r\n");
        let answer = self.send(&format!("{head}{body}")).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(!head.to_lowercase().contains("access-control"), "{head}");
        let secret = [&self.token, &self.read_token].iter().any(|token| answer.contains(token.as_str()));
        assert!(!secret, "a token is in no answer");
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

/// A log of everything in `folder`.
fn log(folder: &std::path::Path) -> (Log, LogThread) {
    let rotate = Rotate { max_size: 1 << 20, max_age: Duration::MAX, keep: 1 };
    Log::start(&config::Log {
        format: LogFormat::Text,
        level: LogLevel::Info,
        info_file: Some(folder.join("info.log")),
        error_file: None,
        audit_file: None,
        rotate,
    })
    .unwrap()
}

/// Two workers without a listener, and an upstream `lobby` of two endpoints.
fn data_plane() -> (ProxyHandle, Running) {
    let text = "[[listener]]\nname = \"in\"\nprotocol = \"tcp\"\nbind = [\"127.0.0.1:0\"]\nhello = \"none\"\n\
                frames = {}\ntokens = { allow_plaintext = true }\n\
                route = \"out\"\n[route.out]\nresolver = \"upstream\"\nupstreams = [\"lobby\"]\n\
                [upstream.lobby]\nprotocol = \"tcp\"\n\
                endpoints = [{ address = \"10.0.0.1:7000\", weight = 3 }, { address = \"[fd00::1]:7000\" }]\n";
    let config = Arc::new(Config::parse(text, "test.toml", &|_| None).unwrap());
    let read = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    let snapshot = Arc::new(Snapshot::build(config, Own::default(), &read, None).unwrap());
    portcullis_proxy::start(Parts { snapshot, sockets: Sockets::none(2), workers: 2, sessions: 500 }).unwrap()
}

#[tokio::test]
async fn health_readiness_and_metrics_need_no_token_on_loopback() {
    let world = World::start();
    assert_eq!(world.get("/healthz", "").await, (200, "ok\n".into()));
    assert_eq!(world.get("/readyz", "").await, (503, "starting\n".into()));
    world.status.become_ready();
    assert_eq!(world.get("/readyz", "").await, (200, "ready\n".into()));
    world.status.begin_draining();
    assert_eq!(world.get("/readyz", "").await, (503, "draining\n".into()));
    assert_eq!(world.get("/healthz", "").await, (200, "ok\n".into()), "a draining process lives");
    let (code, page) = world.get("/metrics", "").await;
    assert_eq!(code, 200);
    assert!(page.contains("portcullis_session_maximum 500\n"), "{page}");
}

#[tokio::test]
async fn a24_the_status_needs_the_token_and_nothing_else_is_there() {
    let world = World::start();
    let bearer = format!("Authorization: Bearer {}\r\n", world.token);
    for (extra, want) in [
        ("", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Bearer x\r\n", 401),
        (&*format!("Authorization: Basic {}\r\n", world.token), 401),
        (&*format!("Authorization: Bearer {}x\r\n", world.token), 401),
        (&*format!("Authorization: Bearer {}\r\n", &world.token[1..]), 401),
        (&*format!("{bearer}{bearer}"), 401),
        (&*format!("authorization: bearer {}\r\n", world.token), 200),
        (&*bearer, 200),
    ] {
        assert_eq!(world.get("/api/v1/status", extra).await.0, want, "{extra}");
    }
    for path in ["/", "/api/v1", "/api/v1/status/", "/healthz/", "/metrics?x=/..", "/%2e%2e/etc/passwd"] {
        let want = if path.starts_with("/metrics") { 200 } else { 404 };
        assert_eq!(world.get(path, &bearer).await.0, want, "{path}");
    }
    let status: Value = serde_json::from_str(&world.get("/api/v1/status", &bearer).await.1).unwrap();
    assert_eq!(status["listeners"][0], json!({ "name": "game-tcp", "address": "127.0.0.1:7082" }));
    assert_eq!((&status["readiness"], &status["sessions"]), (&json!("starting"), &json!(0)));
    assert_eq!(status["config"], json!({ "file": "/etc/p.toml", "hash": "00000007" }));
}

#[tokio::test]
async fn bad_requests_are_refused_and_cost_nothing_that_stays() {
    let world = World::start();
    let many = "A: b\r\n".repeat(HEADERS_TOO_MANY);
    let long = format!("A: {}\r\n", "b".repeat(20_000));
    for (request, want) in [
        ("rubbish\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "HTTP/1.1 431"),
        (format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{long}\r\n"), "HTTP/1.1 431"),
        ("POST /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "HTTP/1.1 405"),
    ] {
        let answer = world.send(&request).await;
        assert!(answer.starts_with(want), "{want}: {answer}");
    }
}

const HEADERS_TOO_MANY: usize = 65;

#[tokio::test]
async fn the_silent_do_not_lock_the_others_out() {
    let world = World::start();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(b"GET /hea").await.unwrap();
        silent.push(stream);
    }
    // Answered once the silent ones are past their time.
    let answer = tokio::time::timeout(Duration::from_secs(30), world.get("/healthz", "")).await.unwrap();
    assert_eq!(answer, (200, "ok\n".into()));
}

#[test]
fn the_token_is_made_once_for_its_owner_alone() {
    let folder = folder();
    let file = folder.join("a/b/admin.token");
    Token::read_or_make(&file).unwrap();
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!((first.len(), fs::metadata(&file).unwrap().mode() & 0o777), (65, 0o600));
    let token = Token::read_or_make(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    assert!(token.equals(first.trim().as_bytes()) && !format!("{token:?}").contains(first.trim()));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_token_file_that_is_not_safe_is_refused_with_what_to_do() {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("admin.token");
    let good = "0123456789abcdef".repeat(4);
    for (content, mode, want) in [
        (good.clone(), 0o644, "chmod 600"),
        (good.clone(), 0o620, "chmod 600"),
        (String::new(), 0o600, "remove the file"),
        ("short\n".into(), 0o600, "remove the file"),
        (format!("{good}\n{good}\n"), 0o600, "remove the file"),
        ("x".repeat(5000), 0o600, "remove the file"),
    ] {
        fs::write(&file, &content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = Token::read_or_make(&file).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("admin.token"), "{error}");
        assert!(!error.contains(&good), "{error}");
    }
    let error = Token::read_or_make(&file.join("below/a/file")).unwrap_err().to_string();
    assert!(error.contains("token_file"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_address_that_is_taken_is_told_and_leaves_no_token() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let token_file = folder().join("admin.token");
    let bind = AdminBind::Tcp(taken.local_addr().unwrap());
    let config = config::Admin { bind, token_file: token_file.clone(), read_token_file: None };
    let error = AdminSocket::bind(&config, None).unwrap_err();
    assert!(error.to_string().contains("set another `bind`"), "{error}");
    assert!(!token_file.exists());
}

#[test]
fn a_socket_is_shared_with_the_one_before_and_differs_by_its_token() {
    let folder = folder();
    let config = |file: &str| config::Admin {
        bind: "127.0.0.1:0".parse().unwrap(),
        token_file: folder.join(file),
        read_token_file: None,
    };
    let first = AdminSocket::bind(&config("one"), None).unwrap();
    let same = AdminSocket::bind(&config("one"), Some(&first)).unwrap();
    let other = AdminSocket::bind(&config("two"), Some(&first)).unwrap();
    assert!(same == first && same.place() == first.place());
    assert!(other != first && other.place() == first.place());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_stopped_listener_gives_the_answer_that_is_waited_for_and_takes_nobody_more() {
    let mut world = World::start();
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /hea").await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    world.stop = None;
    stream.write_all(b"lthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), world.serving.join_next()).await.unwrap();
    assert!(TcpStream::connect(world.addr).await.is_err());
}

#[tokio::test]
async fn a24_a_unix_socket_is_its_users_alone_and_leaves_with_its_listener() {
    let folder = folder();
    let path = folder.join("run/admin.sock");
    let config = config::Admin {
        bind: AdminBind::Unix(path.clone()),
        token_file: folder.join("token"),
        read_token_file: None,
    };
    let socket = AdminSocket::bind(&config, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.join("run")).unwrap().count(), 1, "nothing else is left there");
    assert!(AdminSocket::bind(&config, None).is_err(), "somebody listens there");
    let door = socket.open().unwrap();
    let (_client, accepted) = tokio::join!(UnixStream::connect(&path), door.accept());
    assert!(accepted.unwrap().1.is_near());
    drop((door, socket));
    assert!(!path.exists());

    // What one that was killed leaves behind is replaced; a file of another kind is not.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let replaced = AdminSocket::bind(&config, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    drop(replaced);
    fs::write(&path, "a file").unwrap();
    let error = AdminSocket::bind(&config, None).unwrap_err();
    assert!(error.to_string().contains("unix:"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    fs::remove_dir_all(folder).unwrap();
}
