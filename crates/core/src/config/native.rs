//! The whole file in its native form.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use super::admin;
use super::error::Report;
use super::key::{Part, Reader, Section, Shape};
use super::kind::named;
use super::process::{self, PRIVATE_NETWORKS, WORKERS};
use super::route::Word;
use super::store::{self, STORE};
use super::tree::Table;
use super::write::{Must, Writer};
use super::{Config, Flavour, Limits, Listener, Protocol, Upstream, limit, listener, log, route, upstream};
use crate::name::{ListenerName, RouteName, UpstreamName};

pub(super) static SECTION: Section = Section {
    path: "the file",
    doc: "The config of one Portcullis node.",
    rows: &[
        &WORKERS,
        &PRIVATE_NETWORKS,
        &STORE,
        &LOG,
        &DNS,
        &ADMIN,
        &LIMITS,
        &DRAIN,
        &LISTENER,
        &ROUTE,
        &UPSTREAM,
    ],
    later: &["scope", "watch", "ban", "node", "cluster", "register", "device", "metrics"],
};
pub(super) static LOG: Part = Part { name: "log", section: &log::SECTION, shape: Shape::Once };
pub(super) static DNS: Part = Part { name: "dns", section: &process::DNS, shape: Shape::Once };
pub(super) static ADMIN: Part = Part { name: "admin", section: &admin::ADMIN, shape: Shape::Once };
pub(super) static LIMITS: Part = Part { name: "limits", section: &process::LIMITS, shape: Shape::Once };
pub(super) static DRAIN: Part = Part { name: "drain", section: &process::DRAIN, shape: Shape::Once };
pub(super) static LISTENER: Part = Part { name: "listener", section: &listener::SECTION, shape: Shape::List };
pub(super) static ROUTE: Part = Part { name: "route", section: &route::SECTION, shape: Shape::Named };
pub(super) static UPSTREAM: Part =
    Part { name: "upstream", section: &upstream::SECTION, shape: Shape::Named };

/// Reads the file; the report says what is wrong with it.
pub(super) fn read(table: &Table, report: &Report<'_>) -> Config {
    let root = Reader::open(table, &(0..0), &SECTION, report);
    let admin = root.has(ADMIN.name).then(|| root.part(&ADMIN));
    let upstreams = root.named(&UPSTREAM);
    let upstream_names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name).collect();
    let mut known = Vec::new();
    let mut routes = Vec::new();
    for found in root.named(&ROUTE) {
        check_name(found.name, &found.name_at, report);
        let (facts, route) = route::read(RouteName::from(found.name), &found.reader, &upstream_names);
        known.push(facts);
        routes.extend(route);
    }
    let read_upstream = |found: &super::key::Named<'_>| -> Option<Upstream> {
        check_name(found.name, &found.name_at, report);
        upstream::read(UpstreamName::from(found.name), &found.reader)
    };
    let upstreams = upstreams.iter().filter_map(read_upstream).collect();
    let found = root.list(&LISTENER);
    if found.is_empty() && !root.has(LISTENER.name) {
        report.error(
            &(0..0),
            "there is no listener",
            "add a `[[listener]]` with `name`, `protocol`, `bind`, `route`",
        );
    }
    let listeners: Vec<Option<Listener>> =
        found.iter().map(|reader| listener::read(reader, &known)).collect();
    let config = Config {
        flavour: Flavour::Native,
        workers: process::read_workers(&root),
        log: log::read(&root.part(&LOG)),
        dns: process::read_dns(&root.part(&DNS)),
        admin: admin.as_ref().map(admin::read_admin),
        limits: process::read_limits(&root.part(&LIMITS)),
        store: root.get(&STORE),
        drain: process::read_drain(&root.part(&DRAIN)),
        private_networks: root.get(&PRIVATE_NETWORKS),
        listeners: Vec::new(),
        routes,
        upstreams,
        warnings: Vec::new(),
    };
    unique_names(&found, &listeners);
    advise_of_limits(&root.part(&LIMITS), &config.limits, &listeners);
    unique_binds(&found, &listeners, config.admin.as_ref().and_then(|admin| admin.bind.tcp()));
    Config { listeners: listeners.into_iter().flatten().collect(), ..config }
}

