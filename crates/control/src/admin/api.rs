//! The admin API: paths, roles, errors, and one line in the log for each change.

mod bans;
mod devices;
mod fields;
mod process;
mod sessions;
mod upstreams;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use serde_json::{Value, json};

use super::auth::Role;
use super::socket::Peer;
use super::{Desk, JSON};
use crate::log::Entry;

pub use self::process::{Reload, ReloadErrors};

/// Why a request is not answered as its asker would like.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    /// More than one thing that is wrong.
    errors: Vec<String>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), errors: Vec::new() }
    }

    /// The request itself is wrong.
    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// What it names is not there.
    fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        if let (false, Some(object)) = (self.errors.is_empty(), body.as_object_mut()) {
            object.insert("errors".into(), self.errors.into());
        }
        let mut response = (self.status, JSON, format!("{body:#}\n")).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a handler answers: JSON, and for the log in a few words what was done.
type Answer = Result<Done, Refusal>;

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Done {
    status: StatusCode,
    body: Value,
    did: Option<String>,
}

/// For the log: what was done.
#[derive(Clone, Debug)]
struct Did(String);

impl Done {
    /// Says what is.
    fn told(body: Value) -> Self {
        Self { status: StatusCode::OK, body, did: None }
    }

    /// Says what was done.
    fn did(body: Value, did: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, body, did: Some(did.into()) }
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        let mut response = (self.status, JSON, format!("{:#}\n", self.body)).into_response();
        if let Some(did) = self.did {
            response.extensions_mut().insert(Did(did));
        }
        response
    }
}

/// Every path of the API, behind the gate.
pub(super) fn router(desk: &Desk) -> Router<Desk> {
    Router::new()
        .route("/v1/status", get(process::status))
        .route("/api/v1/status", get(process::status))
        .route("/v1/config", get(process::config))
        .route("/v1/limits", get(process::limits))
        .route("/v1/reload", post(process::reload))
        .route("/v1/bans", get(bans::list).post(bans::add).delete(bans::lift))
        .route("/v1/tokens/forget", post(devices::forget))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/close", post(sessions::close_some))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::close))
        .route("/v1/upstreams", get(upstreams::list))
        .route("/v1/upstreams/{name}", get(upstreams::show))
        .route("/v1/upstreams/{name}/endpoints/{address}", patch(upstreams::set))
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
        .layer(middleware::from_fn_with_state(desk.clone(), gate))
}

/// For every path that is none.
pub(super) async fn nothing() -> Response {
    Refusal::missing("there is no such path").into_response()
}

/// Lets in whoever may do what is asked. Whatever is asked for besides looking is told in the log, done or not.
async fn gate(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let peer = request.extensions().get::<Peer>().copied();
    let role = desk.keys.role(request.headers());
    let asked = format!("{} {}", request.method(), request.uri().path());
    let refused = match role {
        None => {
            let error = "the admin token is needed: `Authorization: Bearer …`";
            Some(Refusal::new(StatusCode::UNAUTHORIZED, error))
        }
        Some(Role::Read) if !looks => {
            let error = "this token may look, and change nothing; use the one of `token_file`";
            Some(Refusal::new(StatusCode::FORBIDDEN, error))
        }
        Some(Role::Read | Role::Operate) => None,
    };
    let response = match refused {
        Some(refusal) => {
            // What is not read when a connection closes resets it, and the answer is lost with it.
            let _too_long = to_bytes(request.into_body(), fields::BODY).await;
            refusal.into_response()
        }
        None => next.run(request).await,
    };
    if !looks {
        desk.facts.log.tell(audit(&asked, role, peer, &response));
    }
    response
}

/// Who asked for a change, and what came of it.
fn audit(asked: &str, role: Option<Role>, peer: Option<Peer>, response: &Response) -> Entry {
    let status = response.status();
    let entry = if status.is_success() {
        Entry::info("admin change")
    } else {
        // Strangers cannot fill the disk with it: repeated warnings are counted.
        Entry::warn("admin change refused")
    };
    let entry = entry.with("role", role.map_or("none", Role::label)).with_text("request", asked);
    let entry = entry.with("status", u64::from(status.as_u16()));
    let entry = entry.with_some("peer", peer.map(|peer| peer.to_string()));
    entry.with_some("did", response.extensions().get::<Did>().map(|did| did.0.clone()))
}
