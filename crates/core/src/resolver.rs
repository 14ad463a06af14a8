//! From the key of a hello to what may be dialled.
//!
//! One file per resolver; this one owns what they share: the question, the answer, the refusals, and the
//! guard every address passes on its way out. Files are read and clocks asked by the caller.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::allow::{Allow, Forbidden, check, may_look_up};
use crate::config::{self, NameTarget};
use crate::endpoint::{Endpoint, Host, HostName};
use crate::name::{RouteName, UpstreamName};
use crate::outcome::Reason;

mod address;
mod frontd;
pub mod jwt;
mod name;
#[cfg(test)]
mod tests;
mod ticket;
mod upstream;

pub use crate::allow::Own;

/// What a hello asks.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The key; empty where the hello has none.
    pub key: &'a str,
    /// Who asks, as its socket says (or a trusted peer for it).
    pub client: IpAddr,
    /// When it asks.
    pub now: SystemTime,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address that may be dialled as it is.
    Address(SocketAddr),
    /// A name to look up; every answer has to pass [`Resolver::admit`].
    Name {
        /// The name.
        host: HostName,
        /// The port that goes with every answer.
        port: NonZeroU16,
    },
    /// A name to look up as SRV; every address found, with its port, has to pass [`Resolver::admit`] under
    /// this name.
    Service {
        /// The name.
        host: HostName,
    },
    /// An upstream of the route.
    Upstream(UpstreamName),
}

/// A key that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What it stands for.
    pub target: Target,
    /// Who a verified token or ticket says the client is: 1 to 128 printable characters.
    pub identity: Option<Box<str>>,
}

/// Why a key was not accepted. For logs and metrics: the client is told the same whatever it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The key is not of the resolver's grammar.
    #[error("the key is malformed")]
    Malformed,
    /// Nothing goes by that name.
    #[error("nothing goes by that key")]
    Unknown,
    /// The address it stands for may not be dialled.
    #[error("forbidden: {0}")]
    Forbidden(Forbidden),
    /// The upstream it stands for is not one of the route's.
    #[error("the route does not have that upstream")]
    ForeignUpstream,
    /// The token or ticket was not accepted.
    #[error("{0}")]
    Token(TokenFault),
    /// A ticket for one use was used before.
    #[error("the ticket was used before")]
    TicketUsed,
    /// Too many tickets for one use are remembered to remember another.
    #[error("too many one-time tickets are in use at once")]
    TicketsFull,
}

/// What is wrong with a token or a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// It is longer than is ever accepted.
    #[error("the token is too long")]
    TooLong,
    /// Its header is not acceptable: no JSON, a name twice, or something critical that is not understood.
    #[error("the token's header is not acceptable")]
    Header,
    /// No key is for its algorithm, or it names a key that does not exist.
    #[error("no key is for the token's algorithm and key id")]
    Key,
    /// The signature (or the seal) does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing, twice there, of the wrong type, or out of bounds.
    #[error("the token's claims are not acceptable")]
    Claims,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It is from somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is bound to another client address.
    #[error("the ticket is for another client address")]
    Client,
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::KeyMalformed,
            Refusal::Unknown => Self::KeyUnknown,
            Refusal::Forbidden(_) | Refusal::ForeignUpstream => Self::KeyForbidden,
            Refusal::Token(_) => Self::TokenRefused,
            Refusal::TicketUsed => Self::TicketUsed,
            Refusal::TicketsFull => Self::Overload,
        }
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden)
    }
}

