#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, HandshakeKind, ServerConnection};

use super::*;
use crate::config::{CertFiles, ClientAuth, DialTls, Tls};

/// Files in memory, signed by one authority.
struct Files {
    issuer: Issuer<'static, KeyPair>,
    held: BTreeMap<PathBuf, Vec<u8>>,
}

impl Files {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem().into_bytes();
        let mut files =
            Self { issuer: Issuer::new(params, key), held: BTreeMap::from([("ca.pem".into(), ca)]) };
        files.sign("web", &["web.test", "*.wild.test"]);
        files
    }

    fn sign(&mut self, name: &str, hosts: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "an organization");
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.held.insert(format!("{name}.pem").into(), certificate.pem().into_bytes());
        self.held.insert(format!("{name}.key").into(), key.serialize_pem().into_bytes());
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.held[Path::new(&format!("{name}.pem"))]).unwrap()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.held.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn server(&self, settings: &Tls, previous: Option<&Server>) -> Result<Server, TlsError> {
        Server::build(settings, &|path| self.read(path), previous)
    }

    fn client(&self, settings: &DialTls) -> Result<Client, TlsError> {
        Client::build(settings, &|path| self.read(path))
    }
}

fn files_of(cert: &str, key: &str) -> CertFiles {
    CertFiles { cert: cert.into(), key: key.into() }
}

fn showing(cert: &str, key: &str) -> Tls {
    let certs = vec![files_of(cert, key)];
    Tls { certs, client_auth: ClientAuth::Off, min_version: TlsVersion::V12 }
}

fn trusting(ca_file: Option<&str>) -> DialTls {
    let server_name = Some("web.test".into());
    DialTls { ca_file: ca_file.map(Into::into), server_name, verify: true, cert: None }
}

#[test]
fn a_file_that_cannot_serve_is_named() {
    let mut files = Files::new();
    files.sign("other", &["other.test"]);
    files.held.insert("empty.pem".into(), Vec::new());
    files.held.insert("cut.pem".into(), b"-----BEGIN CERTIFICATE-----\nMII".to_vec());
    let hollow = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    files.held.insert("hollow.pem".into(), hollow.to_vec());
    let hollow = b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    files.held.insert("hollow.key".into(), hollow.to_vec());
    for (cert, key, told) in [
        ("gone.pem", "web.key", "gone.pem: cannot be read"),
        ("web.pem", "gone.key", "gone.key: cannot be read"),
        ("empty.pem", "web.key", "empty.pem: holds no certificate"),
        ("web.key", "web.key", "web.key: holds no certificate"),
        ("cut.pem", "web.key", "cut.pem: is no PEM file"),
        ("hollow.pem", "web.key", "hollow.pem: a certificate in it cannot be used"),
        ("web.pem", "web.pem", "web.pem: holds no private key"),
        ("web.pem", "hollow.key", "hollow.key: the key cannot be used"),
        ("web.pem", "other.key", "other.key: is not the key of the certificate in web.pem"),
    ] {
        let error = files.server(&showing(cert, key), None).unwrap_err().to_string();
        assert!(error.starts_with(told), "{cert} {key}: {error}");
        let own = DialTls { cert: Some(files_of(cert, key)), ..trusting(Some("ca.pem")) };
        assert_eq!(files.client(&own).unwrap_err().to_string(), error, "{cert} {key}");
    }
    for (ca, told) in [("gone.pem", "gone.pem: cannot be read"), ("hollow.pem", "hollow.pem: a certificate")]
    {
        let error = files.client(&trusting(Some(ca))).unwrap_err().to_string();
        assert!(error.starts_with(told), "{ca}: {error}");
        let asks = Tls { client_auth: ClientAuth::Required(ca.into()), ..showing("web.pem", "web.key") };
        let error = files.server(&asks, None).unwrap_err().to_string();
        assert!(error.starts_with(told), "{ca}: {error}");
    }
    let nameless = DialTls { server_name: Some("no name".into()), ..trusting(Some("ca.pem")) };
    assert!(matches!(files.client(&nameless), Err(TlsError::Name { .. })));
}

