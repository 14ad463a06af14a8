//! What a certificate says of its owner (RFC 5280 section 4.1): a walk over its DER, without trust in it.

/// Universal tags and those of a certificate's own fields, as they stand in DER.
mod tag {
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const OBJECT: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const IA5: u8 = 0x16;
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

/// The parts of a certificate that are read here.
struct Fields<'c> {
    subject: Der<'c>,
    extensions: Option<Der<'c>>,
}

/// `TBSCertificate`: version, serial number, signature, issuer, validity, subject, key, extensions.
fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let mut signed = Der(Der(certificate).take(tag::SEQUENCE)?);
    let mut fields = Der(signed.take(tag::SEQUENCE)?);
    fields.take(tag::VERSION);
    fields.next()?;
    for _ in ["signature", "issuer", "validity"] {
        fields.take(tag::SEQUENCE)?;
    }
    let subject = Der(fields.take(tag::SEQUENCE)?);
    let mut extensions = None;
    while let Some((tag, value)) = fields.next() {
        if tag == tag::EXTENSIONS {
            extensions = Der(value).take(tag::SEQUENCE).map(Der);
        }
    }
    Some(Fields { subject, extensions })
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
