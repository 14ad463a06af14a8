#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

/// The passphrase of kcp-go's own tests and examples.
const PASSPHRASE: &str = "it's a secrect";
const PASS: &str = "25d7d7bd51050742d8d791f2b653c6c8b2366b7e25a124cf7a2e12eaf4ffa444";

#[test]
fn a_passphrase_becomes_kcptuns_key() {
    assert!(
        Key::from_passphrase(PASSPHRASE) != Key::from_bytes(&unhex(PASS)),
        "a passphrase's key is cut to fit"
    );
    let derived = Key::from_passphrase(PASSPHRASE);
    assert_eq!(derived.fit(Cipher::Aes256, &[32]), Ok(&unhex(PASS)[..]));
    assert_eq!(derived.fit(Cipher::AesGcm, &[16, 24, 32]), Ok(&unhex(PASS)[..16]));
    assert_eq!(derived.fit(Cipher::Xor, key::ANY), Ok(&unhex(PASS)[..]));
}

#[test]
fn each_cipher_of_the_cfb_family_makes_the_bytes_of_kcp_go() {
    for (cipher, want) in [
        (
            Cipher::Aes256,
            "86834343335b168ca911bf584a05f9900e1c6fda2c822a981eb60909411c15690afb116b0d6073935dd1a399f9e6a343eb991b6b55bd85e3327d8f0db0a2391880e4075b21",
        ),
        (
            Cipher::Aes128,
            "ddd7e0a7981ba3e2a7f6d51f2a2663184531e844fe0ddec4d65df15b489c5ba3e15ff1881eaf077a23107a1086c10db7c875fcb9754ab3ec39be1cff7f9a263ae46d6054ae",
        ),
        (
            Cipher::Aes192,
            "b9db59f7dd1bce4922855fb7f8f8e261a4937c0d7360349b24871684eb7bca422017d9f232c59cd2e4603e84633a60e95ba3e258e0a91274b1bc7ca38580a4777b630a32ce",
        ),
        (
            Cipher::Salsa20,
            "00010203040506079aaa6e7faf75365c40a4761a0c7be4446a8a411f62e5954a4ac802ddae0f35e6455e56815ac144658193254bc8ed1b6ae3516a3035913a8f8f507e91d8",
        ),
        (
            Cipher::Xor,
            "0fff8b84a99173765c7011c3f60cb8237bdf1315a6805604d54b25a70367b293d08e441c63be35690d89fadcb202142ddf8eec70c73b1697c11a66fd77002a50e66e27c3c5",
        ),
        (
            Cipher::None,
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041424344",
        ),
    ] {
        let crypt = Crypt::new(cipher, &Key::from_passphrase(PASSPHRASE)).unwrap();
        let plain: Vec<u8> = (0..69).collect();
        let mut bytes = plain.clone();
        crypt.scramble(&mut bytes, Direction::Seal);
        assert_eq!(hex(&bytes), want, "{cipher}");
        crypt.scramble(&mut bytes, Direction::Open);
        assert_eq!(bytes, plain, "{cipher}");
    }
}

#[test]
fn datagrams_of_kcp_go_open_and_are_sealed_to_the_same_bytes() {
    let recorded = include_str!("../../../../tests/kcp/sealed.txt");
    let mut seen = 0;
    for row in recorded.lines().filter(|row| !row.starts_with('#')) {
        let [cipher, key, fec, way, sealed] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let cipher = Cipher::from_label(cipher).unwrap();
        let crypt = Crypt::new(cipher, &Key::from_bytes(&unhex(key))).unwrap();
        let sealed = unhex(sealed);
        let mut bytes = sealed.clone();
        let content = crypt.open(&mut bytes).expect(row);
        let fec: usize = fec.parse().unwrap();
        let step = if way == "up" { 7 } else { 13 };
        check_segments(&content[fec..], 1400 - crypt.overhead() - fec - 24, step, row);

        let content = content.to_vec();
        // Opened in place, a datagram begins with its nonce.
        let nonce = *bytes.first_chunk().unwrap();
        assert_eq!(sealed_with(&crypt, &content, nonce), sealed, "{row}");
        seen += 1;
    }
    assert_eq!(seen, 21);
}

