//! The bytes of machine images: received, judged, kept, handed out. This part knows nothing of HTTP or databases.
//!
//! It rests on four ideas:
//! * **Memory does not follow size.** An upload holds two buffers ([`BUFFER`]), a download one chunk
//!   ([`CHUNK`]), whatever the image's size.
//! * **Bytes are hostile until judged.** Our own parser ([`qcow2`]) refuses what could make a tool open another file, and
//!   only then a confined `qemu-img` (`confine`) is let near them, with the format forced.
//! * **All or nothing.** Until [`Upload::finish`] succeeds there is only a partial file, which goes away with its
//!   `Upload`; what a killed process leaves is removed by [`ByteStore::sweep`].
//! * **No disk work on async threads.** Writing, hashing, reading and removing happen on tokio's blocking threads, one
//!   bounded step at a time, so that a slow client holds no thread.

mod confine;
mod digest;
mod error;
mod format;
mod inspect;
mod partial;
pub mod qcow2;
mod read;
mod store;
mod upload;

pub use confine::{Limits, Tools};
pub use digest::{Digest, NotADigest};
pub use error::{BytesError, Category, Fault};
pub use format::{Format, UnknownFormat};
pub use read::{CHUNK, Object};
pub use store::{ByteStore, Options, Orphan, Seen, Swept};
pub use upload::{BUFFER, Stored, Terms, Upload};
