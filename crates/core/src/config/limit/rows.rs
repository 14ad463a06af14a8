//! The keys of limits: a bucket of whatever is counted, and one of bytes.

use super::RateLimit;
use crate::config::key::{Maybe, Need, Reader, Section};
use crate::config::kind::{Kind, Nested, Text, Whole};
use crate::config::write::Writer;
use crate::unit::{Rate, UnitError};

/// `{ rate = "50/s", burst = 100 }`.
pub(in crate::config) const BUCKET: Nested<RateLimit> =
    Nested { section: &BUCKET_SECTION, read: |reader| read(reader, &RATE, &BURST), write: write_bucket };

static BUCKET_SECTION: Section = Section {
    path: "limits.session_rate",
    doc: "A token bucket, full at first: it fills at its rate, each use takes a token, and what finds none is limited. \
          The same for every rate of sessions and messages.",
    rows: &[&RATE, &BURST],
    later: &[],
};
/// A count over time.
pub(in crate::config) const COUNTED: Text<Rate> = Text {
    label: "rate",
    example: "1000/s",
    parse: |text| text.parse().map_err(|error: UnitError| error.to_string()),
    show: Rate::to_string,
};
static RATE: Need<Text<Rate>> = Need { name: "rate", kind: COUNTED, doc: "how many, over time" };
static BURST: Maybe<Whole<u32>> = Maybe {
    name: "burst",
    kind: Whole::from(1, u32::MAX),
    absent: "what one second brings, at least 1",
    doc: "how many at once after a rest",
};

fn write_bucket(writer: &mut Writer<'_>, limit: &RateLimit) {
    write(writer, limit, (&RATE, &BURST));
}

fn read<B: Kind<Out = u32>>(
    reader: &Reader<'_>,
    rate: &Need<Text<Rate>>,
    burst: &Maybe<B>,
) -> Option<RateLimit> {
    let burst = reader.find(burst);
    let rate = reader.need(rate)?;
    Some(RateLimit { rate, burst: burst.unwrap_or_else(|| usual_burst(rate)) })
}

fn write<B: Kind<Out = u32>>(
    writer: &mut Writer<'_>,
    limit: &RateLimit,
    (rate, burst): (&Need<Text<Rate>>, &Maybe<B>),
) {
    writer.put_needed(rate, &limit.rate);
    writer.put_maybe(burst, &limit.burst, limit.burst == usual_burst(limit.rate));
}

/// What one second brings, at least 1: whoever says only a rate means no rest of minutes saved up.
fn usual_burst(rate: Rate) -> u32 {
    let seconds = u32::try_from(rate.per.as_secs()).unwrap_or(u32::MAX).max(1);
    (rate.count.get() / seconds).max(1)
}
