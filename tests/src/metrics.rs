//! What `/metrics` says, read as the Prometheus text format.

/// What a sample's name may have behind that of its metric.
const PARTS: [&str; 4] = ["", "_bucket", "_sum", "_count"];

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The sum of all samples of `name` whose labels contain each of `labels` (`listener="game"`); zero when
    /// there is none. A name that the page does not know is a mistake of the test.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_known = |line: &str| {
            let family = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next());
            family.and_then(|family| name.strip_prefix(family)).is_some_and(|part| PARTS.contains(&part))
        };
        assert!(self.text.lines().any(is_known), "no metric has the name {name}");
        self.samples(name)
            .filter(|(have, _)| labels.iter().all(|label| have.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// Is there any sample of that name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.samples(name).next().is_some()
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None => ("", rest),
            };
            if !value.starts_with(' ') {
                return None;
            }
            Some((labels, value.trim().parse().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_whole_name_and_summed_over_labels() {
        let text = "# TYPE a gauge\na{l=\"x\",m=\"1\"} 2\na{l=\"y\"} 3\n# TYPE a_total counter\na_total 7\n";
        let metrics = Metrics::new(text.into());
        assert!((metrics.sum("a", &[]) - 5.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a", &["l=\"x\""]) - 2.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a_total", &[]) - 7.0).abs() < f64::EPSILON);
        assert!(!metrics.has("b"));
    }
}