impl From<TokenFault> for Refusal {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

/// Why a route's resolver cannot be built. Says what to do, and never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// A key file cannot be read.
    #[error("route `{route}`: key file {} cannot be read", path.display())]
    Unreadable {
        /// The route.
        route: RouteName,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A key file of tokens has no usable key.
    #[error("route `{route}`: key file {}: {fault}", path.display())]
    TokenKey {
        /// The route.
        route: RouteName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: jwt::KeyError,
    },
    /// A key file of tickets has no usable key.
    #[error("route `{route}`: key file of tickets {}: {fault}", path.display())]
    TicketKey {
        /// The route.
        route: RouteName,
        /// The file; the last one where it is several together that do not fit.
        path: PathBuf,
        /// What is wrong with it.
        fault: crate::ticket::KeyRingError,
    },
    /// A file has no passphrase.
    #[error("route `{route}`: key file {}: a passphrase is text of 1 to {} bytes", path.display(), crate::passphrase::MAX)]
    Passphrase {
        /// The route.
        route: RouteName,
        /// The file.
        path: PathBuf,
    },
    /// A resolver of tokens or tickets has no key file.
    #[error("route `{route}` has no key file; set `key_file`")]
    NoKey {
        /// The route.
        route: RouteName,
    },
    /// The route needs an upstream.
    #[error("route `{route}` names no upstream; set `upstreams`")]
    NoUpstream {
        /// The route.
        route: RouteName,
    },
}

/// How the keys of one route become targets. Shared by all workers.
#[derive(Debug)]
pub struct Resolver {
    kind: Kind,
    guard: Guard,
}

#[derive(Debug)]
enum Kind {
    Address,
    Jwt(jwt::Verifier),
    Ticket(ticket::Tickets),
    Frontd(frontd::Passphrase),
    Name(name::Names),
    Upstream(UpstreamName),
}

/// Reads a file whole.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

impl Resolver {
    /// Builds the resolver of a route; `read` is asked for its key files.
    ///
    /// `previous` is the same route's resolver before a reload: which tickets were used stays known.
    ///
    /// # Errors
    /// A key file that cannot be read or has no usable key; a route that lacks what its resolver needs.
    pub fn build(
        route: &config::Route,
        read: ReadFile<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, ResolverError> {
        let kind = match &route.resolver {
            config::Resolver::Address => Kind::Address,
            config::Resolver::Jwt(jwt) => Kind::Jwt(jwt::build(&route.name, jwt, read)?),
            config::Resolver::Ticket(ticket) => {
                let previous = match previous.map(|previous| &previous.kind) {
                    Some(Kind::Ticket(tickets)) => Some(tickets),
                    _ => None,
                };
                Kind::Ticket(ticket::Tickets::build(&route.name, ticket, read, previous)?)
            }
            config::Resolver::Frontd(frontd) => {
                Kind::Frontd(frontd::Passphrase::build(&route.name, &frontd.key_file, read)?)
            }
            config::Resolver::Name(table) => Kind::Name(name::Names::build(table)),
            config::Resolver::Upstream => Kind::Upstream(upstream::of(route)?),
        };
        let guard = Guard { allow: route.allow.clone(), upstreams: route.upstreams.clone() };
        Ok(Self { kind, guard })
    }

    /// Says what a key stands for.
    ///
    /// A ticket for one use is used up by being accepted here, whatever comes of the session.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn resolve(&self, ask: &Ask<'_>, own: &Own) -> Result<Resolved, Refusal> {
        let anonymous = |target| Resolved { target, identity: None };
        match &self.kind {
            Kind::Address => address::resolve(&self.guard, ask, own).map(anonymous),
            Kind::Jwt(verifier) => {
                let claims = verifier.verify(ask.key, ask.now)?;
                let target = self.guard.target(claims.target, ask.client, own)?;
                Ok(Resolved { target, identity: claims.subject })
            }
            Kind::Ticket(tickets) => tickets.resolve(&self.guard, ask, own),
            Kind::Frontd(passphrase) => passphrase.resolve(&self.guard, ask, own).map(anonymous),
            Kind::Name(names) => names.resolve(&self.guard, ask, own).map(anonymous),
            Kind::Upstream(name) => Ok(anonymous(Target::Upstream(name.clone()))),
        }
    }

    /// Checks one answer to the look-up of `host`, and returns the address to dial.
    ///
    /// # Errors
    /// The answer may not be dialled; others may.
    pub fn admit(
        &self,
        client: IpAddr,
        own: &Own,
        host: &HostName,
        answer: SocketAddr,
    ) -> Result<SocketAddr, Refusal> {
        let allowed = check(&self.guard.allow, own, client, Some(host), answer);
        match (&self.kind, allowed) {
            (Kind::Name(names), Err(_)) => Ok(check(names.allow(), own, client, Some(host), answer)?),
            (_, allowed) => Ok(allowed?),
        }
    }

    /// Does every question cost a signature or a seal? The worker limits how many it asks in one turn.
    #[must_use]
    pub fn is_expensive(&self) -> bool {
        matches!(self.kind, Kind::Jwt(_) | Kind::Ticket(_))
    }
}

/// What the keys of a route may lead to.
#[derive(Debug)]
struct Guard {
    allow: Allow,
    upstreams: Vec<UpstreamName>,
}

impl Guard {
    /// Lets a claimed target out if the route may have it.
    fn target(&self, claimed: NameTarget, client: IpAddr, own: &Own) -> Result<Target, Refusal> {
        match claimed {
            NameTarget::Endpoint(endpoint) => address_or_name(&self.allow, endpoint, client, own),
            NameTarget::Upstream(name) if self.upstreams.contains(&name) => Ok(Target::Upstream(name)),
            NameTarget::Upstream(_) => Err(Refusal::ForeignUpstream),
        }
    }
}

/// Lets an endpoint out: a literal is checked, a name only looked up if an answer could pass.
fn address_or_name(allow: &Allow, endpoint: Endpoint, client: IpAddr, own: &Own) -> Result<Target, Refusal> {
    let Endpoint { host, port } = endpoint;
    match host {
        Host::Ip(ip) => {
            let addr = check(allow, own, client, None, SocketAddr::new(ip, port.get()))?;
            Ok(Target::Address(addr))
        }
        Host::Name(host) if may_look_up(allow, &host, Some(port)) => Ok(Target::Name { host, port }),
        Host::Name(_) => Err(Forbidden::NotAllowed.into()),
    }
}

/// Reads the key files of a route, one after the other.
fn read_files<T>(
    route: &RouteName,
    paths: &[PathBuf],
    read: ReadFile<'_>,
    mut each: impl FnMut(&Path, Vec<u8>) -> Result<T, ResolverError>,
) -> Result<Vec<T>, ResolverError> {
    if paths.is_empty() {
        return Err(ResolverError::NoKey { route: route.clone() });
    }
    let unreadable = |path: &PathBuf, source| ResolverError::Unreadable {
        route: route.clone(),
        path: path.clone(),
        source,
    };
    paths.iter().map(|path| each(path, read(path).map_err(|source| unreadable(path, source))?)).collect()
}