#[test]
fn without_a_file_the_system_s_roots_are_looked_for_and_none_is_an_error() {
    let mut files = Files::new();
    assert!(matches!(files.client(&trusting(None)), Err(TlsError::NoRoots { .. })));
    let bundle = files.held[Path::new("ca.pem")].clone();
    files.held.insert("/etc/ssl/ca-bundle.pem".into(), bundle);
    let client = files.client(&trusting(None)).unwrap();
    let server = files.server(&showing("web.pem", "web.key"), None).unwrap();
    assert_eq!(shake(&client, &server).unwrap(), HandshakeKind::Full);
}

#[test]
fn tickets_outlive_a_reload_unless_other_clients_are_trusted() {
    let mut files = Files::new();
    files.sign("", &["device.test"]);
    let new_ca = Files::new().held.remove(Path::new("ca.pem")).unwrap();
    files.held.insert("new-ca.pem".into(), new_ca);
    let asks =
        |ca: &str| Tls { client_auth: ClientAuth::Optional(ca.into()), ..showing("web.pem", "web.key") };
    let client = files.client(&trusting(Some("ca.pem"))).unwrap();
    let first = files.server(&asks("ca.pem"), None).unwrap();
    assert_eq!(shake(&client, &first).unwrap(), HandshakeKind::Full);
    let same = files.server(&asks("ca.pem"), Some(&first)).unwrap();
    assert_eq!(shake(&client, &same).unwrap(), HandshakeKind::Resumed);
    let other = files.server(&asks("new-ca.pem"), Some(&same)).unwrap();
    assert_eq!(shake(&client, &other).unwrap(), HandshakeKind::Full);
    let none = files.server(&showing("web.pem", "web.key"), Some(&other)).unwrap();
    assert_eq!(shake(&client, &none).unwrap(), HandshakeKind::Full);
}

#[test]
fn http_is_agreed_on_only_where_it_is_spoken_and_offered() {
    let files = Files::new();
    let server = files.server(&showing("web.pem", "web.key"), None).unwrap();
    let client = files.client(&trusting(Some("ca.pem"))).unwrap();
    for (offers, speaks, agreed) in [(false, false, None), (false, true, None), (true, true, Some(HTTP))] {
        let ours = if speaks { &server.http } else { &server.config };
        let theirs = if offers { &client.http } else { &client.config };
        let (client, server) = connect(theirs, ours).unwrap();
        assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (agreed, agreed));
    }
}

#[test]
fn a_certificate_says_its_names_and_whose_it_is_and_a_broken_one_says_nothing_wrong() {
    let mut files = Files::new();
    files.sign("", &["device.test", "127.0.0.1"]);
    let web = files.certificate("web");
    assert_eq!(der::names(&web), ["web.test", "*.wild.test"]);
    assert_eq!(subject(&web), Some("web"));
    let nameless = files.certificate("");
    assert_ne!(subject(&nameless), None);
    for cut in 0..web.len() {
        assert_eq!((subject(&web[..cut]), der::names(&web[..cut]).len()), (None, 0), "cut at {cut}");
    }
    for (index, _) in web.iter().enumerate() {
        let mut broken = web.to_vec();
        for value in [0, 0x7f, 0x80, 0x84, 0xff] {
            broken[index] = value;
            let _said = (subject(&broken), der::names(&broken)); // anything but a panic
        }
    }
}

fn shake(client: &Client, server: &Server) -> Result<HandshakeKind, rustls::Error> {
    let (client, _) = connect(&client.config, &server.config)?;
    Ok(client.handshake_kind().unwrap())
}

/// Both sides of a connection, its handshake and its tickets exchanged.
fn connect(
    client: &Arc<rustls::ClientConfig>,
    server: &Arc<rustls::ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("web.test").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &*wire;
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = &*wire;
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}
