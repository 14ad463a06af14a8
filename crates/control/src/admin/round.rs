//! Rounds through the living sessions: a page of them, how many there are, or closing them at a pace.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::census::{Filter, Live};
use portcullis_core::outcome::Reason;
use portcullis_proxy::{Act, Met, Place, ProxyHandle, Visit};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::drain::TICK;
use crate::log::{Entry, Log};

/// How long a worker may take over one visit. It has a turn for it in a millisecond, unless it stands still.
const ANSWER: Duration = Duration::from_secs(5);

/// After so long a page is given as far as it came.
const PAGE: Duration = Duration::from_secs(2);

/// The data plane does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data plane does not answer in time")]
pub(super) struct Silent;

/// One page of a round.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Those that were met.
    pub(super) sessions: Vec<Live>,
    /// Where the next page begins; `None` = there is none.
    pub(super) next: Option<Place>,
}

async fn visit(proxy: &ProxyHandle, visit: Visit) -> Result<Met, Silent> {
    let (tell, told) = oneshot::channel();
    let answer = move |met| {
        // Nobody listens any more when the asker gave up waiting.
        let _unheard = tell.send(met);
    };
    proxy.visit(visit, answer).map_err(|_| Silent)?;
    timeout(ANSWER, told).await.map_err(|_| Silent)?.map_err(|_| Silent)
}

/// Looks for sessions from `from` on until `most` are met, or until it has looked for [`PAGE`].
pub(super) async fn page(
    proxy: &ProxyHandle,
    filter: &Filter,
    from: Place,
    most: u32,
) -> Result<Page, Silent> {
    let (until, mut page, mut left) = (Instant::now() + PAGE, Page::default(), most);
    page.next = Some(from);
    while let Some(from) = page.next.filter(|_| left > 0 && Instant::now() < until) {
        let met = visit(proxy, Visit { filter: filter.clone(), from, most: left, act: Act::Tell }).await?;
        left = left.saturating_sub(met.count);
        page.sessions.extend(met.sessions);
        page.next = met.next;
    }
    Ok(page)
}

/// The one session of `filter`, which names it.
pub(super) async fn one(proxy: &ProxyHandle, filter: &Filter, act: Act) -> Result<Option<Met>, Silent> {
    let worker = filter.session.map_or(0, |session| proxy.home(session));
    let mut next = Some(Place { worker, slot: 0 });
    while let Some(from) = next.filter(|place| place.worker == worker) {
        let met = visit(proxy, Visit { filter: filter.clone(), from, most: 1, act }).await?;
        if met.count > 0 {
            return Ok(Some(met));
        }
        next = met.next;
    }
    Ok(None)
}

/// How many sessions `filter` means.
pub(super) async fn count(proxy: &ProxyHandle, filter: &Filter) -> Result<u64, Silent> {
    let (mut next, mut count) = (Some(Place::default()), 0);
    while let Some(from) = next {
        let all = Visit { filter: filter.clone(), from, most: u32::MAX, act: Act::Count };
        let met = visit(proxy, all).await?;
        count += u64::from(met.count);
        next = met.next;
    }
    Ok(count)
}

/// What is to be closed, and how fast.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Which sessions.
    pub(super) filter: Filter,
    /// How many in a second; at least 1.
    pub(super) rate: u32,
    /// The most in all.
    pub(super) most: u32,
}

/// Orders that are being carried out: one at a time. Dropped, they end where they are.
#[derive(Debug, Default)]
pub struct Orders(Mutex<JoinSet<()>>);

impl Orders {
    /// Begins to carry out an order; false: another one is under way.
    pub(super) fn begin(&self, order: Order, proxy: ProxyHandle, log: Log) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        if !running.is_empty() {
            return false;
        }
        running.spawn(async move {
            let began = Instant::now();
            let (closed, outcome) = close(&proxy, &order, began).await;
            let entry = match outcome {
                Ok(()) => Entry::info("sessions were closed as ordered"),
                Err(Silent) => Entry::warn("sessions were not closed as ordered: a worker does not answer"),
            };
            log.tell(entry.with("count", closed).with("took", began.elapsed()));
        });
        true
    }
}

/// Closes what an order means. Those that begin after the order are spared: a client that comes back is not closed
/// for that.
async fn close(proxy: &ProxyHandle, order: &Order, began: Instant) -> (u64, Result<(), Silent>) {
    let rate = u64::from(order.rate.max(1));
    // Below one in a tick the ticks are longer.
    let mut ticks = interval(TICK.max(Duration::from_secs(1) / order.rate.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut next, mut closed) = (Some(Place::default()), 0);
    while next.is_some() && closed < u64::from(order.most) {
        ticks.tick().await;
        let due = rate * u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX / rate) / 1000 + 1;
        // What a worker that stood still has missed does not come all at once.
        let until = due.min(closed + rate / 10 + 1).min(order.most.into());
        while let Some(from) = next.filter(|_| closed < until) {
            let most = u32::try_from(until - closed).unwrap_or(u32::MAX);
            // Ages are told in whole milliseconds.
            let age = began.elapsed().saturating_sub(Duration::from_millis(1));
            let filter = Filter { age, ..order.filter.clone() };
            match visit(proxy, Visit { filter, from, most, act: Act::Close(Reason::Killed) }).await {
                Ok(met) => {
                    closed += u64::from(met.count);
                    next = met.next;
                }
                Err(silent) => return (closed, Err(silent)),
            }
        }
    }
    (closed, Ok(()))
}
