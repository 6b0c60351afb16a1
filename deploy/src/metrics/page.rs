//! A page of metrics in Prometheus' text format, version 0.0.4 (Prometheus documentation, "Exposition formats").

use cirro_server::histogram::{BOUNDS_US, Counted};
use std::fmt::Write;

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It is as it is now.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// A page that is being written: one [`Page::family`] at a time, then its values.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
    name: &'static str,
}

/// Labels and their values.
pub(crate) type Labels<'l> = &'l [(&'static str, &'l str)];

impl Page {
    /// Begins the values of one name.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, what: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        // writing to a String can't fail, here and below
        let _ = writeln!(self.text, "# HELP {name} {what}\n# TYPE {name} {kind}");
        self
    }
    /// A value.
    pub(crate) fn value(&mut self, labels: Labels<'_>, value: impl std::fmt::Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }
    /// Durations, in seconds.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, counted: &Counted) -> &mut Self {
        for (bound, count) in BOUNDS_US.iter().zip(counted.at_most) {
            self.line("_bucket", labels, Some(&seconds(*bound)), count);
        }
        self.line("_bucket", labels, Some("+Inf"), counted.count);
        self.line("_sum", labels, None, seconds(counted.sum_us));
        self.line("_count", labels, None, counted.count);
        self
    }
    /// The whole page.
    pub(crate) fn text(self) -> String {
        self.text
    }
    fn line(&mut self, end: &str, labels: Labels<'_>, bound: Option<&str>, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{}{end}", self.name);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (n, (label, text)) in all.enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if n == 0 { '{' } else { ',' }, escaped(text));
        }
        let close = if labels.is_empty() && bound.is_none() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// Microseconds as seconds, without what a division would round.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_server::histogram::Histogram;
    use std::time::Duration;

    #[test]
    fn a_page_is_written_as_the_format_wants_it() {
        let mut page = Page::default();
        page.family("cirro_up", Kind::Gauge, "Whether it runs.").value(&[], 1);
        page.family("cirro_things_total", Kind::Counter, "Things.").value(&[("of", "a\"b\\c\nd"), ("kind", "x")], 2);
        let expected = "# HELP cirro_up Whether it runs.\n# TYPE cirro_up gauge\ncirro_up 1\n\
            # HELP cirro_things_total Things.\n# TYPE cirro_things_total counter\n\
            cirro_things_total{of=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 2\n";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_micros(600));
        histogram.add(Duration::from_secs(31));
        let mut page = Page::default();
        page.family("took_seconds", Kind::Histogram, "Time.").histogram(&[("of", "x")], &histogram.counted());
        let text = page.text();
        for line in [
            "took_seconds_bucket{of=\"x\",le=\"0.0005\"} 0",
            "took_seconds_bucket{of=\"x\",le=\"0.001\"} 1",
            "took_seconds_bucket{of=\"x\",le=\"30\"} 1",
            "took_seconds_bucket{of=\"x\",le=\"+Inf\"} 2",
            "took_seconds_sum{of=\"x\"} 31.0006",
            "took_seconds_count{of=\"x\"} 2",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }
}