/// Writes the file.
pub(super) fn write(writer: &mut Writer<'_>, config: &Config) {
    process::write_workers(writer, config.workers);
    writer.put(&PRIVATE_NETWORKS, &config.private_networks);
    writer.table("[log]", &["log"], Must::IfFilled, |w| log::write(w, &config.log));
    writer.table("[dns]", &["dns"], Must::IfFilled, |w| process::write_dns(w, &config.dns));
    if let Some(admin) = &config.admin {
        writer.table("[admin]", &["admin"], Must::Always, |w| admin::write_admin(w, admin));
    }
    writer.table("[limits]", &["limits"], Must::IfFilled, |w| process::write_limits(w, &config.limits));
    writer.table("[store]", &["store"], Must::IfFilled, |w| store::write(w, &config.store));
    writer.table("[drain]", &["drain"], Must::IfFilled, |w| process::write_drain(w, &config.drain));
    let words: BTreeMap<&str, Word> =
        config.routes.iter().map(|route| (route.name.as_str(), Word::of(&route.resolver))).collect();
    for (index, listener) in config.listeners.iter().enumerate() {
        let word = words.get(listener.route.as_str()).copied();
        let path = ["listener", &index.to_string()];
        writer.table("[[listener]]", &path, Must::Always, |w| listener::write(w, listener, word));
    }
    for route in &config.routes {
        let name = super::kind::quoted_key(route.name.as_str());
        let path = ["route", route.name.as_str()];
        writer.table(&format!("[route.{name}]"), &path, Must::Always, |w| route::write(w, route));
    }
    for upstream in &config.upstreams {
        let name = super::kind::quoted_key(upstream.name.as_str());
        let path = ["upstream", upstream.name.as_str()];
        writer.table(&format!("[upstream.{name}]"), &path, Must::Always, |w| upstream::write(w, upstream));
    }
}

fn check_name(name: &str, at: &Range<usize>, report: &Report<'_>) {
    if let Err(why) = super::kind::check_name(name) {
        report.error(at, why, format!("a name, as in `{}`", named::<ListenerName>().example));
    }
}

/// Tells limits of the process that nothing is ever counted by.
fn advise_of_limits(reader: &Reader<'_>, limits: &Limits, listeners: &[Option<Listener>]) {
    let framed = listeners.iter().flatten().any(|one| one.frames.is_some());
    if limits.quotas.whole.message_rate.is_some() && !framed {
        let text = "`message_rate` counts nothing: no listener has `frames`";
        reader.report.warn(&reader.at(limit::rows::MESSAGE_RATE.name), text);
    }
}

fn unique_names(readers: &[Reader<'_>], listeners: &[Option<Listener>]) {
    let mut seen: Vec<&ListenerName> = Vec::new();
    for (reader, listener) in readers.iter().zip(listeners) {
        let Some(listener) = listener else { continue };
        if seen.contains(&&listener.name) {
            let message = format!("two listeners are named `{}`", listener.name);
            reader.error(
                listener::NAME.name,
                message,
                "give each its own name; logs and metrics tell them apart by it",
            );
        }
        seen.push(&listener.name);
    }
}

fn unique_binds(readers: &[Reader<'_>], listeners: &[Option<Listener>], admin: Option<SocketAddr>) {
    let admin = admin.map(|bind| (bind, Ports::Tcp, "the admin listener".into()));
    let mut seen: Vec<(SocketAddr, Ports, String)> = admin.into_iter().collect();
    for (reader, listener) in readers.iter().zip(listeners) {
        let Some(listener) = listener else { continue };
        let ports = Ports::of(listener.protocol);
        for (index, bind) in listener.bind.iter().enumerate() {
            let other = |(other, theirs, _): &&(SocketAddr, Ports, String)| {
                *theirs == ports && collide(*bind, *other)
            };
            if let Some((other, _, whose)) = seen.iter().find(other) {
                let at = reader.item_at(listener::BIND.name, index);
                let message = format!("`{bind}` collides with `{other}` of {whose}");
                reader.report.error(&at, message, "give each listener an address or a port of its own");
            }
            seen.push((*bind, ports, format!("listener `{}`", listener.name)));
        }
    }
}

/// Whose port numbers a listener's are: a port of TCP is another than that of UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    Tcp,
    Udp,
}

impl Ports {
    pub(super) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp | Protocol::Tls | Protocol::Ws | Protocol::Wss => Self::Tcp,
            Protocol::Kcp => Self::Udp,
        }
    }
}

/// Would two sockets listen on the same address? Port 0 is a new port each time; `[::]` is both families.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    let covers = |wide: std::net::IpAddr, narrow: std::net::IpAddr| {
        wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (one == other || covers(one, other) || covers(other, one))
}
