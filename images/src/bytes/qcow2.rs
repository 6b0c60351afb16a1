//! Our own reading of a qcow2 header, before any tool sees the file.
//!
//! qcow2 can make whoever opens it open other files (backing file, external data file) and reserve absurd amounts of
//! memory (tables). This parser is pure, understands only what is harmless and refuses the rest; what it refuses never
//! reaches `qemu-img`. Offsets, names and limits are those of QEMU's `docs/interop/qcow2.rst` and, where that leaves a
//! size open, of `block/qcow2.h`. All numbers in the file are big-endian.

use super::error::Fault;

/// Bytes of the file's beginning that [`parse`] wants. Header and extensions end well before, in every image that
/// a tool makes; one whose extensions go on is refused.
pub const HEAD: usize = 64 * 1024;

/// The largest offset and size that QEMU can handle (a signed 64-bit file offset), whatever a site allows.
const MAX_OFFSET: u64 = i64::MAX as u64;
/// `QCOW_MAX_L1_SIZE`, in bytes.
const MAX_L1_BYTES: u64 = 32 << 20;
/// `QCOW_MAX_REFTABLE_SIZE`, in bytes.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// `QCOW_MAX_SNAPSHOTS`.
const MAX_SNAPSHOTS: u32 = 65_536;
/// Smallest and largest `cluster_bits` that QEMU opens: 512 bytes and 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// Incompatible feature bits. An image with one that is not listed here is refused.
mod incompatible {
    pub(super) const DIRTY: u64 = 1 << 0;
    pub(super) const CORRUPT: u64 = 1 << 1;
    pub(super) const DATA_FILE: u64 = 1 << 2;
    pub(super) const COMPRESSION: u64 = 1 << 3;
    pub(super) const EXTENDED_L2: u64 = 1 << 4;
    pub(super) const UNDERSTOOD: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
}

/// Header extension types that point out of the image or change what its clusters mean.
mod extension {
    pub(super) const END: u32 = 0;
    pub(super) const ENCRYPTION: u32 = 0x0537_be77;
    pub(super) const DATA_FILE: u32 = 0x4441_5441;
}

/// What a harmless header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// The size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The unit of allocation, in bytes.
    pub cluster_size: u64,
}

/// Reads the header of an image that is `file_size` bytes long, from `head`: its first [`HEAD`] bytes, or all of it when
/// it is shorter. While an image is still arriving, pass `u64::MAX` as its size: then nothing lies past its end.
///
/// # Errors
/// [`Fault::BackingFile`], [`Fault::DataFile`], [`Fault::Encrypted`], [`Fault::VirtualTooLarge`] above
/// `max_virtual_size` bytes, and [`Fault::Malformed`] for everything else that does not add up.
pub fn parse(head: &[u8], file_size: u64, max_virtual_size: u64) -> Result<Header, Fault> {
    if !head.starts_with(b"QFI\xfb") {
        return Err(Fault::malformed("it does not begin as qcow2 does"));
    }
    let fields = Fields(head);
    let version = fields.u32(4)?;
    let features = match version {
        2 => Features { incompatible: 0, header_length: 72 },
        3 => Features::read(fields)?,
        _ => return Err(Fault::malformed(format!("qcow2 version {version} is unknown"))),
    };
    refuse_other_files(fields, features)?;
    let header = Header { version, virtual_size: fields.u64(24)?, cluster_size: cluster_size(fields, features)? };
    let limit = max_virtual_size.min(MAX_OFFSET);
    if header.virtual_size > limit {
        return Err(Fault::VirtualTooLarge { virtual_size: header.virtual_size, limit });
    }
    // QEMU makes only such, and would silently cut off another one's last bytes.
    if header.virtual_size == 0 || !header.virtual_size.is_multiple_of(512) {
        return Err(Fault::malformed("the size of its disk is not a number of 512-byte sectors"));
    }
    check_extensions(head, features.header_length, header.cluster_size)?;
    check_tables(fields, features, &header, file_size)?;
    Ok(header)
}

/// The fields that version 3 added.
#[derive(Clone, Copy)]
struct Features {
    incompatible: u64,
    /// Where the header extensions begin, in bytes.
    header_length: usize,
}

impl Features {
    fn read(fields: Fields<'_>) -> Result<Self, Fault> {
        let incompatible = fields.u64(72)?;
        let unknown = incompatible & !incompatible::UNDERSTOOD;
        if unknown != 0 {
            return Err(Fault::malformed(format!("it needs features that are unknown (bits {unknown:#x})")));
        }
        if fields.u32(96)? > 6 {
            return Err(Fault::malformed("its reference counts are wider than 64 bits"));
        }
        let length = fields.u32(100)?;
        if length < 104 || !length.is_multiple_of(8) || length > 4096 {
            return Err(Fault::malformed(format!("its header claims a length of {length} bytes")));
        }
        let compression = if length > 104 { fields.u8(104)? } else { 0 };
        let flagged = incompatible & incompatible::COMPRESSION != 0;
        if compression > 1 || flagged != (compression == 1) {
            return Err(Fault::malformed(format!("its compression type {compression} is unknown or not announced")));
        }
        Ok(Self { incompatible, header_length: length as usize })
    }

    const fn has(self, bit: u64) -> bool {
        self.incompatible & bit != 0
    }
}

