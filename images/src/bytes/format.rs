//! The formats that Cirro takes, and the first bytes of those that only look like them.

use std::{fmt, str::FromStr};

/// How the bytes of an image are arranged. What is stored is always the format that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// The disk's sectors, one after the other.
    Raw,
}

/// The name is not one of the formats that Cirro takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the format must be \"qcow2\" or \"raw\"; convert others with `qemu-img convert -f FORMAT -O qcow2 IN OUT`")]
pub struct UnknownFormat;

impl Format {
    /// The name as it stands in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        [Self::Qcow2, Self::Raw].into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// One known beginning: name, position in bytes, and the bytes there.
type Magic = (&'static str, usize, &'static [u8]);

/// Beginnings that a raw disk never has by accident. From the formats' specifications and from the `*_probe` functions
/// in QEMU's `block/*.c`; the compressed ones because people upload `disk.raw.xz` as it was downloaded.
const MAGICS: &[Magic] = &[
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhdx", 0, b"vhdxfile"),
    ("vhd", 0, b"conectix"),
    ("vdi", 64, &[0x7f, 0x10, 0xda, 0xbe]),
    ("qed", 0, b"QED\0"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("bochs", 0, b"Bochs Virtual HD Image"),
    ("cloop", 0, b"#!/bin/sh\n#V2.0 Format"),
    ("gzip", 0, &[0x1f, 0x8b, 0x08]),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, &[0x28, 0xb5, 0x2f, 0xfd]),
];

/// Names the format whose magic the image's first bytes carry; `None` is what a raw disk looks like.
pub(super) fn sniff(head: &[u8]) -> Option<&'static str> {
    let has = |&&(_, at, magic): &&Magic| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    MAGICS.iter().find(has).map(|&(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_closed() {
        assert_eq!("qcow2".parse(), Ok(Format::Qcow2));
        assert_eq!("raw".parse(), Ok(Format::Raw));
        for name in ["", "QCOW2", "vmdk", "host_device", "nbd", "json:{}", "raw "] {
            assert_eq!(name.parse::<Format>(), Err(UnknownFormat), "{name:?}");
        }
    }

    #[test]
    fn every_magic_is_seen_at_its_place_only() {
        for &(name, at, magic) in MAGICS {
            let mut head = vec![0; at];
            head.extend_from_slice(magic);
            assert_eq!(sniff(&head), Some(name));
            assert_eq!(sniff(&head[..head.len() - 1]), None, "half of {name}");
            head.insert(0, 0);
            assert_eq!(sniff(&head), None, "{name} one byte late");
        }
        assert_eq!(sniff(b""), None);
    }
}
