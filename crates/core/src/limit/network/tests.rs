#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[test]
fn an_address_is_in_a_set_in_whatever_form_it_is_written() {
    let rows = [
        (&["10.0.0.0/8"][..], "10.255.0.1", true),
        (&["10.0.0.0/8"], "11.0.0.0", false),
        (&["10.0.0.0/8"], "::ffff:10.1.1.1", true),
        (&["::ffff:10.0.0.0/104"], "10.1.1.1", true),
        (&["::ffff:10.0.0.0/104"], "11.1.1.1", false),
        (&["10.1.2.3/8"], "10.9.9.9", true),
        (&["0.0.0.0/0"], "255.255.255.255", true),
        (&["0.0.0.0/0"], "2001:db8::1", false),
        (&["::/0"], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        (&["::/0"], "1.2.3.4", false),
        (&["1.0.0.0/9", "1.128.0.0/9", "1.2.0.0/16"], "1.200.0.1", true),
        (&[], "1.2.3.4", false),
    ];
    for (networks, ip, want) in rows {
        assert_eq!(set(networks).contains(ip.parse().unwrap()), want, "{networks:?} {ip}");
    }
    assert_eq!(set(&["1.0.0.0/9", "1.128.0.0/9", "1.2.0.0/16"]).v4.len(), 1);
}

#[test]
fn a_hundred_thousand_networks_are_looked_through_in_nanoseconds() {
    let networks: Vec<IpNet> = (0..100_000_u32)
        .map(|index| Ipv4Net::new(Ipv4Addr::from_bits(index.wrapping_mul(2_654_435_761)), 28).unwrap().into())
        .collect();
    let set = Networks::new(&networks);
    for network in &networks {
        assert!(set.contains(network.network()) && set.contains(network.broadcast()));
    }
    let began = Instant::now();
    let hits = (0..1_000_000_u32).filter(|ip| set.contains(Ipv4Addr::from_bits(ip << 12).into())).count();
    // Tens of nanoseconds when it is built to be fast; a list read from end to end would take minutes.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}, {hits} hits", began.elapsed());
}

proptest! {
    #[test]
    fn a_set_says_what_its_networks_say(
        networks in prop::collection::vec((any::<bool>(), any::<u128>(), 0u8..=128), 0..40),
        probes in prop::collection::vec((any::<bool>(), any::<u128>(), 0usize..40), 1..40),
    ) {
        let networks: Vec<IpNet> = networks.into_iter().map(|(v4, bits, prefix)| net(v4, bits, prefix)).collect();
        let set = Networks::new(&networks);
        for (v4, bits, near) in probes {
            // Half of them somewhere, half at the very edge of one that is in it.
            let ip = match networks.get(near) {
                Some(network) if bits % 2 == 0 => network.broadcast(),
                _ => net(v4, bits, 128).addr(),
            };
            let naive = networks.iter().any(|network| canonical(*network).contains(&ip.to_canonical()));
            prop_assert_eq!(set.contains(ip), naive, "{} in {:?}", ip, networks);
        }
    }
}

fn set(networks: &[&str]) -> Networks {
    let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
    Networks::new(&networks)
}

fn net(v4: bool, bits: u128, prefix: u8) -> IpNet {
    if v4 {
        IpNet::new(Ipv4Addr::from_bits(bits as u32).into(), prefix.min(32)).unwrap()
    } else {
        IpNet::new(Ipv6Addr::from_bits(bits).into(), prefix).unwrap()
    }
}