/// Refuses what would make QEMU open something else than this file, or a file in an unfinished state.
fn refuse_other_files(fields: Fields<'_>, features: Features) -> Result<(), Fault> {
    if fields.u64(8)? != 0 {
        return Err(Fault::BackingFile);
    }
    if features.has(incompatible::DATA_FILE) {
        return Err(Fault::DataFile);
    }
    if fields.u32(32)? != 0 {
        return Err(Fault::Encrypted);
    }
    if features.has(incompatible::CORRUPT) {
        return Err(Fault::malformed("it is marked as corrupt"));
    }
    if features.has(incompatible::DIRTY) {
        return Err(Fault::malformed("it was not closed cleanly, or copied while in use"));
    }
    Ok(())
}

fn cluster_size(fields: Fields<'_>, features: Features) -> Result<u64, Fault> {
    let bits = fields.u32(20)?;
    let smallest = if features.has(incompatible::EXTENDED_L2) { 14 } else { *CLUSTER_BITS.start() };
    if bits < smallest || bits > *CLUSTER_BITS.end() {
        return Err(Fault::malformed(format!("clusters of 2^{bits} bytes are not possible")));
    }
    Ok(1 << bits)
}

/// Walks the header extensions: (type, length, data padded to 8 bytes)…, up to an end mark within the first cluster.
fn check_extensions(head: &[u8], start: usize, cluster_size: u64) -> Result<(), Fault> {
    let end = usize::try_from(cluster_size).unwrap_or(HEAD).min(HEAD);
    let area = Fields(head.get(..end.min(head.len())).unwrap_or(head));
    let mut at = start;
    // The first cluster may be full to its last byte, without an end mark.
    while at < end {
        let kind = area.u32(at)?;
        match kind {
            extension::END => return Ok(()),
            extension::ENCRYPTION => return Err(Fault::Encrypted),
            extension::DATA_FILE => return Err(Fault::DataFile),
            _ => {}
        }
        // Both are at most 2^32: no overflow in 64 bits.
        let length = u64::from(area.u32(at + 4)?);
        let next = at as u64 + 8 + length.next_multiple_of(8);
        at = usize::try_from(next).ok().filter(|&next| next <= end).ok_or_else(|| {
            Fault::malformed(format!("its header extension {kind:#x} of {length} bytes does not fit into the header"))
        })?;
    }
    Ok(())
}

/// Checks that the tables are of possible size, within the file, and large enough for the disk.
fn check_tables(fields: Fields<'_>, features: Features, header: &Header, file_size: u64) -> Result<(), Fault> {
    let l1_bytes = u64::from(fields.u32(36)?) * 8;
    let within = Within { cluster: header.cluster_size, file_size };
    within.check("L1 table", fields.u64(40)?, l1_bytes, MAX_L1_BYTES)?;
    let refcount_bytes = u64::from(fields.u32(56)?) * header.cluster_size;
    within.check("refcount table", fields.u64(48)?, refcount_bytes, MAX_REFCOUNT_TABLE_BYTES)?;
    if refcount_bytes == 0 {
        return Err(Fault::malformed("it has no refcount table"));
    }

    let l2_entry = if features.has(incompatible::EXTENDED_L2) { 16 } else { 8 };
    // One L1 entry covers one L2 table of one cluster: at most 2 MiB / 8 entries of 2 MiB, so this can't overflow.
    let covered = header.cluster_size / l2_entry * header.cluster_size;
    if header.virtual_size.div_ceil(covered) > l1_bytes / 8 {
        return Err(Fault::malformed(format!("its tables do not cover its {} bytes", header.virtual_size)));
    }

    let snapshots = fields.u32(60)?;
    if snapshots > MAX_SNAPSHOTS {
        return Err(Fault::malformed(format!("{snapshots} internal snapshots are not possible")));
    }
    // One snapshot's entry is at least 40 bytes long.
    let snapshot_bytes = u64::from(snapshots) * 40;
    within.check("snapshot table", fields.u64(64)?, snapshot_bytes, u64::MAX)
}

/// Where a table may lie.
struct Within {
    cluster: u64,
    file_size: u64,
}

impl Within {
    fn check(&self, table: &str, offset: u64, bytes: u64, most: u64) -> Result<(), Fault> {
        if bytes == 0 {
            return Ok(());
        }
        if bytes > most {
            return Err(Fault::malformed(format!("its {table} of {bytes} bytes is larger than {most}")));
        }
        if offset == 0 || !offset.is_multiple_of(self.cluster) || offset > MAX_OFFSET {
            return Err(Fault::malformed(format!("its {table} at {offset} is not where a table can be")));
        }
        // Writers may leave the last cluster short: what is missing reads as zeros.
        let end = self.file_size.checked_next_multiple_of(self.cluster).unwrap_or(u64::MAX);
        if offset.checked_add(bytes).is_none_or(|last| last > end) {
            return Err(Fault::malformed(format!("its {table} at {offset} lies past its end: it is cut off")));
        }
        Ok(())
    }
}

/// Reads big-endian numbers; what lies past the end is a cut-off header.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Fault> {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk::<N>());
        bytes.copied().ok_or_else(|| Fault::malformed("its header is cut off"))
    }

    fn u8(self, at: usize) -> Result<u8, Fault> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    fn u32(self, at: usize) -> Result<u32, Fault> {
        self.array(at).map(u32::from_be_bytes)
    }

    fn u64(self, at: usize) -> Result<u64, Fault> {
        self.array(at).map(u64::from_be_bytes)
    }
}
