//! Sizes and times as people type them: `512MiB`, `2GiB`, `90d`.

use cirro_models::{GiB, MiB};
use std::time::Duration;

/// What one of each unit is, in MiB.
const SIZES: &[(&str, i64)] =
    &[("mib", 1), ("gib", 1 << 10), ("tib", 1 << 20), ("m", 1), ("g", 1 << 10), ("t", 1 << 20)];

fn mebibytes(text: &str) -> Result<i64, String> {
    let wanted = || format!("\"{text}\" is no size: give a number with its unit, such as 512MiB, 2GiB or 1TiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wanted)?;
    number.parse::<i64>().ok().and_then(|number| number.checked_mul(*factor)).ok_or_else(wanted)
}

/// Memory.
pub(crate) fn memory(text: &str) -> Result<MiB, String> {
    let size = mebibytes(text)?;
    if size > MiB::MAX.get() { Err(format!("{text} is more than {}", MiB::MAX)) } else { Ok(MiB::new(size)) }
}

/// A disk: whole GiB.
pub(crate) fn disk(text: &str) -> Result<GiB, String> {
    let size = mebibytes(text)?;
    if size % 1024 != 0 {
        return Err(format!("{text} is no whole number of GiB: disks come in whole GiB"));
    }
    if size / 1024 > GiB::MAX.get() {
        Err(format!("{text} is more than {}", GiB::MAX))
    } else {
        Ok(GiB::new(size / 1024))
    }
}

/// How long.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("\"{text}\" is no time: give a number with its unit, such as 30m, 12h, 90d or 52w");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let (number, unit) = text.split_at(digits);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wanted()),
    };
    let number: u64 = number.parse().map_err(|_| wanted())?;
    // a hundred years: beyond that, no calendar is asked
    number.checked_mul(seconds).filter(|s| *s <= 100 * 366 * 24 * 3600).map(Duration::from_secs).ok_or_else(wanted)
}

/// A number of bytes for people.
pub(crate) fn bytes(bytes: i64) -> String {
    // sizes beyond 2^53 lose digits that are not shown anyway
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(memory("512MiB"), Ok(MiB::new(512)));
        assert_eq!(memory("2GiB"), Ok(MiB::new(2048)));
        assert_eq!(memory("2 gib"), Ok(MiB::new(2048)));
        assert_eq!(disk("1TiB"), Ok(GiB::new(1024)));
        assert_eq!(disk("1024m"), Ok(GiB::new(1)));
        for wrong in ["", "2", "GiB", "-1GiB", "1.5GiB", "2GB", "99999999999999999999GiB", "9999999999TiB", "1é"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
        assert!(disk("512MiB").is_err());
    }

    #[test]
    fn times() {
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        for wrong in ["", "90", "d", "1y", "-1d", "99999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shown_bytes() {
        assert_eq!([bytes(5), bytes(1536), bytes(3 << 30), bytes(5 << 40)], ["5 B", "1.5 KiB", "3.0 GiB", "5.0 TiB"]);
    }
}
