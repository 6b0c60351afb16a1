//! Why the bytes of an image were refused or could not be kept.
//!
//! [`Fault`] is closed: whoever speaks to clients matches on [`Fault::category`] and, to name the place, on
//! [`Fault::field`]. The sentences are for users: they name the image and the remedy and no path of this machine. What
//! an operator needs besides is in `source()`.

use std::io;

use uuid::Uuid;

use super::{digest::Digest, format::Format};

/// A fault, and the image that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", name(*image))]
pub struct BytesError {
    /// The image whose bytes these are; nil when the store itself is meant, not one image.
    pub image: Uuid,
    /// What happened. Its sentence is part of this error's, so `source()` goes past it to the cause.
    pub fault: Fault,
    #[source]
    cause: Option<io::Error>,
}

/// Everything that can go wrong with the bytes of an image. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The qcow2 header names a backing file.
    #[error(
        "it refers to a backing file, which Cirro never opens; flatten it with `qemu-img convert -O qcow2 IN OUT` and upload the result"
    )]
    BackingFile,
    /// The qcow2 header puts the guest's data into another file.
    #[error(
        "it keeps its data in an external data file, which Cirro never opens; flatten it with `qemu-img convert -O qcow2 IN OUT` and upload the result"
    )]
    DataFile,
    /// The qcow2 header says that its content is encrypted.
    #[error("it is encrypted, so it could not boot; decrypt it with `qemu-img convert` and upload the result")]
    Encrypted,
    /// The bytes are of another format than declared.
    #[error("it was declared as {declared} but its bytes are {found}; {}", match_remedy(found))]
    FormatMismatch {
        /// What the caller said.
        declared: Format,
        /// What the first bytes say; "no qcow2" when they say nothing.
        found: &'static str,
    },
    /// More or fewer bytes came than were declared.
    #[error("{declared} bytes were declared but {received} arrived; upload the whole file and declare its exact size")]
    SizeMismatch {
        /// The size that the caller declared.
        declared: u64,
        /// What had arrived when the upload ended or went over.
        received: u64,
    },
    /// The bytes that arrived are not those that the caller has.
    #[error(
        "the sha256 of what arrived is {received}, not {expected} as declared; the file changed or was damaged on its way: upload it again"
    )]
    DigestMismatch {
        /// What the caller declared.
        expected: Digest,
        /// What arrived.
        received: Digest,
    },
    /// The image is larger than what its project may still store.
    #[error(
        "it is larger than the {limit} bytes that may still be stored; delete images that are no longer needed or ask for a higher quota"
    )]
    TooLarge {
        /// What may still be stored.
        limit: u64,
    },
    /// The disk inside the image is larger than this site allows.
    #[error(
        "it unpacks to a disk of {virtual_size} bytes and this site allows {limit}; shrink it with `qemu-img resize --shrink` and upload the result"
    )]
    VirtualTooLarge {
        /// The size of the disk that a guest would see.
        virtual_size: u64,
        /// What this site allows.
        limit: u64,
    },
    /// The upload ended before the image was complete.
    #[error("the upload broke off after {received} bytes and nothing was kept; upload it again")]
    Broken {
        /// What had arrived by then.
        received: u64,
    },
    /// The bytes contradict themselves.
    #[error(
        "it is damaged or hostile: {problem}; try `qemu-img check` on your copy, or rewrite it with `qemu-img convert -O qcow2 IN OUT` and upload the result"
    )]
    Malformed {
        /// What is wrong, in a few words.
        problem: String,
    },
    /// The image has no bytes in this store.
    #[error("its bytes are not stored here; upload them first")]
    NotStored,
    /// The image has its bytes already; they never change.
    #[error("its bytes are already stored and never change; create a new image for other bytes")]
    AlreadyStored,
    /// The asked range does not lie within the image.
    #[error("the range asked for is not within its {size} bytes; ask for a range that is")]
    BadRange {
        /// The image's size.
        size: u64,
    },
    /// The disk of the image store is full, or would be.
    #[error(
        "the image store's disk is full and nothing was kept; an operator must free space or enlarge it, then upload again"
    )]
    NoSpace,
    /// A tool that judges images is not installed or cannot be started.
    #[error(
        "it cannot be checked because {tool} does not work here; an operator must install {package}, then upload again"
    )]
    ToolMissing {
        /// The tool, or the user that it should run as.
        tool: String,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// The disk of the image store failed.
    #[error("the image store could not {what}; an operator must look at its disk and its log, then try again")]
    Storage {
        /// What was being done, as a verb.
        what: &'static str,
    },
}

