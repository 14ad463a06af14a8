//! How a record lies in the store. Every number little-endian.
//!
//! ```text
//! u8 format (1) · u8 revoked · u64 family · u64 rotate_at · u64 used · current · u16 n · n × offered · u16 n · n × retired
//! a held token: 32 bytes hash, u64 ends    a retired one: u64 print, u64 ends
//! ```

use super::{Held, OFFERED, RETIRED, Record, Retired};
use crate::token::{Family, TokenHash};

const FORMAT: u8 = 1;

impl Record {
    /// As the store keeps it: at most 5 KiB.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::from(self.revoked)];
        for number in [self.family.0, self.rotate_at, self.used] {
            out.extend(number.to_le_bytes());
        }
        put_held(&mut out, &self.current);
        out.extend(count(self.offered.len()));
        self.offered.iter().for_each(|held| put_held(&mut out, held));
        out.extend(count(self.retired.len()));
        for retired in &self.retired {
            out.extend(retired.print.to_le_bytes());
            out.extend(retired.ends.to_le_bytes());
        }
        out
    }

    /// Reads what [`Record::encode`] wrote. `None`: these bytes are no record.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [FORMAT, revoked @ (0 | 1)] = rest.take()? else { return None };
        let (family, rotate_at, used) = (Family(rest.number()?), rest.number()?, rest.number()?);
        let current = rest.held()?;
        let offered = rest.count(OFFERED)?;
        let offered = (0..offered).map(|_| rest.held()).collect::<Option<_>>()?;
        let retired = rest.count(RETIRED)?;
        let retired = (0..retired)
            .map(|_| Some(Retired { print: rest.number()?, ends: rest.number()? }))
            .collect::<Option<_>>()?;
        let record = Self { family, current, offered, retired, rotate_at, used, revoked: revoked == 1 };
        rest.0.is_empty().then_some(record)
    }
}

fn put_held(out: &mut Vec<u8>, held: &Held) {
    out.extend(held.hash.0);
    out.extend(held.ends.to_le_bytes());
}

/// The lists are bounded far below.
fn count(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes()
}

/// What is left to read.
struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self, max: usize) -> Option<usize> {
        let count = usize::from(u16::from_le_bytes(self.take()?));
        (count <= max).then_some(count)
    }

    fn held(&mut self) -> Option<Held> {
        Some(Held { hash: TokenHash(self.take()?), ends: self.number()? })
    }
}
