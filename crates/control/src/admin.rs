//! The admin listener: health, readiness, metrics and what the node says of itself.
//!
//! Owns its listening socket and its token. Everything about its clients is bounded: how many there are,
//! how long they take, how much they say. Reads only; changes nothing.

mod auth;
mod connection;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use portcullis_core::config;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::auth::{Token, TokenError};
use crate::export::{self, Sources, Traffic};
use crate::log::Log;
use crate::resolve;
use crate::status::{Readiness, Status};

/// How many clients there may be at a time.
const CONNECTIONS: usize = 64;

/// How long accepting pauses when the system has no resources for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the admin listener cannot be.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error("[admin]: {addr} cannot be bound; stop the other process (`ss -ltnp`) or set another `bind`")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A bound admin listener with its token. Equal to another if it was asked for alike.
#[derive(Clone, Debug)]
pub struct AdminSocket {
    listener: Arc<TcpListener>,
    /// As configured: a port of 0 stays 0, so that a reload knows it again.
    asked: SocketAddr,
    addr: SocketAddr,
    token: Arc<Token>,
}

impl AdminSocket {
    /// Binds the address of `config`, or shares that of `before` if it is the same, and reads its token or
    /// makes one.
    ///
    /// # Errors
    /// An address that cannot be bound, or a token file that cannot be read, made or trusted.
    pub fn bind(config: &config::Admin, before: Option<&Self>) -> Result<Self, AdminError> {
        let asked = config.bind;
        let (listener, addr) = match before.filter(|before| before.asked == asked) {
            Some(before) => (Arc::clone(&before.listener), before.addr),
            None => Self::listen(asked).map_err(|source| AdminError::Bind { addr: asked, source })?,
        };
        // After binding: a second gateway that may not run leaves no token behind.
        let token = Arc::new(Token::read_or_make(&config.token_file)?);
        Ok(Self { listener, asked, addr, token })
    }

    fn listen(addr: SocketAddr) -> io::Result<(Arc<TcpListener>, SocketAddr)> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((Arc::new(listener), addr))
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl PartialEq for AdminSocket {
    fn eq(&self, other: &Self) -> bool {
        self.asked == other.asked && self.token == other.token
    }
}

/// Where answers come from.
#[derive(Clone)]
pub struct Facts {
    /// The process.
    pub status: Arc<Status>,
    /// The look-ups.
    pub dns: Arc<resolve::Counters>,
    /// The log.
    pub log: Log,
    /// Counts the data plane's traffic anew at each call.
    pub traffic: Arc<dyn Fn() -> Traffic + Send + Sync>,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

/// Begins to listen at `socket`, and returns what serves it.
///
/// Once the sender of `stop` is gone it takes nobody more, lets each client have the answer it waits for, and
/// ends within 15 s. Dropped, it ends at once. Needs a runtime of tokio around it.
///
/// # Errors
/// The kernel's, when it has no descriptor or no place in the poller.
pub fn serve(
    socket: AdminSocket,
    facts: Facts,
    stop: watch::Receiver<()>,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let listener = tokio::net::TcpListener::from_std(socket.listener.try_clone()?)?;
    let router = router(facts, socket.token);
    Ok(accept(listener, router, stop))
}

/// Takes clients until told to stop, and waits for those it has.
async fn accept(listener: tokio::net::TcpListener, router: Router, mut stop: watch::Receiver<()>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let router = router.clone().layer(Extension(Peer(peer)));
                    clients.spawn(connection::serve(stream, router, stop.clone()));
                }
                // A client that left again, or no descriptor: neither is a reason to spin.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_ended) = clients.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// Who is on the other side.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Peer {
    fn is_near(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// What every handler may use.
#[derive(Clone)]
struct Desk {
    facts: Facts,
    token: Arc<Token>,
}

fn router(facts: Facts, token: Arc<Token>) -> Router {
    let desk = Desk { facts, token };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
        .layer(middleware::from_fn(harden))
        .with_state(desk)
}

async fn ready(State(desk): State<Desk>) -> (StatusCode, String) {
    let readiness = desk.facts.status.readiness();
    let code = if readiness == Readiness::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.label()))
}

async fn metrics(State(desk): State<Desk>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if !peer.is_near() && !desk.token.is_in(&headers) {
        return unauthorized();
    }
    let traffic = (desk.facts.traffic)();
    let page = export::page(&Sources {
        traffic: &traffic,
        losses: desk.facts.log.losses(),
        dns: &desk.facts.dns,
        status: &desk.facts.status,
    });
    ([(header::CONTENT_TYPE, export::MEDIA_TYPE)], page).into_response()
}

async fn status(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if !desk.token.is_in(&headers) {
        return unauthorized();
    }
    let (status, traffic) = (&desk.facts.status, (desk.facts.traffic)());
    let (in_force, reloads, losses) = (status.in_force(), status.reloads(), desk.facts.log.losses());
    let listeners: Vec<_> = in_force
        .listeners
        .iter()
        .map(|(name, addr)| json!({ "name": name.as_str(), "address": addr.to_string() }))
        .collect();
    let last = reloads.last.map(|last| {
        let at = last.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({ "at": at, "ok": last.errors.is_empty(), "errors": last.errors })
    });
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": status.uptime(),
        "readiness": status.readiness().label(),
        "config": { "file": in_force.file.display().to_string(), "hash": format!("{:08x}", in_force.hash) },
        "listeners": listeners,
        "sessions": traffic.listeners.iter().map(|listener| listener.sessions).sum::<u64>(),
        "session_maximum": in_force.session_maximum,
        "reloads": { "ok": reloads.applied, "failed": reloads.refused, "last": last },
        "log": { "dropped": losses.dropped, "failed": losses.failed },
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "the admin token is needed: `Authorization: Bearer …`\n")
        .into_response()
}

/// Answers are for the asker alone: not for caches, and not for pages of other origins.
async fn harden(request: Request<Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
