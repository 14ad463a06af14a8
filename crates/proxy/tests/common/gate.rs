//! A running data plane on port 0, and endpoints for it.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::config::Config;
use portcullis_core::name::UpstreamName;
use portcullis_core::outcome::Ended;
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_core::upstream::EndpointState;
use portcullis_proxy::{Counts, Event, Parts, ProxyHandle, Running, Sockets, Told, start};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// What files hold, by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A running data plane; dropping it ends every session and waits for the workers.
pub(crate) struct Gate {
    pub(crate) handle: ProxyHandle,
    running: Option<Running>,
    address: SocketAddr,
    /// Kept for a reload; what is kept here is not closed.
    sockets: Option<Sockets>,
}

impl Gate {
    pub(crate) fn start(workers: usize, sessions: u32, text: &str) -> Self {
        Self::start_with(workers, sessions, text, &Files::new())
    }

    /// As [`Gate::start`], with the files that the configuration names.
    pub(crate) fn start_with(workers: usize, sessions: u32, text: &str, files: &Files) -> Self {
        Self::start_changed(workers, sessions, (text, files), |_| {})
    }

    /// As [`Gate::start_with`], with settings changed after they were read.
    pub(crate) fn start_changed(
        workers: usize,
        sessions: u32,
        (text, files): (&str, &Files),
        change: impl Fn(&mut Config),
    ) -> Self {
        let mut config = Config::parse(text, "test.toml", &|_| None).unwrap();
        change(&mut config);
        let config = Arc::new(config);
        let sockets = Sockets::none(workers).bind_more(&config).unwrap();
        let address = sockets.addresses()[0].1;
        let parts = Parts { snapshot: Arc::new(snapshot(config, files, None)), sockets, workers, sessions };
        let (handle, running) = start(parts).unwrap();
        Self { handle, running: Some(running), address, sockets: None }
    }

    /// As [`Gate::start`], to be reloaded.
    pub(crate) fn reloadable(workers: usize, sessions: u32, text: &str) -> Self {
        let mut gate = Self::start(workers, sessions, &to(closed_port()));
        gate.sockets = Some(Sockets::none(workers));
        gate.reload(text);
        gate.address = gate.sockets.as_ref().unwrap().addresses()[0].1;
        gate
    }

    /// Puts another configuration in force.
    pub(crate) fn reload(&mut self, text: &str) {
        let config = Arc::new(Config::parse(text, "test.toml", &|_| None).unwrap());
        let sockets = self.sockets.take().unwrap().bind_more(&config).unwrap();
        let previous = self.handle.snapshot();
        let snapshot = Arc::new(snapshot(config, &Files::new(), Some(&previous)));
        self.handle.apply(snapshot, sockets.clone());
        self.sockets = Some(sockets);
    }

    /// Where it listens since the last reload.
    pub(crate) fn listens(&self) -> Vec<SocketAddr> {
        self.sockets.as_ref().unwrap().addresses().into_iter().map(|(_, address)| address).collect()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    }

    /// Waits until the counts are so; the last ones are in the failure.
    pub(crate) fn wait_for(&self, so: impl FnMut(&Counts) -> bool) {
        self.wait_within(Duration::from_secs(20), so);
    }

    /// Waits at most so long until the counts are so.
    pub(crate) fn wait_within(&self, time: Duration, mut so: impl FnMut(&Counts) -> bool) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if so(&self.handle.counts()) {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("{:#?}", self.handle.counts());
    }

    /// What was told of the whole since the last time.
    pub(crate) fn events(&self) -> Vec<Event> {
        let told = self.handle.endings().take().into_iter();
        told.filter_map(|told| if let Told::Event(event) = told { Some(event) } else { None }).collect()
    }

    /// The first session that ended since the last time: told in the turn's end, after it is free.
    pub(crate) fn ended(&self) -> Box<Ended> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            for told in self.handle.endings().take() {
                if let Told::Ended(ended) = told {
                    return ended;
                }
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("no end was told: {:#?}", self.handle.counts());
    }

    /// Waits until nobody is there. Not for before somebody was: an empty house is also how it begins.
    pub(crate) fn wait_until_empty(&self) {
        self.wait_for(|counts| counts.sessions == 0);
    }
}

