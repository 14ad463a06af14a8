//! A datagram of strangers opens only if it is one that the key would have made, and what is sealed opens.

use portcullis_core::wire::kcp::crypt::{Cipher, Crypt, Key, NONCE};

/// `data`: which cipher, what to do, a nonce, then a datagram or the content of one.
pub fn run(data: &[u8]) {
    let Some(([choice, action], rest)) = data.split_first_chunk::<2>() else { return };
    let Some((nonce, rest)) = rest.split_first_chunk::<NONCE>() else { return };
    let cipher = Cipher::ALL[usize::from(*choice) % Cipher::ALL.len()];
    let crypt = Crypt::new(cipher, &Key::from_bytes(key(cipher))).expect("a key of the right length");
    if action % 2 == 0 {
        // A stranger's: the nonce is a part of it, so that the corpus can hold whole datagrams.
        stranger(&crypt, [nonce, rest].concat());
    } else {
        ours(&crypt, rest, *nonce);
    }
}

fn stranger(crypt: &Crypt, datagram: Vec<u8>) {
    let mut bytes = datagram.clone();
    let Some(content) = crypt.open(&mut bytes).map(|content| content.to_vec()) else { return };
    assert_eq!(content.len(), datagram.len() - crypt.overhead());
    if crypt.cipher() != Cipher::Null {
        let nonce = *bytes.first_chunk().expect("what opened has a nonce");
        assert_eq!(sealed(crypt, &content, nonce), datagram, "sealed again it is the same");
    }
}

fn ours(crypt: &Crypt, content: &[u8], nonce: [u8; NONCE]) {
    let datagram = sealed(crypt, content, nonce);
    assert_eq!(crypt.open(&mut datagram.clone()).as_deref(), Some(content));
    if crypt.cipher() == Cipher::Null {
        return;
    }
    // Behind the nonce, no byte may be another.
    for place in NONCE..datagram.len() {
        let mut changed = datagram.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(crypt.open(&mut changed).is_none(), "byte {place} was changed");
    }
}

fn sealed(crypt: &Crypt, content: &[u8], nonce: [u8; NONCE]) -> Vec<u8> {
    let mut bytes = [&vec![0; crypt.overhead()][..], content].concat();
    crypt.seal(&mut bytes, nonce);
    bytes
}

/// The key of the recorded datagrams in the corpus: the front of what kcptun derives from `it's a secrect`.
fn key(cipher: Cipher) -> &'static [u8] {
    const DERIVED: [u8; 32] = *b"\x25\xd7\xd7\xbd\x51\x05\x07\x42\xd8\xd7\x91\xf2\xb6\x53\xc6\xc8\
        \xb2\x36\x6b\x7e\x25\xa1\x24\xcf\x7a\x2e\x12\xea\xf4\xff\xa4\x44";
    match cipher {
        Cipher::Aes128 | Cipher::AesGcm => &DERIVED[..16],
        Cipher::Aes192 => &DERIVED[..24],
        Cipher::Null | Cipher::None | Cipher::Xor | Cipher::Aes256 | Cipher::Salsa20 => &DERIVED,
    }
}
