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
        let available = read("tcp_available_congestion_control");
        let pick = |names: [&str; 2]| {
            names
                .into_iter()
                .find(|name| available.split_whitespace().any(|known| known == *name))
                .map(Into::into)
        };
        Self { loopback: pick(["reno", "cubic"]), private: pick(["cubic", "reno"]) }
    }

    /// The congestion control for a connection with `peer`; `None` = the system's.
    pub(crate) fn congestion(&self, asked: &Congestion, peer: IpAddr, config: &Config) -> Option<Box<str>> {
        match asked {
            Congestion::System => None,
            Congestion::Named(name) => Some(name.clone()),
            Congestion::Auto if peer.is_loopback() => self.loopback.clone(),
            Congestion::Auto if self.private.is_none() => None,
            Congestion::Auto => {
                let near = config.private_networks.iter().any(|network| network.contains(&peer));
                if near { self.private.clone() } else { None }
            }
        }
    }
}
