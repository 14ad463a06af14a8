//! What a certificate says of its owner (RFC 5280 section 4.1): a walk over its DER, without trust in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(test)]
mod tests;

/// Universal tags and those of a certificate's own fields, as they stand in DER.
mod tag {
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const OBJECT: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const IA5: u8 = 0x16;
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const TIME: u8 = 0x18;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const VERSION: u8 = 0xa0;
    pub(super) const EXTENSIONS: u8 = 0xa3;
    pub(super) const DNS_NAME: u8 = 0x82;
}

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The name of the certificate's owner: the last common name of its subject, or else its first alternative name
/// of DNS.
///
/// `None` where it has neither, or is no certificate. It says who somebody is only of a certificate that was
/// verified.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<&str> {
    let common = fields(certificate).and_then(|fields| common_name(fields.subject));
    common.or_else(|| names(certificate).first().copied())
}

/// The DNS names that a certificate is for; none where it says none, or is no certificate.
pub(super) fn names(certificate: &[u8]) -> Vec<&str> {
    let extensions = fields(certificate).and_then(|fields| fields.extensions);
    let Some(mut names) = extensions.and_then(alternative_names) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some((tag, value)) = names.next() {
        if tag == tag::DNS_NAME
            && let Ok(name) = str::from_utf8(value)
        {
            found.push(name);
        }
    }
    found
}

/// When a certificate ends, by the wall clock.
///
/// `None` where it is no certificate, and where it ended before 1970.
pub(super) fn expires(certificate: &[u8]) -> Option<SystemTime> {
    let mut validity = fields(certificate)?.validity;
    validity.next()?; // when it begins
    let (tag, text) = validity.next()?;
    let text = str::from_utf8(text).ok()?;
    // RFC 5280 section 4.1.2.5: two digits of a year from 1950 on, or four.
    let (year, rest) = match tag {
        tag::UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let good =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let days = days_since_1970(year, month, day).filter(|_| good && rest == "Z")?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

/// A number of so many digits, and what follows it.
fn number(text: &str, digits: usize) -> Option<(u64, &str)> {
    let (head, rest) = text.split_at_checked(digits)?;
    head.bytes().all(|byte| byte.is_ascii_digit()).then(|| head.parse().ok())?.map(|number| (number, rest))
}

/// Days from the first of 1970 to a day of the Gregorian calendar, which is taken to begin its years in March.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    /// From the first of March of the year 0 to the first of January 1970.
    const BEFORE: u64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day.checked_sub(1)?;
    days.checked_sub(BEFORE)
}

/// The parts of a certificate that are read here.
struct Fields<'c> {
    validity: Der<'c>,
    subject: Der<'c>,
    extensions: Option<Der<'c>>,
}

/// `TBSCertificate`: version, serial number, signature, issuer, validity, subject, key, extensions.
fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let mut signed = Der(Der(certificate).take(tag::SEQUENCE)?);
    let mut fields = Der(signed.take(tag::SEQUENCE)?);
    fields.take(tag::VERSION);
    fields.next()?;
    for _ in ["signature", "issuer"] {
        fields.take(tag::SEQUENCE)?;
    }
    let validity = Der(fields.take(tag::SEQUENCE)?);
    let subject = Der(fields.take(tag::SEQUENCE)?);
    let mut extensions = None;
    while let Some((tag, value)) = fields.next() {
        if tag == tag::EXTENSIONS {
            extensions = Der(value).take(tag::SEQUENCE).map(Der);
        }
    }
    Some(Fields { validity, subject, extensions })
}

/// `RDNSequence`: sets of pairs.
fn common_name(mut subject: Der<'_>) -> Option<&str> {
    let mut found = None;
    while let Some(set) = subject.take(tag::SET) {
        let mut set = Der(set);
        while let Some(pair) = set.take(tag::SEQUENCE) {
            let mut pair = Der(pair);
            if pair.take(tag::OBJECT)? != COMMON_NAME {
                continue;
            }
            if let Some((tag::UTF8 | tag::PRINTABLE | tag::IA5, text)) = pair.next() {
                found = str::from_utf8(text).ok();
            }
        }
    }
    found
}

/// `GeneralNames`, inside an octet string.
fn alternative_names(mut extensions: Der<'_>) -> Option<Der<'_>> {
    while let Some(extension) = extensions.take(tag::SEQUENCE) {
        let mut extension = Der(extension);
        if extension.take(tag::OBJECT)? == ALTERNATIVE_NAMES {
            extension.take(tag::BOOLEAN);
            return Der(extension.take(tag::OCTETS)?).take(tag::SEQUENCE).map(Der);
        }
    }
    None
}

/// Values one after the other, each with its tag and its length.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next value and its tag; `None` at the end, and where it is cut or its length is not DER's.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
            }
            0x80 | 0x85.. => return None, // of no length, or of one that no certificate has
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, if it has that tag; else nothing is taken.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, value)) if found == tag => Some(value),
            _ => {
                self.0 = before;
                None
            }
        }
    }
}
