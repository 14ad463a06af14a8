//! Which sessions there are: what is told of each while it lives, and which of them an operator means.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use crate::name::{ListenerName, UpstreamName};
use crate::outcome::{Path, SessionId};

/// What a living session is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Which session.
    pub session: SessionId,
    /// Where it came in.
    pub listener: ListenerName,
    /// Who it is; behind a proxy that says so, who the proxy says it is.
    pub client: SocketAddr,
    /// How far it is.
    pub stage: Stage,
    /// What its key asked for, as text that is safe to print; `None` before it is known.
    pub target: Option<Box<str>>,
    /// Whose endpoint it has; `None` before it has one, and where the key named an address.
    pub upstream: Option<UpstreamName>,
    /// What it is, or is being, connected to.
    pub endpoint: Option<SocketAddr>,
    /// Who a verified token or ticket says it is.
    pub identity: Option<Box<str>>,
    /// Client to endpoint, payload bytes.
    pub up_bytes: u64,
    /// Endpoint to client, payload bytes.
    pub down_bytes: u64,
    /// How its bytes are moved; [`Path::Splice`] when some of them were.
    pub path: Path,
    /// When it began.
    pub began: SystemTime,
    /// How long ago that was.
    pub age: Duration,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its endpoint is not open yet.
    Opening,
    /// Bytes flow.
    Open,
    /// Its end is under way.
    Ending,
}

impl Stage {
    /// The word in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Ending => "ending",
        }
    }
}

/// Which sessions are meant: those that all its conditions fit. Without any, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// This one.
    pub session: Option<SessionId>,
    /// Those that came in there.
    pub listener: Option<ListenerName>,
    /// Those whose clients are there.
    pub client: Option<IpNet>,
    /// Those that have an endpoint of it.
    pub upstream: Option<UpstreamName>,
    /// Those that are connected to it.
    pub endpoint: Option<SocketAddr>,
    /// Those that are at least so old.
    pub age: Duration,
}

/// What a session is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// Which session.
    pub session: SessionId,
    /// Where it came in.
    pub listener: &'a ListenerName,
    /// Who it is.
    pub client: IpAddr,
    /// Whose endpoint it has.
    pub upstream: Option<&'a UpstreamName>,
    /// What it is connected to.
    pub endpoint: Option<SocketAddr>,
    /// How old it is.
    pub age: Duration,
}

impl Filter {
    /// Is a session of such marks meant? IPv4 inside IPv6 counts as IPv4.
    #[must_use]
    pub fn has(&self, marks: &Marks<'_>) -> bool {
        self.session.is_none_or(|session| session == marks.session)
            && self.listener.as_ref().is_none_or(|listener| listener == marks.listener)
            && self.client.is_none_or(|network| network.contains(&marks.client.to_canonical()))
            && self.upstream.as_ref().is_none_or(|upstream| marks.upstream == Some(upstream))
            && self.endpoint.is_none_or(|endpoint| {
                marks.endpoint.is_some_and(|had| {
                    (had.ip().to_canonical(), had.port()) == (endpoint.ip().to_canonical(), endpoint.port())
                })
            })
            && marks.age >= self.age
    }

    /// Does it mean every session there is?
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self { age: self.age, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn meant(filter: &Filter) -> bool {
        let (listener, upstream) = (ListenerName::from("in"), UpstreamName::from("lobby"));
        filter.has(&Marks {
            session: SessionId(7),
            listener: &listener,
            client: "::ffff:10.1.2.3".parse().unwrap(),
            upstream: Some(&upstream),
            endpoint: Some("10.0.0.1:7000".parse().unwrap()),
            age: Duration::from_secs(5),
        })
    }

    #[test]
    fn a_filter_means_those_that_all_its_conditions_fit() {
        let all = Filter::default();
        assert!(meant(&all) && all.is_all());
        for (filter, want) in [
            (Filter { session: Some(SessionId(7)), ..Filter::default() }, true),
            (Filter { session: Some(SessionId(8)), ..Filter::default() }, false),
            (Filter { listener: Some("in".into()), ..Filter::default() }, true),
            (Filter { listener: Some("i".into()), ..Filter::default() }, false),
            (Filter { client: "10.1.0.0/16".parse().ok(), ..Filter::default() }, true),
            (Filter { client: "10.2.0.0/16".parse().ok(), ..Filter::default() }, false),
            (Filter { client: "::/0".parse().ok(), ..Filter::default() }, false),
            (Filter { upstream: Some("lobby".into()), ..Filter::default() }, true),
            (Filter { upstream: Some("shop".into()), ..Filter::default() }, false),
            (Filter { endpoint: "10.0.0.1:7000".parse().ok(), ..Filter::default() }, true),
            (Filter { endpoint: "[::ffff:10.0.0.1]:7000".parse().ok(), ..Filter::default() }, true),
            (Filter { endpoint: "10.0.0.1:7001".parse().ok(), ..Filter::default() }, false),
            (Filter { listener: Some("in".into()), session: Some(SessionId(8)), ..Filter::default() }, false),
        ] {
            assert_eq!(meant(&filter), want, "{filter:?}");
            assert!(!filter.is_all(), "{filter:?}");
        }
    }

    #[test]
    fn the_young_are_spared() {
        let older = |age| Filter { age: Duration::from_secs(age), ..Filter::default() };
        assert!(meant(&older(5)) && !meant(&older(6)) && older(6).is_all());
    }
}
