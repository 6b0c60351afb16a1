//! The `Range` header (RFC 9110 §14): one range of bytes; whatever else it says is ignored, as the RFC allows.

use std::ops::Range;

/// Which bytes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of them.
    Whole,
    /// These, end excluded.
    Part(Range<u64>),
    /// Some that are not there.
    Outside,
}

/// Reads the header for something of `size` bytes.
pub(super) fn asked(header: Option<&str>, size: u64) -> Asked {
    let Some((first, last)) = header.and_then(|header| header.trim().strip_prefix("bytes=")?.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| if text.bytes().all(|c| c.is_ascii_digit()) { text.parse::<u64>().ok() } else { None };
    let (first, last) = (first.trim(), last.trim());
    match (first.is_empty(), number(first), number(last)) {
        (false, Some(first), _) if last.is_empty() => part(first, size, size),
        (false, Some(first), Some(last)) if first <= last => part(first, last.saturating_add(1), size),
        (true, _, Some(count)) => part(size.saturating_sub(count), size, size),
        _ => Asked::Whole,
    }
}

fn part(start: u64, end: u64, size: u64) -> Asked {
    if start >= size { Asked::Outside } else { Asked::Part(start..end.min(size)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rfc_9110_gives_as_examples_and_ignores_the_rest() {
        for (header, expected) in [
            ("bytes=0-499", Asked::Part(0..500)),
            ("bytes=500-999", Asked::Part(500..1000)),
            ("bytes=9500-", Asked::Part(9500..10_000)),
            ("bytes=-500", Asked::Part(9500..10_000)),
            ("bytes=9999-9999", Asked::Part(9999..10_000)),
            ("bytes=0-99999", Asked::Part(0..10_000)),
            ("bytes=-99999", Asked::Part(0..10_000)),
            ("bytes=0-18446744073709551615", Asked::Part(0..10_000)),
            ("bytes=10000-", Asked::Outside),
            ("bytes=10000-20000", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=0-99999999999999999999999", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(Some(header), 10_000), expected, "{header:?}");
        }
        assert_eq!(asked(None, 10_000), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Outside);
    }
}
