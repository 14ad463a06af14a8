//! Which congestion control a socket gets: a near peer needs no pacing.
//!
//! On a system whose default is bbr, pacing without the fq qdisc triples what loopback traffic costs
//! (docs/decisions/0004). `auto` therefore takes reno towards this machine and cubic, where there is
//! one, towards networks listed as private; everywhere else the system decides.

use std::fs;
use std::net::IpAddr;

use portcullis_core::config::{Config, Congestion};

/// What `auto` chooses on this system.
#[derive(Debug)]
pub(crate) struct Near {
    loopback: Option<Box<str>>,
    private: Option<Box<str>>,
}

impl Near {
    /// Asks the system what it has. Where the default is unpaced already, `auto` changes nothing.
    pub(crate) fn of_system() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
        let default = read("tcp_congestion_control");
        if matches!(default.trim(), "reno" | "cubic" | "") {
            return Self { loopback: None, private: None };
        }
        // Those for which nobody needs a privilege come first.
        let [allowed, available] =
            ["allowed", "available"].map(|which| read(&format!("tcp_{which}_congestion_control")));
        let has = |list: &str, name: &str| list.split_whitespace().any(|known| known == name);
        let pick = |names: [&str; 2]| {
            let find = |list: &str| names.into_iter().find(|name| has(list, name));
            find(&allowed).or_else(|| find(&available)).map(Into::into)
        };
        Self { loopback: pick(["reno", "cubic"]), private: pick(["cubic", "reno"]) }
    }

    /// Is `peer` this machine, or in a network listed as private?
    pub(crate) fn is_near(&self, peer: IpAddr, config: &Config) -> bool {
        peer.is_loopback() || config.private_networks.iter().any(|network| network.contains(&peer))
    }

    /// The congestion control for a connection with `peer`; `None` = the system's.
    pub(crate) fn congestion(&self, asked: &Congestion, peer: IpAddr, config: &Config) -> Option<Box<str>> {
        match asked {
            Congestion::System => None,
            Congestion::Named(name) => Some(name.clone()),
            Congestion::Auto if peer.is_loopback() => self.loopback.clone(),
            Congestion::Auto if self.private.is_none() => None,
            Congestion::Auto if self.is_near(peer, config) => self.private.clone(),
            Congestion::Auto => None,
        }
    }
}
