//! Decides whether bytes are what their uploader says, and how large the disk in them is.
//!
//! Two looks: `glance` at the first bytes while the rest still arrives, so that a hostile image is refused before it is
//! stored, and `Inspector::inspect` at the whole file. Both end with our own parser's word before `qemu-img`, which is
//! confined and told the format, gets to see anything.

use std::{
    fs::File,
    io,
    os::unix::{fs::FileExt, process::ExitStatusExt},
};

use serde::Deserialize;

use super::{
    confine::{Confined, Ended},
    error::Fault,
    format::{Format, sniff},
    qcow2,
};

/// The sector in which QEMU counts a raw disk, in bytes: a shorter last one is filled up.
const SECTOR: u64 = 512;

/// Judges the first bytes of an image that is still arriving (`file_size` unknown: `u64::MAX`) or complete, and returns
/// the size in bytes of the disk that a guest would see.
///
/// # Errors
/// [`Fault::FormatMismatch`], [`Fault::VirtualTooLarge`], and those of [`qcow2::parse`].
pub(super) fn glance(head: &[u8], declared: Format, file_size: u64, max_virtual_size: u64) -> Result<u64, Fault> {
    let found = sniff(head);
    match (declared, found) {
        (Format::Qcow2, Some("qcow2")) => Ok(qcow2::parse(head, file_size, max_virtual_size)?.virtual_size),
        (Format::Qcow2, _) => Err(Fault::FormatMismatch { declared, found: found.unwrap_or("no qcow2") }),
        (Format::Raw, Some(found)) => Err(Fault::FormatMismatch { declared, found }),
        (Format::Raw, None) if file_size == u64::MAX => Ok(0),
        (Format::Raw, None) => raw_size(file_size, max_virtual_size),
    }
}

fn raw_size(file_size: u64, limit: u64) -> Result<u64, Fault> {
    if file_size == 0 {
        return Err(Fault::malformed("it is empty"));
    }
    match file_size.checked_next_multiple_of(SECTOR) {
        Some(virtual_size) if virtual_size <= limit => Ok(virtual_size),
        _ => Err(Fault::VirtualTooLarge { virtual_size: file_size, limit }),
    }
}

/// Reads the first bytes of a file as `glance` wants them. Blocking.
pub(super) fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; qcow2::HEAD];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Has `qemu-img` judge qcow2 images that our own parser found harmless.
#[derive(Debug)]
pub(super) struct Inspector {
    confined: Confined,
}

/// What `qemu-img info --output=json` says (`ImageInfo` in QEMU's `qapi/block-core.json`), as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageInfo {
    format: String,
    virtual_size: u64,
    backing_filename: Option<serde::de::IgnoredAny>,
    full_backing_filename: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    encrypted: bool,
    format_specific: Option<FormatSpecific>,
}

#[derive(Deserialize)]
struct FormatSpecific {
    data: Qcow2Specific,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Qcow2Specific {
    data_file: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    corrupt: bool,
    encrypt: Option<serde::de::IgnoredAny>,
}

impl Inspector {
    pub(super) fn new(confined: Confined) -> Self {
        Self { confined }
    }

    /// Checks a whole qcow2 image that `glance` found to hold a disk of `virtual_size` bytes. `file` is a reading handle
    /// that the unprivileged user may open again; `second` another one to the same image.
    ///
    /// # Errors
    /// When the tool disagrees, finds damage, or needs more than its limits.
    pub(super) async fn inspect(&self, [file, second]: [File; 2], virtual_size: u64) -> Result<(), Fault> {
        // -U: nobody else writes this file, and locking it would take rights that the tool does not have.
        let info = ["info", "-U", "-f", "qcow2", "--output=json", "/dev/stdin"];
        let stdout = self.run(&info, file, &[0]).await?;
        let info: ImageInfo =
            serde_json::from_slice(&stdout).map_err(|_| Fault::malformed("qemu-img says nothing sensible about it"))?;
        info.agree(virtual_size)?;
        // qemu-img(1), `check`: 3 means leaked clusters, which waste space and harm nobody.
        let check = ["check", "-U", "-f", "qcow2", "--output=json", "/dev/stdin"];
        self.run(&check, second, &[0, 3]).await?;
        Ok(())
    }

    /// Runs the tool and returns what it printed, when it ended with one of the codes in `good`.
    async fn run(&self, arguments: &[&str], file: File, good: &[i32]) -> Result<Vec<u8>, Fault> {
        let verb = arguments.first().copied().unwrap_or_default();
        match self.confined.qemu_img(arguments, file).await? {
            Ended::TooSlow => Err(Fault::malformed("checking it takes too long")),
            Ended::Exit { status, stdout, .. } if status.code().is_some_and(|code| good.contains(&code)) => Ok(stdout),
            Ended::Exit { status, stderr, .. } => {
                let said = printable(&stderr);
                tracing::debug!(verb, %status, said, "qemu-img refused an image");
                Err(match status.signal() {
                    Some(_) => Fault::malformed("checking it takes more time or memory than is allowed"),
                    None => Fault::malformed(format!("qemu-img {verb} finds it damaged ({said})")),
                })
            }
        }
    }
}

impl ImageInfo {
    /// The tool must see what our own parser saw: where two readers differ, someone is being fooled.
    fn agree(&self, virtual_size: u64) -> Result<(), Fault> {
        let data = self.format_specific.as_ref().map(|specific| &specific.data);
        if self.backing_filename.is_some() || self.full_backing_filename.is_some() {
            return Err(Fault::BackingFile);
        }
        if data.is_some_and(|data| data.data_file.is_some()) {
            return Err(Fault::DataFile);
        }
        if self.encrypted || data.is_some_and(|data| data.encrypt.is_some()) {
            return Err(Fault::Encrypted);
        }
        if data.is_some_and(|data| data.corrupt) {
            return Err(Fault::malformed("it is marked as corrupt"));
        }
        if self.format != "qcow2" || self.virtual_size != virtual_size {
            return Err(Fault::malformed("its header can be read in two ways"));
        }
        Ok(())
    }
}

/// The first line of what a tool said, fit to be shown: it may quote the attacker's bytes.
fn printable(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().next().unwrap_or_default();
    let line = line.strip_prefix("qemu-img: ").unwrap_or(line);
    line.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(160).collect()
}
