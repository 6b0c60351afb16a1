//! Where a request stands in a trace that spans processes: W3C Trace Context, version 00.

use std::fmt;

/// A place in a trace: which trace it is, and which part of it asks. The name of the header is [`Trace::HEADER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    flags: u8,
}

impl Trace {
    /// The header that it travels in.
    pub const HEADER: &'static str = "traceparent";
    /// The target of the events that tell of a finished part, for what exports traces; nobody else wants them.
    pub const TARGET: &'static str = "cirro::part";
    /// The flag that says that the trace is recorded.
    const SAMPLED: u8 = 1;

    /// A new trace.
    pub fn begin() -> Self {
        // zero means "none" (W3C Trace Context, 3.2.2.3)
        Self { id: fastrand::u128(1..), span: fastrand::u64(1..), flags: Self::SAMPLED }
    }
    /// Reads the header: `00-<32 hexadecimal digits>-<16>-<2>`. A later version may have more after that, which is
    /// passed over.
    pub fn read(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = number(parts.next()?, 2).filter(|version| *version != 0xff)?;
        let (id, span, flags) = (number(parts.next()?, 32)?, number(parts.next()?, 16)?, number(parts.next()?, 2)?);
        if id == 0 || span == 0 || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self { id, span: u64::try_from(span).ok()?, flags: u8::try_from(flags).ok()? & Self::SAMPLED })
    }
    /// A part of the same trace that this one asks for.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: fastrand::u64(1..), ..self }
    }
    /// Whether its beginner wants it recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
    /// The trace's id, in hexadecimal.
    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }
    /// The id of the part, in hexadecimal.
    pub fn span(self) -> String {
        format!("{:016x}", self.span)
    }
}

/// A number of exactly so many lower-case hexadecimal digits.
fn number(text: &str, digits: usize) -> Option<u128> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() == digits && plain { u128::from_str_radix(text, 16).ok() } else { None }
}

/// As the header has it.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let trace = Trace::read(HEADER).unwrap();
        assert_eq!(trace.to_string(), HEADER);
        assert_eq!((trace.id().as_str(), trace.span().as_str()), (&HEADER[3..35], &HEADER[36..52]));
        let later = HEADER.replacen("00", "01", 1) + "-more";
        assert_eq!(Trace::read(&later), Some(trace), "a later version begins the same");
    }

    #[test]
    fn what_is_none_is_passed_over() {
        for bad in [
            "",
            "00",
            &HEADER.to_uppercase(),
            &HEADER.replace("00-4", "ff-4"),
            &HEADER[..54],
            &format!("{HEADER}-x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_child_belongs_to_the_same_trace() {
        let trace = Trace::begin();
        let child = trace.child();
        assert_eq!(child.id(), trace.id());
        assert_ne!(child.span(), trace.span());
        assert_eq!(Trace::read(&child.to_string()), Some(child));
    }
}
