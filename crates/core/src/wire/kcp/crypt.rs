//! How datagrams are hidden: the ciphers of kcp-go, over whole datagrams, in place.
//!
//! The CFB family (`aes-*`, `salsa20`, `xor` and, without hiding, `none`) puts 16 random bytes and a CRC-32 of
//! what follows in front and runs its cipher over all of it. The CRC is no seal: whoever can flip bits can mend
//! it, and nothing here knows a replay. Only `aes-gcm` keeps strangers from changing a datagram: 12 bytes of
//! nonce, ciphertext, 16 bytes of tag, nothing associated. `null` is no header at all.
//! (kcp-go: `crypt.go`, `sess.go`; kcptun: `std/crypt.go`.)

use std::fmt;

use self::aes::Cfb;
use self::gcm::Gcm;
use self::salsa::Salsa20;

mod aes;
mod gcm;
mod key;
mod nonce;
mod salsa;
#[cfg(test)]
mod tests;

pub use self::key::{Key, KeyError};
pub use self::nonce::NonceSource;

/// Bytes of nonce that [`Crypt::seal`] takes, and that the CFB family sends.
pub const NONCE: usize = 16;
const CRC: usize = 4;
/// What the CFB family puts before a datagram: nonce and CRC.
const CFB_HEADER: usize = NONCE + CRC;

