//! How long simulated guests take to start.

use cirro_models::Error;
use std::{fmt, str::FromStr, time::Duration};

/// The longest, in milliseconds: an hour.
const LONGEST: u64 = 3_600_000;

/// At least and at most so many milliseconds: `200`, or `100..500`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Boot {
    least: u64,
    most: u64,
}

impl Boot {
    /// The times between which chance decides.
    pub(super) fn times(self) -> [Duration; 2] {
        [self.least, self.most].map(Duration::from_millis)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most { write!(f, "{}", self.least) } else { write!(f, "{}..{}", self.least, self.most) }
    }
}

impl FromStr for Boot {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        match (least.parse(), most.parse()) {
            (Ok(least), Ok(most)) if least <= most && most <= LONGEST => Ok(Self { least, most }),
            _ => Err(Error::invalid(
                "boot_ms",
                format!("{text} is no time of a start: give milliseconds up to {LONGEST}, as 200 or 100..500"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_range_is_read_and_said_again() {
        for text in ["0", "200", "100..500", "0..3600000"] {
            assert_eq!(text.parse::<Boot>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "-1", "5..1", "1..", "..5", "1...2", "3600001"] {
            let said = bad.parse::<Boot>().unwrap_err().to_string();
            assert!(said.contains("100..500"), "{said}");
        }
    }
}
