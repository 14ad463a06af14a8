//! What a million forged addresses cost: alone in this process, so that its memory is the roster's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::roster::{Roster, Settings, Verdict};

/// How many newcomers the worker of this test keeps; beyond them the oldest leaves.
const EMBRYOS: usize = 1024;

#[test]
fn a_million_forged_addresses_cost_at_most_4_mib() {
    let before = resident();
    let mut roster = Roster::new(&Settings::default());
    let mut embryos = VecDeque::with_capacity(EMBRYOS + 1);
    let mut taken = 0;
    for number in 0..1_000_000_u32 {
        let now = Tick(u64::from(number / 100));
        // Scattered over the whole of IPv4: nearly every one is of a network of its own.
        let ip = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1));
        let from = SocketAddr::new(ip.into(), 4000);
        let Verdict::Newcomer { conv, .. } = roster.judge(now, from, &opening(number)) else { continue };
        taken += 1;
        roster.enter(from, conv, u64::from(number));
        embryos.push_back((from, conv));
        if embryos.len() > EMBRYOS {
            let (from, conv) = embryos.pop_front().unwrap();
            roster.leave(now, from, conv, Some(Duration::from_secs(120)));
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(taken > 990_000 && roster.len() == EMBRYOS, "{taken} taken, {} kept", roster.len());
    assert!(grown <= 4 << 20, "{} KiB", grown >> 10);
}

/// The most bytes of memory that this process ever had at once.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// A PUSH of sn 0 without payload.
fn opening(conv: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&conv.to_le_bytes());
    bytes[4] = 81;
    bytes
}