/// The ciphers, by kcptun's names where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// No header at all: kcp-go without a `BlockCrypt`, and C ikcp.
    #[default]
    Null,
    /// Nonce and CRC, and nothing hidden.
    None,
    /// A table of 1,500 bytes, the same for each datagram. It hides nothing from anybody who looks twice.
    Xor,
    /// AES-128 in CFB mode.
    Aes128,
    /// AES-192 in CFB mode.
    Aes192,
    /// AES-256 in CFB mode: kcptun's `aes`.
    Aes256,
    /// Salsa20/20.
    Salsa20,
    /// AES in Galois/counter mode, by the key's length AES-128, AES-192 or AES-256.
    AesGcm,
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Cipher; 8] = [
        Cipher::Null,
        Cipher::None,
        Cipher::Xor,
        Cipher::Aes128,
        Cipher::Aes192,
        Cipher::Aes256,
        Cipher::Salsa20,
        Cipher::AesGcm,
    ];

    /// Its name in a configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Cipher::Null => "null",
            Cipher::None => "none",
            Cipher::Xor => "xor",
            Cipher::Aes128 => "aes-128",
            Cipher::Aes192 => "aes-192",
            Cipher::Aes256 => "aes-256",
            Cipher::Salsa20 => "salsa20",
            Cipher::AesGcm => "aes-gcm",
        }
    }

    /// The cipher of that name.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Cipher> {
        Cipher::ALL.into_iter().find(|cipher| cipher.label() == label)
    }

    /// Bytes that it adds to a datagram: 0, 20 or 28.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Cipher::Null => 0,
            Cipher::None
            | Cipher::Xor
            | Cipher::Aes128
            | Cipher::Aes192
            | Cipher::Aes256
            | Cipher::Salsa20 => CFB_HEADER,
            Cipher::AesGcm => gcm::OVERHEAD,
        }
    }

    /// Does it use its key?
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        !matches!(self, Cipher::Null | Cipher::None)
    }

    /// Does it keep those who have no key from making or changing a datagram?
    #[must_use]
    pub const fn is_authenticated(self) -> bool {
        matches!(self, Cipher::AesGcm)
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A cipher with its key, made once for a listener or an upstream and shared by all of its sessions.
///
/// Nothing is allocated for a datagram.
pub struct Crypt {
    cipher: Cipher,
    engine: Engine,
}

enum Engine {
    Null,
    None,
    Xor(Box<[u8]>),
    Aes(Box<Cfb>),
    Salsa20(Salsa20),
    Gcm(Gcm),
}

impl Crypt {
    /// Prepares a cipher. `Null` and `None` look at no key.
    ///
    /// # Errors
    /// The key's length is not one of the cipher's.
    pub fn new(cipher: Cipher, key: &Key) -> Result<Self, KeyError> {
        let engine = match cipher {
            Cipher::Null => Engine::Null,
            Cipher::None => Engine::None,
            Cipher::Xor => Engine::Xor(key::xor_table(key.fit(cipher, key::ANY)?)),
            Cipher::Aes128 => Engine::Aes(Box::new(Cfb::new(key.fit(cipher, &[16])?)?)),
            Cipher::Aes192 => Engine::Aes(Box::new(Cfb::new(key.fit(cipher, &[24])?)?)),
            Cipher::Aes256 => Engine::Aes(Box::new(Cfb::new(key.fit(cipher, &[32])?)?)),
            Cipher::Salsa20 => Engine::Salsa20(Salsa20::new(key.fit(cipher, &[32])?)?),
            Cipher::AesGcm => Engine::Gcm(Gcm::new(key.fit(cipher, &[16, 24, 32])?)?),
        };
        Ok(Self { cipher, engine })
    }

    /// No cipher: datagrams pass as they are.
    #[must_use]
    pub const fn null() -> Self {
        Self { cipher: Cipher::Null, engine: Engine::Null }
    }

    /// Which cipher it is.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Bytes that it adds to a datagram: 0, 20 or 28.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.cipher.overhead()
    }

    /// Hides a datagram in place. Its first [`Crypt::overhead`] bytes are room for the header; the content is
    /// behind them. (`aes-gcm` moves the content 16 bytes to the front, because its tag stands last.)
    ///
    /// `nonce` has to be another one for each datagram under the same key, in whatever process: a
    /// [`NonceSource`] gives such. `salsa20` sends its first 8 bytes in clear, `aes-gcm` its first 12; a second
    /// use gives away both contents, and with `aes-gcm` the seal too. A datagram without room for the header
    /// becomes zeros.
    pub fn seal(&self, datagram: &mut [u8], nonce: [u8; NONCE]) {
        match &self.engine {
            Engine::Null => {}
            Engine::Gcm(gcm) => gcm.seal(datagram, nonce),
            Engine::None | Engine::Xor(_) | Engine::Aes(_) | Engine::Salsa20(_) => {
                let Some((header, content)) = datagram.split_first_chunk_mut::<CFB_HEADER>() else {
                    datagram.fill(0);
                    return;
                };
                header[..NONCE].copy_from_slice(&nonce);
                header[NONCE..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
                self.scramble(datagram, Direction::Seal);
            }
        }
    }

    /// Uncovers a datagram in place and returns its content; `None` when its CRC or tag is wrong or it is too
    /// short for its header. The bytes of such a datagram mean nothing any more.
    pub fn open<'b>(&self, datagram: &'b mut [u8]) -> Option<&'b mut [u8]> {
        match &self.engine {
            Engine::Null => Some(datagram),
            Engine::Gcm(gcm) => gcm.open(datagram),
            Engine::None | Engine::Xor(_) | Engine::Aes(_) | Engine::Salsa20(_) => {
                if datagram.len() < CFB_HEADER {
                    return None;
                }
                self.scramble(datagram, Direction::Open);
                let (header, content) = datagram.split_first_chunk_mut::<CFB_HEADER>()?;
                let (_, crc) = header.split_last_chunk::<CRC>()?;
                (crc32fast::hash(content) == u32::from_le_bytes(*crc)).then_some(content)
            }
        }
    }

    /// Runs a cipher of the CFB family over a whole datagram.
    fn scramble(&self, datagram: &mut [u8], direction: Direction) {
        match &self.engine {
            Engine::Null | Engine::None | Engine::Gcm(_) => {}
            Engine::Xor(table) => xor(datagram, table),
            Engine::Aes(cfb) => match direction {
                Direction::Seal => cfb.encrypt(datagram),
                Direction::Open => cfb.decrypt(datagram),
            },
            Engine::Salsa20(salsa) => salsa.apply(datagram),
        }
    }
}

impl fmt::Debug for Crypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypt").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Seal,
    Open,
}

/// XORs `mask` into `bytes`, as far as the shorter one goes.
fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
