//! `check`, `convert` and `schema` of the real binary: what they print, and what they end with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_core::config::{Config, Protocol};
use portcullis_tests::{Authority, Site};

/// Exit code for a config that cannot be used (EX_CONFIG of sysexits.h).
const CONFIG: Option<i32> = Some(78);

#[test]
fn every_broken_config_ends_with_78_and_its_golden_text() {
    let folder = root().join("tests/config");
    let mut told = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let golden = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        for command in ["check", "convert", "run"] {
            let output = portcullis(&folder, &[command, "--config", name]);
            assert_eq!((output.status.code(), stderr(&output)), (CONFIG, golden.clone()), "{command} {name}");
            assert!(output.stdout.is_empty(), "{command} {name}");
        }
        told += 1;
    }
    assert!(told >= 20, "{told}");
}

#[test]
fn every_good_config_is_said_to_be_good() {
    let site = with_certificates();
    for name in shown() {
        let name = root().join(name).display().to_string();
        let output = portcullis(site.folder(), &["check", "--config", &name]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).starts_with(&format!("{name} is good: ")), "{}", stdout(&output));
    }
    // Without `--config`, the first place is the seed's own.
    let output = portcullis(&root(), &["check"]);
    assert!(stdout(&output).starts_with("config/config.toml is good"), "{}", stderr(&output));
}

#[test]
fn a_config_with_every_section_is_said_to_be_good() {
    let (site, pair) = (Site::new(), Authority::new().issue(&["localhost"], 2100));
    site.write("web.pem", pair.cert);
    site.write("web.key", pair.key);
    // Bytes that are no key of another form are one of HS256.
    site.write("jwt.pem", "0123456789abcdef0123456789abcdef");
    let name = root().join("tests/config/good/every-feature.toml").display().to_string();
    for arguments in [&["check", "--config", &name][..], &["check", "--effective", "--config", &name]] {
        let output = portcullis(site.folder(), arguments);
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""), "{}", stdout(&output));
    }
}

#[test]
fn every_good_config_starts_and_ends() {
    for name in shown() {
        let text = anywhere(&std::fs::read_to_string(root().join(&name)).unwrap());
        let gate = with_certificates().start(&text);
        for listener in Config::parse(&text, &name, &|_| None).unwrap().listeners {
            let address = gate.listener(listener.name.as_str());
            if listener.protocol == Protocol::Kcp {
                // Somebody is there: nobody else gets the port.
                assert!(UdpSocket::bind(address).is_err(), "{name}: {address}");
            } else {
                drop(TcpStream::connect(address).unwrap());
            }
        }
        assert_eq!(gate.terminate(), 0, "{name}");
    }
}

#[test]
fn what_convert_and_effective_print_is_a_config_again() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config");
    std::fs::create_dir_all(&folder).unwrap();
    let seed = root().join("config/config.toml");
    for arguments in [&["convert"][..], &["check", "--effective"]] {
        let printed = portcullis(&root(), &[arguments, &["--config", seed.to_str().unwrap()]].concat());
        assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
        let native = folder.join(format!("{}.toml", arguments[0]));
        std::fs::write(&native, &printed.stdout).unwrap();
        let checked = portcullis(&folder, &["check", "--config", native.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    }
}

#[test]
fn schema_is_the_one_in_docs() {
    let output = portcullis(&root(), &["schema"]);
    assert_eq!(stdout(&output), std::fs::read_to_string(root().join("docs/config.schema.json")).unwrap());
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unusable");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bytes.toml"), b"workers = 1\n\xff").unwrap();
    let jwt =
        "[wsgate]\n[common]\nheader_identify = 'jwt'\njwt_key_file = 'no-such.pem'\nallow = '10.0.0.0/8:*'\n";
    std::fs::write(folder.join("jwt.toml"), jwt).unwrap();
    let tls = "[[listener]]\nname = 'a'\nprotocol = 'tls'\nbind = 0\nroute = 'r'\ntls.certs = [{ cert = 'no-cert.pem', key = 'k' }]\n\
               [route.r]\nallow = '10.0.0.0/8:*'\nendpoint = 'tls'\ntls.ca_file = 'no-ca.pem'\n";
    std::fs::write(folder.join("tls.toml"), tls).unwrap();
    for (name, want) in [
        ("absent.toml", "absent.toml"),
        ("bytes.toml", "UTF-8"),
        ("jwt.toml", "no-such.pem"),
        ("tls.toml", "listener `a`: `tls`: no-cert.pem"),
        ("tls.toml", "route `r`: `tls`: no-ca.pem"),
    ] {
        let output = portcullis(&folder, &["check", "--config", name]);
        assert_eq!(output.status.code(), CONFIG, "{name}");
        assert!(
            stderr(&output).contains(want) && stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_key_file_that_is_not_there_is_told_with_its_route_once() {
    let site = Site::new();
    let text = "[[listener]]\nname = \"in\"\nprotocol = \"tcp\"\nbind = [0]\nroute = \"keyed\"\n\n\
        [route.keyed]\nresolver = \"jwt\"\nkey_file = \"gone.pem\"\nallow = [\"10.0.0.0/8:*\"]\n";
    site.write("keyed.toml", text);
    let output = portcullis(site.folder(), &["check", "--config", "keyed.toml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), CONFIG, "{said}");
    let begin = "error: keyed.toml: route `keyed`: key file gone.pem cannot be read: ";
    assert!(said.starts_with(begin), "{said}");
}

/// The seed's own file and the examples.
fn shown() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut shown: Vec<String> =
        names.filter(|name| name.ends_with(".toml")).map(|name| format!("examples/{name}")).collect();
    assert!(shown.len() >= 2, "{shown:?}");
    shown.push("config/config.toml".into());
    shown
}

/// A folder with the certificate that examples name.
fn with_certificates() -> Site {
    let (site, pair) = (Site::new(), Authority::new().issue(&["localhost"], 2100));
    std::fs::create_dir(site.folder().join("tls")).unwrap();
    site.write("tls/web.pem", pair.cert);
    site.write("tls/web.key", pair.key);
    site
}

/// The same config on ports that are free, with its files in the gate's folder.
fn anywhere(text: &str) -> String {
    let free = |line: &str| match line.split_once(" = ") {
        Some(("bind", address)) => {
            let (host, end) = address.rsplit_once(':').unwrap();
            format!("bind = {host}:0{}", end.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        Some(("port", _)) => "port = 0".into(),
        _ => line.replace("\"log/", "\"{folder}/log/").replace("\"tls/", "\"{folder}/tls/"),
    };
    text.lines().map(|line| free(line) + "\n").collect()
}

fn portcullis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(portcullis_tests::binary()).args(arguments).current_dir(folder).env_clear().output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
