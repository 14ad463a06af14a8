//! The families of KCP.

use portcullis_proxy::{KcpCounts, ListenerCounts, RTT_BOUNDS};

use super::page::Page;
use super::{
    KCP_ANSWERS, KCP_DATAGRAMS, KCP_DROPPED, KCP_DUPLICATES, KCP_RECOVERED, KCP_RETRANSMITS, KCP_ROUND_TRIP,
    KCP_UNPROVEN, Metric,
};

/// Writes what was counted of KCP; a listener without a datagram either way has no samples.
pub(super) fn write(page: &mut Page, listeners: &[ListenerCounts]) {
    let used = || {
        let spoken = listeners.iter().filter(|one| one.kcp.datagrams_in + one.kcp.datagrams_out > 0);
        spoken.map(|one| (one.name.as_str(), &one.kcp))
    };
    page.family(KCP_DATAGRAMS);
    for (name, kcp) in used() {
        page.sample(&[name, "in"], kcp.datagrams_in).sample(&[name, "out"], kcp.datagrams_out);
    }
    page.family(KCP_DROPPED);
    for (name, kcp) in used() {
        for (why, count) in &kcp.dropped {
            page.sample(&[name, why.label()], *count);
        }
        page.sample(&[name, "full"], kcp.full);
    }
    let plain: [(Metric, fn(&KcpCounts) -> u64); 5] = [
        (KCP_ANSWERS, |kcp| kcp.answers),
        (KCP_UNPROVEN, |kcp| kcp.embryos),
        (KCP_RETRANSMITS, |kcp| kcp.retransmits),
        (KCP_DUPLICATES, |kcp| kcp.duplicates),
        (KCP_RECOVERED, |kcp| kcp.recovered),
    ];
    for (metric, count) in plain {
        page.family(metric);
        for (name, kcp) in used() {
            page.sample(&[name], count(kcp));
        }
    }
    page.family(KCP_ROUND_TRIP);
    let bounds = RTT_BOUNDS.map(seconds);
    for (name, kcp) in used() {
        page.histogram(&[name], &bounds, &kcp.round_trips, seconds(kcp.round_trip_millis));
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
