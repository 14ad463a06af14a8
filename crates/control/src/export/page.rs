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
        };
        // Writing into a string does not fail, here and below.
        let _infallible = writeln!(self.text, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
        self.family = Some(metric);
        self
    }

    /// Adds a sample with the values of the family's labels, in their order.
    pub(super) fn sample(&mut self, labels: &[&str], value: u64) -> &mut Self {
        self.begin(labels);
        let _infallible = writeln!(self.text, " {value}");
        self
    }

    /// Adds a sample that is not whole.
    pub(super) fn fraction(&mut self, value: f64) -> &mut Self {
        self.begin(&[]);
        let _infallible = writeln!(self.text, " {value}");
        self
    }

    /// Returns what was written.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn begin(&mut self, values: &[&str]) {
        let Some(metric) = self.family else { return };
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        self.text.push_str(metric.name);
        let mut opening = '{';
        for (label, value) in metric.labels.iter().zip(values) {
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
