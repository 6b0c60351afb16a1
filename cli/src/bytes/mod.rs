//! The bytes of images: streamed in pieces, hashed on the way, never whole in memory.

pub(crate) mod download;
mod progress;
pub(crate) mod upload;

use openssl::sha::Sha256;
use std::fmt::Write;

/// Bytes of one piece.
const PIECE: usize = 256 * 1024;

/// A digest in lower-case hex.
fn hex(digest: Sha256) -> String {
    digest.finish().iter().fold(String::with_capacity(64), |mut text, byte| {
        // writing to a String can't fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}