#[test]
fn what_is_sealed_opens_whatever_its_length() {
    for crypt in every_crypt() {
        let mut nonces = NonceSource::new(&[7; 32], 1);
        for len in 0..=1600 {
            let content: Vec<u8> = (0..len).map(|place| (place * 7 + len) as u8).collect();
            let nonce = nonces.draw();
            let mut sealed = sealed_with(&crypt, &content, nonce);
            assert_eq!(sealed.len(), crypt.overhead() + content.len(), "{crypt:?}");
            assert_eq!(crypt.open(&mut sealed), Some(&mut content.clone()[..]), "{crypt:?} {len}");
        }
    }
}

#[test]
fn a_changed_bit_keeps_a_datagram_shut() {
    for crypt in every_crypt().into_iter().filter(|crypt| crypt.cipher() != Cipher::Null) {
        let sealed = sealed_with(&crypt, &[0x5a; 100], [9; NONCE]);
        // Whoever does not hide says nothing of the nonce; behind the nonce nothing may change anywhere.
        let begin = match crypt.cipher() {
            Cipher::None | Cipher::Xor | Cipher::Salsa20 => NONCE,
            Cipher::Null | Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256 | Cipher::AesGcm => 0,
        };
        for bit in begin * 8..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(crypt.open(&mut changed), None, "{crypt:?}, bit {bit}");
        }
    }
}

#[test]
fn a_shortened_or_lengthened_datagram_stays_shut() {
    for crypt in every_crypt().into_iter().filter(|crypt| crypt.cipher() != Cipher::Null) {
        let sealed = sealed_with(&crypt, &[0x5a; 100], [9; NONCE]);
        for len in 0..sealed.len() {
            assert_eq!(crypt.open(&mut sealed[..len].to_vec()), None, "{crypt:?}, {len} bytes");
        }
        assert_eq!(crypt.open(&mut [&sealed[..], &[0]].concat()), None, "{crypt:?}, a byte more");
    }
}

#[test]
fn another_key_or_cipher_does_not_open() {
    let other = Key::from_passphrase("another");
    for sealer in every_crypt().into_iter().filter(|crypt| crypt.cipher().is_keyed()) {
        let sealed = sealed_with(&sealer, &[0x5a; 100], [9; NONCE]);
        for cipher in Cipher::ALL.into_iter().filter(|cipher| *cipher != Cipher::Null) {
            let opener = Crypt::new(cipher, &other).unwrap();
            assert_eq!(opener.open(&mut sealed.clone()), None, "{sealer:?} by {opener:?}");
        }
    }
}

