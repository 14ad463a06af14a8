//! What the demo's gateway is started on: a private folder with a certificate and a configuration, and an endpoint of
//! each kind.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Error, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use portcullis_core::wire::kcp::arq::Settings;
use portcullis_peers::{
    Endpoint, Identity, KcpEndpoint, KcpOptions, KcpStream, TlsEndpoint, TlsStream, Trust, WsEndpoint,
    WsStream,
};
use rcgen::{CertificateParams, KeyPair};

use super::cell::{ClientKind, EndpointKind};
use super::exchange;

/// The host that the certificate is for.
pub(super) const HOST: &str = "localhost";

/// A folder that only this user can look into; removed when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let mut chance = [0; 8];
        aws_lc_rs::rand::fill(&mut chance).map_err(|_| Error::other("the system gives no random numbers"))?;
        let name = format!("portcullis-demo-{:016x}", u64::from_ne_bytes(chance));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where a file of the folder is.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a file that only this user can read.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.file(name))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is of no use to anybody: the key was for this run.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// An endpoint of each kind, and what leads there.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) folder: Folder,
    /// What clients trust.
    pub(super) trust: Trust,
    tcp: Endpoint,
    tls: Endpoint,
    kcp: KcpEndpoint,
    ws: Endpoint,
}

impl Site {
    /// Makes the folder and starts the endpoints on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// Whatever the file system or binding fails with.
    pub(super) fn start() -> io::Result<Self> {
        let folder = Folder::new()?;
        let (cert, key) = certificate()?;
        folder.write("cert.pem", &cert)?;
        folder.write("key.pem", &key)?;
        let identity = Identity::new(cert.as_bytes(), key.as_bytes())?;
        let tls = TlsEndpoint::serve(identity, |stream: &TlsStream| exchange::serve(stream));
        let ws = WsEndpoint::bytes(|stream: &WsStream<'_, TcpStream>| exchange::serve(stream));
        let site = Self {
            trust: Trust::new(cert.as_bytes(), HOST)?,
            folder,
            tcp: Endpoint::start(exchange::serve::<TcpStream>)?,
            tls: Endpoint::start(tls)?,
            kcp: KcpEndpoint::start(&kcp_options(), exchange::serve::<KcpStream>)?,
            ws: Endpoint::start(ws)?,
        };
        site.folder.write("portcullis.toml", &site.config())?;
        Ok(site)
    }

    /// Where the configuration is.
    pub(super) fn config_file(&self) -> PathBuf {
        self.folder.file("portcullis.toml")
    }

    /// Where an endpoint listens.
    pub(super) fn address(&self, kind: EndpointKind) -> SocketAddr {
        match kind {
            EndpointKind::Tcp => self.tcp.address(),
            EndpointKind::Tls => self.tls.address(),
            EndpointKind::Kcp => self.kcp.address(),
            EndpointKind::Ws => self.ws.address(),
        }
    }

    /// The configuration: a listener for each kind of client, an upstream for each kind of endpoint, and one route
    /// on which the name of an upstream is the key.
    fn config(&self) -> String {
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let file = |name: &str| quoted(self.folder.file(name));
        let mut text = format!(
            "[log]\nformat = \"json\"\ninfo_file = {}\nerror_file = {}\n\n\
             [admin]\nbind = \"127.0.0.1:0\"\ntoken_file = {}\n",
            file("sessions.log"),
            file("errors.log"),
            file("admin.token")
        );
        // Writing into a String cannot fail.
        let mut line = |line: &str| writeln!(text, "{line}").ok();
        for kind in ClientKind::ALL.map(ClientKind::word) {
            line(&format!("\n[[listener]]\nname = \"{kind}\"\nprotocol = \"{kind}\""));
            line("bind = [\"127.0.0.1:0\"]\nroute = \"by-name\"");
            if kind == "tls" || kind == "wss" {
                let (cert, key) = (file("cert.pem"), file("key.pem"));
                line(&format!("tls = {{ certs = [{{ cert = {cert}, key = {key} }}] }}"));
            }
        }
        let names = EndpointKind::ALL.map(EndpointKind::word);
        let names = names.map(|kind| format!("{kind} = {{ upstream = \"{kind}\" }}")).join(", ");
        line(&format!("\n[route.by-name]\nresolver = \"name\"\nnames = {{ {names} }}"));
        for kind in EndpointKind::ALL {
            let (word, address) = (kind.word(), self.address(kind));
            line(&format!("\n[upstream.{word}]\nprotocol = \"{word}\""));
            line(&format!("endpoints = [{{ address = \"{address}\" }}]"));
            if kind == EndpointKind::Tls {
                let cert = file("cert.pem");
                line(&format!("tls = {{ ca_file = {cert}, server_name = \"{HOST}\" }}"));
            }
        }
        text
    }
}

/// How the KCP endpoint speaks. All its sessions share one socket, whose buffer holds about 90 datagrams (208 KiB that
/// count nearly double): windows that do not fit there together lose what they send at once.
fn kcp_options() -> KcpOptions {
    let usual = KcpOptions::default();
    KcpOptions { settings: Settings { receive_window: 20, ..usual.settings }, ..usual }
}

/// A certificate that signs itself, and its key, both in PEM.
fn certificate() -> io::Result<(String, String)> {
    let told = |error: rcgen::Error| Error::new(ErrorKind::InvalidData, error);
    let key = KeyPair::generate().map_err(told)?;
    let names = [HOST.to_owned(), "127.0.0.1".to_owned()];
    let certificate =
        CertificateParams::new(names).and_then(|params| params.self_signed(&key)).map_err(told)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What the gateway wrote to its error log, for when something failed.
pub(super) fn errors(folder: &Folder) -> String {
    read(&folder.file("errors.log"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
