//! The text of a page, family by family.

use std::fmt::Write as _;

use super::{Kind, Metric};

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    family: Option<Metric>,
}

impl Page {
    /// Begins the family of `metric`; samples follow.
    pub(super) fn family(&mut self, metric: Metric) -> &mut Self {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing into a string does not fail, here and below.
        let _infallible = writeln!(self.text, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
        self.family = Some(metric);
        self
    }

    /// Adds a sample with the values of the family's labels, in their order.
    pub(super) fn sample(&mut self, labels: &[&str], value: u64) -> &mut Self {
        self.begin("", labels, None);
        let _infallible = writeln!(self.text, " {value}");
        self
    }

    /// As [`Page::sample`], of what is not whole.
    pub(super) fn fraction(&mut self, labels: &[&str], value: f64) -> &mut Self {
        self.begin("", labels, None);
        let _infallible = writeln!(self.text, " {value}");
        self
    }

    /// Adds a histogram: how many there were in each class, the classes by their upper bounds and one beyond the
    /// last, and the sum of all.
    pub(super) fn histogram(&mut self, labels: &[&str], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut total = 0;
        for (class, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(class).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.begin("_bucket", labels, Some(("le", &bound)));
            let _infallible = writeln!(self.text, " {total}");
        }
        self.begin("_sum", labels, None);
        let _infallible = writeln!(self.text, " {sum}");
        self.begin("_count", labels, None);
        let _infallible = writeln!(self.text, " {total}");
    }

    /// Returns what was written.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Writes the family's name, a suffix, the labels with their values and one more of these.
    fn begin(&mut self, suffix: &str, values: &[&str], more: Option<(&str, &str)>) {
        let Some(metric) = self.family else { return };
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        self.text.push_str(metric.name);
        self.text.push_str(suffix);
        let mut opening = '{';
        let own = metric.labels.iter().zip(values).map(|(label, value)| (*label, *value));
        for (label, value) in own.chain(more) {
            self.text.push(opening);
            self.text.push_str(label);
            self.text.push_str("=\"");
            for symbol in value.chars() {
                match symbol {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    _ => self.text.push(symbol),
                }
            }
            self.text.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.text.push('}');
        }
    }
}
