//! Certificates made for a test, and peers that end their connections in every way there is.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::config::DialTls;
use portcullis_core::tls::Client;
use portcullis_peers::{Identity, Trust};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::gate::{Files, Gate, accept, reset, to};

/// An authority and the files of whom it has signed: `ca.pem`, and `name.pem` and `name.key` of each.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) files: Files,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let certificate = params.self_signed(&key).unwrap();
        let files = Files::from([("ca.pem".into(), certificate.pem().into_bytes())]);
        Self { issuer: Issuer::new(params, key), files }
    }

    /// One that has signed a certificate for 127.0.0.1, called `own`.
    pub(crate) fn own() -> Self {
        let mut authority = Self::new();
        authority.sign("own", &["127.0.0.1", "own.test"]);
        authority
    }

    pub(crate) fn sign(&mut self, name: &str, hosts: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.files.insert(format!("{name}.pem"), certificate.pem().into_bytes());
        self.files.insert(format!("{name}.key"), key.serialize_pem().into_bytes());
    }

    /// Whoever trusts it and asks for `name`.
    pub(crate) fn trust(&self, name: &str) -> Trust {
        Trust::new(&self.files["ca.pem"], name).unwrap()
    }

    /// As [`Authority::trust`], with a certificate of its own.
    pub(crate) fn trust_as(&self, name: &str, own: &str) -> Trust {
        let cert = |ending: &str| format!("{own}.{ending}").into();
        let settings = DialTls {
            ca_file: Some("ca.pem".into()),
            server_name: Some(name.into()),
            verify: true,
            cert: Some(portcullis_core::config::CertFiles { cert: cert("pem"), key: cert("key") }),
        };
        self.build(&settings)
    }

    /// Whoever trusts everybody and asks for `name`.
    pub(crate) fn credulous(&self, name: &str) -> Trust {
        let server_name = Some(name.into());
        self.build(&DialTls { ca_file: None, server_name, verify: false, cert: None })
    }

    fn build(&self, settings: &DialTls) -> Trust {
        let read = |path: &std::path::Path| Ok(self.files[path.to_str().unwrap()].clone());
        let client = Client::build(settings, &read).unwrap();
        Trust { config: client.config, name: client.name.unwrap() }
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        Identity::new(&self.files[&format!("{name}.pem")], &self.files[&format!("{name}.key")]).unwrap()
    }
}

/// A listener that shows `own`.
pub(crate) const SHOWS_OWN: &str = "tls = { certs = [{ cert = \"own.pem\", key = \"own.key\" }] }";
/// An endpoint that is trusted for what `ca.pem` says.
pub(crate) const TRUSTS_CA: &str = "tls = { ca_file = \"ca.pem\" }";

/// What a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Tcp,
    Tls,
}

/// Every pair of a client's and an endpoint's speech in which one is sealed.
pub(crate) const CELLS: [(Speech, Speech); 3] =
    [(Speech::Tls, Speech::Tcp), (Speech::Tcp, Speech::Tls), (Speech::Tls, Speech::Tls)];

/// The configuration of a cell, with more settings of its listener and its upstream.
pub(crate) fn cell(
    (client, endpoint): (Speech, Speech),
    address: std::net::SocketAddr,
    (listener, upstream): (&str, &str),
) -> String {
    let mut text = to(address);
    if client == Speech::Tls {
        text = text.replacen("protocol = \"tcp\"", &format!("protocol = \"tls\"\n{SHOWS_OWN}"), 1);
    }
    let (head, tail) = text.split_once("[upstream.out]").unwrap();
    let head = head.replacen("route = \"out\"\n", &format!("route = \"out\"\n{listener}\n"), 1);
    let tail = match endpoint {
        Speech::Tcp => tail.to_owned(),
        Speech::Tls => tail.replacen("protocol = \"tcp\"", &format!("protocol = \"tls\"\n{TRUSTS_CA}"), 1),
    };
    format!("{head}[upstream.out]{tail}\n{upstream}\n")
}

/// One open session of a cell: the data plane, the client and the endpoint.
pub(crate) fn session(cell: (Speech, Speech), settings: &str) -> (Gate, Peer, Peer) {
    let authority = Authority::own();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = self::cell(cell, listener.local_addr().unwrap(), (settings, ""));
    let gate = Gate::start_with(1, 1000, &text, &authority.files);
    let (client, endpoint) = std::thread::scope(|scope| {
        let endpoint = scope.spawn(|| Peer::serving(cell.1, accept(&listener), &authority));
        (Peer::asking(cell.0, gate.connect(), &authority), endpoint.join().unwrap())
    });
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    (gate, client, endpoint)
}

/// The other end of a leg.
pub(crate) enum Peer {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Peer {
    /// A client's side, its handshake done.
    pub(crate) fn asking(speech: Speech, socket: TcpStream, authority: &Authority) -> Self {
        match speech {
            Speech::Tcp => Self::Plain(socket),
            Speech::Tls => Self::trusting(socket, &authority.trust("own.test")).unwrap(),
        }
    }

    /// A client's side that trusts so.
    pub(crate) fn trusting(socket: TcpStream, trust: &Trust) -> io::Result<Self> {
        let connection = ClientConnection::new(Arc::clone(&trust.config), trust.name.clone()).unwrap();
        let mut stream = Box::new(StreamOwned::new(connection, socket));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Client(stream))
    }

    /// An endpoint's side, its handshake done.
    pub(crate) fn serving(speech: Speech, socket: TcpStream, authority: &Authority) -> Self {
        match speech {
            Speech::Tcp => Self::Plain(socket),
            Speech::Tls => {
                let connection = ServerConnection::new(authority.identity("own").config).unwrap();
                let mut stream = Box::new(StreamOwned::new(connection, socket));
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).unwrap();
                }
                Self::Server(stream)
            }
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    /// What the library knows, of a client.
    pub(crate) fn about(&self) -> &ClientConnection {
        match self {
            Self::Client(stream) => &stream.conn,
            Self::Plain(_) | Self::Server(_) => panic!("no sealed client"),
        }
    }

    /// Ends its direction as its protocol wants.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Client(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            Self::Server(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
        self.cut();
    }

    /// Ends the stream beneath, and says nothing.
    pub(crate) fn cut(&self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        match self {
            Self::Plain(socket) => reset(socket),
            Self::Client(stream) => reset(stream.sock),
            Self::Server(stream) => reset(stream.sock),
        }
    }

    pub(crate) fn patience(&self, time: Duration) {
        self.socket().set_read_timeout(Some(time)).unwrap();
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Client(stream) => stream.read(buffer),
            Self::Server(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Client(stream) => stream.write(bytes),
            Self::Server(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }
}
