//! The families of warm connections.

use portcullis_proxy::{Discard, PoolCounts};

use super::page::Page;
use super::{POOL_DIALS, POOL_DISCARDED, POOL_IDLE, POOL_TAKES};

/// Writes what was counted of warm connections; an upstream that never had a pool has no samples.
pub(super) fn write(page: &mut Page, pools: &[PoolCounts]) {
    page.family(POOL_IDLE);
    for pool in pools {
        page.sample(&[pool.name.as_str()], pool.idle);
    }
    page.family(POOL_TAKES);
    for pool in pools {
        page.sample(&[pool.name.as_str(), "hit"], pool.hits)
            .sample(&[pool.name.as_str(), "miss"], pool.misses);
    }
    page.family(POOL_DIALS);
    for pool in pools {
        page.sample(&[pool.name.as_str(), "ok"], pool.made)
            .sample(&[pool.name.as_str(), "failed"], pool.failed);
    }
    page.family(POOL_DISCARDED);
    for pool in pools {
        for (cause, count) in Discard::ALL.iter().zip(&pool.discarded) {
            page.sample(&[pool.name.as_str(), cause.label()], *count);
        }
    }
}
