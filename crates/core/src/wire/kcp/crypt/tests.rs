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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
