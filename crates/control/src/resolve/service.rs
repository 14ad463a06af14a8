//! The order in which the targets of a service are tried (RFC 2782).

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

/// One SRV record and the addresses of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Lower is tried first.
    pub(super) priority: u16,
    /// Share among those of one priority.
    pub(super) weight: u16,
    /// Where the target listens.
    pub(super) port: NonZeroU16,
    /// Never empty.
    pub(super) addresses: Arc<[IpAddr]>,
}

/// Lists every address: by priority, and within one priority drawn by weight. `draw` is the state of the
/// lot, never zero.
pub(super) fn in_order(services: &[Service], draw: &mut u64) -> Vec<SocketAddr> {
    let mut left: Vec<&Service> = services.iter().collect();
    // Those of weight 0 stand first, so that they are drawn only by the smallest lot.
    left.sort_by_key(|service| (service.priority, service.weight));
    let mut addresses = Vec::new();
    while let Some(first) = left.first() {
        let same = left.iter().take_while(|service| service.priority == first.priority);
        let total: u64 = same.clone().map(|service| u64::from(service.weight)).sum();
        let lot = next(draw) % (total + 1);
        let mut sum = 0;
        let drawn = same
            .clone()
            .position(|service| {
                sum += u64::from(service.weight);
                sum >= lot
            })
            .unwrap_or(0);
        let service = left.remove(drawn);
        addresses.extend(service.addresses.iter().map(|ip| SocketAddr::new(*ip, service.port.get())));
    }
    addresses
}

/// Draws the next lot (xorshift64: fair shares, not secrets).
fn next(draw: &mut u64) -> u64 {
    *draw ^= *draw << 13;
    *draw ^= *draw >> 7;
    *draw ^= *draw << 17;
    *draw
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, last: u8) -> Service {
        let port = NonZeroU16::new(7000 + u16::from(last)).unwrap();
        Service { priority, weight, port, addresses: [IpAddr::from([10, 0, 0, last])].into() }
    }

    #[test]
    fn lower_priorities_come_first_and_nobody_is_left_out() {
        let services = [service(20, 5, 3), service(10, 0, 1), service(10, 7, 2)];
        let mut draw = 1;
        for _ in 0..100 {
            let order = in_order(&services, &mut draw);
            let mut first: Vec<_> = order[..2].to_vec();
            first.sort();
            assert_eq!(first, ["10.0.0.1:7001".parse().unwrap(), "10.0.0.2:7002".parse().unwrap()]);
            assert_eq!(order[2..], ["10.0.0.3:7003".parse().unwrap()]);
        }
    }

    #[test]
    fn weights_are_shares() {
        let services = [service(1, 30, 1), service(1, 10, 2)];
        let mut draw = 0x9e37_79b9_7f4a_7c15;
        let mut first = 0;
        for _ in 0..10_000 {
            first += usize::from(in_order(&services, &mut draw)[0].port() == 7001);
        }
        assert!((7_200..7_900).contains(&first), "{first} of 10,000");
    }
}
