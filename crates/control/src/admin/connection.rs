//! One client of the admin listener, from accept to end.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::socket::Stream;

/// How long a client may take over the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of a request's head, and of what is buffered of an answer.
const HEAD_BYTES: usize = 16 * 1024;

/// The most header fields of a request.
const HEAD_FIELDS: usize = 64;

/// After this a connection ends with the answer it is at.
const LIFE: Duration = Duration::from_secs(60);

/// How long that last answer may take: a client that does not read does not keep its place.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Waits until the sender of `stop` is gone and a request that was under way then has had its time.
async fn stopped(stop: &mut watch::Receiver<()>) {
    // Nothing is ever sent: the only change is the sender's end.
    let _gone = stop.changed().await;
    sleep(HEAD_TIMEOUT).await;
}

/// Serves the requests of one connection; none that begins later than 5 s after the sender of `stop` is gone.
pub(super) async fn serve(stream: Box<dyn Stream>, router: Router, mut stop: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // How a client of the admin listener ends is its own affair: no log line, no metric.
    tokio::select! {
        _client_ended = connection.as_mut() => return,
        () = sleep(LIFE) => {}
        () = stopped(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _client_ended = timeout(LAST_WORDS, connection).await;
}
