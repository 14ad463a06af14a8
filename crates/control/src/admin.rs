//! The admin listener: health, readiness, metrics and the admin API.
//!
//! Owns its listening socket and its tokens. Everything about its clients is bounded: how many there are,
//! how long they take, how much they say.

mod api;
mod auth;
mod connection;
mod round;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use portcullis_proxy::ProxyHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use self::api::{Reload, ReloadErrors};
use self::auth::Keys;
pub use self::auth::{Token, TokenError};
pub use self::round::Orders;
pub use self::socket::{AdminError, AdminSocket};
use self::socket::{Door, Peer};
use crate::export::{self, Sources, Traffic};
use crate::log::Log;
use crate::resolve;
use crate::status::{Readiness, Status};
use crate::store::Store;

/// How many clients there may be at a time.
const CONNECTIONS: usize = 64;

/// How long accepting pauses when the system has no resources for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Where answers come from.
#[derive(Clone)]
pub struct Facts {
    /// The process.
    pub status: Arc<Status>,
    /// The look-ups.
    pub dns: Arc<resolve::Counters>,
    /// The log.
    pub log: Log,
    /// What outlives the process.
    pub store: Store,
    /// Counts the data plane's traffic anew at each call.
    pub traffic: Arc<dyn Fn() -> Traffic + Send + Sync>,
    /// The data plane.
    pub proxy: ProxyHandle,
    /// What is being carried out; outlives a listener that a reload replaces.
    pub orders: Arc<Orders>,
    /// Where a reload is asked for.
    pub reload: mpsc::Sender<Reload>,
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
    let door = socket.open()?;
    Ok(accept(door, router(facts, socket.keys), stop))
}

/// Takes clients until told to stop, and waits for those it has.
async fn accept(door: Door, router: Router, mut stop: watch::Receiver<()>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept(), if clients.len() < CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let router = router.clone().layer(Extension(peer));
                    clients.spawn(connection::serve(stream, router, stop.clone()));
                }
                // A client that left again, or no descriptor: neither is a reason to spin.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_ended) = clients.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(door);
    while clients.join_next().await.is_some() {}
}

/// What every handler may use.
#[derive(Clone)]
struct Desk {
    facts: Facts,
    keys: Arc<Keys>,
}

/// The type of every answer of the API.
const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

fn router(facts: Facts, keys: Arc<Keys>) -> Router {
    let desk = Desk { facts, keys };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(api::router(&desk))
        .fallback(api::nothing)
        .layer(middleware::from_fn(harden))
        .with_state(desk)
}

async fn ready(State(desk): State<Desk>) -> (StatusCode, String) {
    let readiness = desk.facts.status.readiness();
    let code = if readiness == Readiness::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.label()))
}

async fn metrics(State(desk): State<Desk>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if !peer.is_near() && desk.keys.role(&headers).is_none() {
        return unauthorized();
    }
    let traffic = (desk.facts.traffic)();
    let page = export::page(&Sources {
        traffic: &traffic,
        losses: desk.facts.log.losses(),
        dns: &desk.facts.dns,
        store: desk.facts.store.counters(),
        status: &desk.facts.status,
    });
    ([(header::CONTENT_TYPE, export::MEDIA_TYPE)], page).into_response()
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