#[test]
fn a_key_of_the_wrong_length_is_told_the_right_ones() {
    for (cipher, right, want) in [
        (Cipher::Xor, vec![1, 7, 32, 100], "`xor` takes a key of 1 or more bytes, not of 0"),
        (Cipher::Aes128, vec![16], "`aes-128` takes a key of 16 bytes, not of 0"),
        (Cipher::Aes192, vec![24], "`aes-192` takes a key of 24 bytes, not of 0"),
        (Cipher::Aes256, vec![32], "`aes-256` takes a key of 32 bytes, not of 0"),
        (Cipher::Salsa20, vec![32], "`salsa20` takes a key of 32 bytes, not of 0"),
        (Cipher::AesGcm, vec![16, 24, 32], "`aes-gcm` takes a key of 16, 24 or 32 bytes, not of 0"),
    ] {
        for len in 0..=100 {
            let made = Crypt::new(cipher, &Key::from_bytes(&vec![7; len]));
            let fits = right.contains(&len) || (cipher == Cipher::Xor && len > 0);
            assert_eq!(made.is_ok(), fits, "{cipher}, {len} bytes");
        }
        assert_eq!(Crypt::new(cipher, &Key::from_bytes(&[])).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_datagram_without_room_for_a_header_never_leaves_as_it_is() {
    for crypt in every_crypt() {
        for len in 0..crypt.overhead() {
            let mut bytes = vec![0x5a; len];
            crypt.seal(&mut bytes, [9; NONCE]);
            assert_eq!(bytes, vec![0; len], "{crypt:?}");
        }
    }
}

#[test]
fn a_label_names_its_cipher_and_nothing_else_does() {
    let labels: Vec<&str> = Cipher::ALL.iter().map(|cipher| cipher.label()).collect();
    assert_eq!(labels, ["null", "none", "xor", "aes-128", "aes-192", "aes-256", "salsa20", "aes-gcm"]);
    for cipher in Cipher::ALL {
        assert_eq!(Cipher::from_label(cipher.label()), Some(cipher));
    }
    assert_eq!((Cipher::from_label("aes"), Cipher::from_label("")), (None, None));
}

#[test]
fn nothing_prints_a_key() {
    let key = Key::from_bytes(&[0xab; 32]);
    let printed = format!("{key:?} {:?}", Crypt::new(Cipher::Aes256, &key).unwrap());
    assert_eq!(printed, "Key(***) Crypt { cipher: Aes256, .. }");
    assert_eq!(format!("{:?}", NonceSource::new(&[0xab; 32], 3)), "NonceSource { lane: 3, .. }");
}

#[test]
fn nonces_differ_in_their_first_eight_bytes_within_a_lane_and_between_lanes() {
    let mut seen = std::collections::HashSet::new();
    for lane in [0, 1, 2, u16::MAX] {
        let mut source = NonceSource::new(&[0x3c; 32], lane);
        for count in 0..20_000 {
            assert!(seen.insert(*source.draw().first_chunk::<8>().unwrap()), "lane {lane}, number {count}");
        }
    }
}

#[test]
fn nonces_look_like_chance_in_every_bit() {
    // 4,096 nonces: a bit is set 2,048 times, give or take 32 (one sigma); six of them are allowed.
    let mut set = [0u32; 8 * NONCE];
    let mut source = NonceSource::new(&std::array::from_fn(|place| (place * 89 + 5) as u8), 0);
    let mut before = source.draw();
    let mut turned = 0;
    for _ in 0..4096 {
        let nonce = source.draw();
        for (bit, set) in set.iter_mut().enumerate() {
            *set += u32::from(nonce[bit / 8] >> (bit % 8) & 1);
        }
        turned += (u128::from_le_bytes(nonce) ^ u128::from_le_bytes(before)).count_ones();
        before = nonce;
    }
    assert!(set.iter().all(|set| (2048 - 192..=2048 + 192).contains(set)), "{set:?}");
    assert!((63 * 4096..65 * 4096).contains(&turned), "{turned}");
    assert_ne!(NonceSource::new(&[1; 32], 0).draw(), NonceSource::new(&[2; 32], 0).draw());
}

/// Every cipher, and `aes-gcm` with every length of key.
fn every_crypt() -> Vec<Crypt> {
    let derived = Key::from_passphrase(PASSPHRASE);
    let mut all: Vec<Crypt> =
        Cipher::ALL.iter().map(|cipher| Crypt::new(*cipher, &derived).unwrap()).collect();
    for len in [24, 32] {
        all.push(Crypt::new(Cipher::AesGcm, &Key::from_bytes(&vec![7; len])).unwrap());
    }
    all
}

fn sealed_with(crypt: &Crypt, content: &[u8], nonce: [u8; NONCE]) -> Vec<u8> {
    let mut bytes = [&vec![0; crypt.overhead()][..], content].concat();
    crypt.seal(&mut bytes, nonce);
    bytes
}

/// Holds each PUSH segment's payload against the formula of the recording; `mss` bytes are in each but the last.
fn check_segments(mut segments: &[u8], mss: usize, step: usize, row: &str) {
    while let Some((head, rest)) = segments.split_first_chunk::<24>() {
        let [_, _, _, sn, _, len] =
            std::array::from_fn(|word| u32::from_le_bytes(*head[4 * word..].first_chunk().unwrap()) as usize);
        let (payload, behind) = rest.split_at(len);
        for (place, byte) in (sn * mss..).zip(payload) {
            assert_eq!(*byte, (step * place + place / 256) as u8, "{row}, byte {place}");
        }
        segments = behind;
    }
    assert!(segments.is_empty(), "{row}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