/// What a caller can do about a fault; each category is one kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// The bytes or what was said about them are unacceptable: sending the same again will not help.
    Invalid,
    /// The upload did not arrive whole: sending the same again may help.
    Incomplete,
    /// More bytes than allowed.
    TooLarge,
    /// The image's state forbids it.
    Conflict,
    /// There are no such bytes.
    Missing,
    /// The site cannot do it now; an operator has to act.
    Unavailable,
}

impl Fault {
    /// What kind of answer this fault is.
    pub const fn category(&self) -> Category {
        match self {
            Self::BackingFile
            | Self::DataFile
            | Self::Encrypted
            | Self::FormatMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::DigestMismatch { .. }
            | Self::VirtualTooLarge { .. }
            | Self::BadRange { .. }
            | Self::Malformed { .. } => Category::Invalid,
            Self::Broken { .. } => Category::Incomplete,
            Self::TooLarge { .. } => Category::TooLarge,
            Self::AlreadyStored => Category::Conflict,
            Self::NotStored => Category::Missing,
            Self::NoSpace | Self::ToolMissing { .. } | Self::Storage { .. } => Category::Unavailable,
        }
    }

    /// Which part of the request is at fault: `format`, `size`, `sha256`, `range` or the `bytes` themselves.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::FormatMismatch { .. } => Some("format"),
            Self::SizeMismatch { .. } => Some("size"),
            Self::DigestMismatch { .. } => Some("sha256"),
            Self::BadRange { .. } => Some("range"),
            Self::BackingFile
            | Self::DataFile
            | Self::Encrypted
            | Self::TooLarge { .. }
            | Self::VirtualTooLarge { .. }
            | Self::Broken { .. }
            | Self::Malformed { .. } => Some("bytes"),
            _ => None,
        }
    }

    /// A contradiction within the image, in a few words.
    pub(super) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed { problem: problem.into() }
    }

    /// Names the image that has this fault.
    pub(super) fn of(self, image: Uuid) -> BytesError {
        BytesError { image, fault: self, cause: None }
    }
}

impl BytesError {
    /// A failed system call. A full disk is told apart from a broken one, because its remedy is another.
    pub(super) fn io(image: Uuid, what: &'static str, cause: io::Error) -> Self {
        let fault = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::NoSpace,
            _ => Fault::Storage { what },
        };
        Self { image, fault, cause: Some(cause) }
    }

    /// A blocking step that ended without an answer, which only a panic or the end of the process can cause.
    pub(super) fn lost(image: Uuid, error: &tokio::task::JoinError) -> Self {
        Self::io(image, "finish a step of its work", io::Error::other(error.to_string()))
    }

    /// As [`Fault::category`].
    pub const fn category(&self) -> Category {
        self.fault.category()
    }
}

/// How a sentence begins that is about this image, or about the store when there is no image.
fn name(image: Uuid) -> String {
    if image.is_nil() { "image store".to_owned() } else { format!("image {image}") }
}

/// What to do with bytes of a format that was not declared.
fn match_remedy(found: &str) -> String {
    match found {
        "qcow2" => "declare qcow2".to_owned(),
        "gzip" | "xz" | "zstd" => format!("unpack it with `{found} -d` and upload the result"),
        "luks" => "decrypt it and upload the result".to_owned(),
        "vhd" => match_remedy("vpc"), // as qemu-img calls it
        "no qcow2" => "declare the right format or upload the right file".to_owned(),
        _ => format!("convert it with `qemu-img convert -f {found} -O qcow2 IN OUT` and upload the result"),
    }
}