fn snapshot(config: Arc<Config>, files: &Files, previous: Option<&Snapshot>) -> Snapshot {
    let read = |path: &std::path::Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        files.get(name).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    Snapshot::build(config, Own::default(), &read, previous).unwrap()
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.handle.shut_down();
        self.running.take().unwrap().join().unwrap();
    }
}

/// No hello: everything goes to one endpoint.
pub(crate) fn to(endpoint: SocketAddr) -> String {
    to_upstream("tcp", &[endpoint], "")
}

/// No hello: everything goes to an upstream `out` that speaks `protocol`; `settings` are further lines of it.
pub(crate) fn to_upstream(protocol: &str, endpoints: &[SocketAddr], settings: &str) -> String {
    let endpoints: Vec<_> =
        endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!(
        r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "none"
route = "out"
[route.out]
resolver = "upstream"
upstreams = ["out"]
[upstream.out]
protocol = "{protocol}"
endpoints = [{}]
{settings}
"#,
        endpoints.join(", ")
    )
}

/// Waits for something that the gateway does by itself, for as long as `patience`.
pub(crate) fn until(patience: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// The endpoints of that upstream, with what is known of them.
pub(crate) fn members(gate: &Gate) -> Vec<Arc<EndpointState>> {
    let snapshot = gate.handle.snapshot();
    snapshot.upstream(&UpstreamName::from("out")).unwrap().endpoints().cloned().collect()
}

/// As [`to`], with more settings of the listener.
pub(crate) fn to_with(endpoint: SocketAddr, settings: &str) -> String {
    to(endpoint).replace("route = \"out\"\n", &format!("route = \"out\"\n{settings}\n"))
}

/// The client names its endpoint.
pub(crate) fn by_address() -> String {
    r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "length-prefixed"
route = "out"
[route.out]
resolver = "address"
allow = ["127.0.0.0/8:*"]
"#
    .into()
}

/// One open session of a new data plane with one worker: the client's socket and the endpoint's.
pub(crate) fn session(settings: &str) -> (Gate, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &to_with(listener.local_addr().unwrap(), settings));
    let client = gate.connect();
    let endpoint = accept(&listener);
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    (gate, client, endpoint)
}

/// The next connection to an endpoint, within 20 s.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                return stream;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// Expects that nothing arrives and nothing ends for so long.
pub(crate) fn stays_silent(mut stream: &TcpStream, time: Duration) {
    let before = stream.read_timeout().unwrap();
    stream.set_read_timeout(Some(time)).unwrap();
    let heard = stream.read(&mut [0; 64]);
    assert!(matches!(&heard, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{heard:?}");
    stream.set_read_timeout(before).unwrap();
}

/// A hello that names an endpoint.
pub(crate) fn hello(endpoint: SocketAddr) -> Vec<u8> {
    let key = endpoint.to_string();
    [&u32::try_from(key.len()).unwrap().to_le_bytes()[..], key.as_bytes()].concat()
}

/// An endpoint that gives everything back.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count) = stream.read(&mut buffer) {
                    if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A port that refuses connections and datagrams, and that nobody is given as long as this process lives.
pub(crate) fn closed_port() -> SocketAddr {
    static HELD: Mutex<Vec<(OwnedFd, UdpSocket)>> = Mutex::new(Vec::new());
    let (address, held) = (0..100).find_map(|_| hold_a_port().ok()).expect("a port of both is free");
    HELD.lock().unwrap().push(held);
    address
}

/// A TCP socket that does not listen, and a UDP socket that hears only one who never speaks, on one port.
fn hold_a_port() -> std::io::Result<(SocketAddr, (OwnedFd, UdpSocket))> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = SocketAddr::try_from(getsockname(&stream)?)?;
    let datagrams = UdpSocket::bind(address)?;
    datagrams.connect((Ipv4Addr::LOCALHOST, 1))?;
    Ok((address, (stream, datagrams)))
}

/// An endpoint that sends as long as it is let.
pub(crate) fn flood() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || while stream.write_all(&[7; 1 << 16]).is_ok() {});
        }
    });
    address
}
