//! Disk files, made by qemu-img: the format is always said, never guessed, because a guest that may write its own header
//! could otherwise name any file of the host as its backing file.

use crate::failure::{Failure, OrSay, Result, off_thread};
use cirro_models::{GiB, images::machine_image::ImageFormat};
use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};
use tokio::process::Command;

/// Making an empty qcow2 file takes 26 ms; a minute means that the disk is in trouble.
const LIMIT: Duration = Duration::from_mins(1);

/// Makes a root disk over an image, at least as large as the image's own disk. One that is there stays.
pub async fn make_overlay(path: &Path, image: &Path, format: &ImageFormat, size: GiB) -> Result<()> {
    if is_there(path).await {
        return Ok(());
    }
    let fresh = fresh_overlay(path, image, format, size).await?;
    tokio::fs::rename(&fresh, path).await.or_say(|| unnamed(path))
}

/// Makes a root disk beside the one with this path, complete, and says where: to be renamed to take its place.
pub async fn fresh_overlay(path: &Path, image: &Path, format: &ImageFormat, size: GiB) -> Result<PathBuf> {
    let needed = virtual_size(image, format)?;
    if size.get() > 0 && size.bytes() < needed {
        return Err(Failure::new(format!(
            "the flavor's disk of {size} is smaller than the image's, which has {} MiB: choose a larger flavor",
            needed.div_ceil(1 << 20)
        )));
    }
    let size = size.bytes().max(needed).to_string();
    let args: [&OsStr; 9] = [
        "create".as_ref(),
        "-q".as_ref(),
        "-f".as_ref(),
        "qcow2".as_ref(),
        "-F".as_ref(),
        word(format)?.as_ref(),
        "-b".as_ref(),
        image.as_os_str(),
        "--".as_ref(),
    ];
    fresh(path, &args, &size).await
}

/// Makes a root disk larger, if it is smaller than this. The guest is off; what it sees of the room is its own affair.
pub async fn grow(path: &Path, size: GiB) -> Result<()> {
    let (from, wanted) = (path.to_owned(), size.bytes());
    let now = off_thread(move || own_size(&from)).await?;
    if wanted <= now {
        return Ok(());
    }
    let args: [&OsStr; 5] = ["resize".as_ref(), "-q".as_ref(), "-f".as_ref(), "qcow2".as_ref(), "--".as_ref()];
    let trouble = || format!("qemu-img could not make {} larger: check the disk room", path.display());
    let run = Command::new("qemu-img").args(args).arg(path).arg(wanted.to_string()).kill_on_drop(true).output();
    finished(&tokio::time::timeout(LIMIT, run).await.or_say(trouble)?.or_say(trouble)?, trouble)
}

/// The size of a disk that was made here: its header is written by qemu-img only.
fn own_size(path: &Path) -> Result<u64> {
    let trouble = || format!("can't read the disk {}", path.display());
    let mut header = [0_u8; 32];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut header)).or_say(trouble)?;
    Ok(number(&header, 24))
}

/// A number of a qcow2 header.
fn number(header: &[u8], at: usize) -> u64 {
    header[at..at + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
}

fn finished(output: &Output, trouble: impl Fn() -> String) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()).or_say(trouble)
}

/// Makes an empty volume.
pub async fn make_volume(path: &Path, size: GiB) -> Result<()> {
    if is_there(path).await {
        return Ok(());
    }
    let args: [&OsStr; 5] = ["create".as_ref(), "-q".as_ref(), "-f".as_ref(), "qcow2".as_ref(), "--".as_ref()];
    let fresh = fresh(path, &args, &size.bytes().to_string()).await?;
    tokio::fs::rename(&fresh, path).await.or_say(|| unnamed(path))
}

/// A file gets its name when it is complete: one that is there is whole.
async fn is_there(path: &Path) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(false)
}

fn unnamed(path: &Path) -> String {
    format!("can't give {} its name: check the owner and mode of its directory", path.display())
}

/// Makes a file that has not got its name yet, and says where it is.
async fn fresh(path: &Path, args: &[&OsStr], size: &str) -> Result<PathBuf> {
    let partial = path.with_extension("partial");
    let trouble =
        || format!("qemu-img could not make {}: check the disk room and that qemu-utils is installed", path.display());
    let run = Command::new("qemu-img").args(args).arg(&partial).arg(size).kill_on_drop(true).output();
    finished(&tokio::time::timeout(LIMIT, run).await.or_say(trouble)?.or_say(trouble)?, trouble)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o600)).or_say(trouble)?;
    Ok(partial)
}

fn word(format: &ImageFormat) -> Result<&'static str> {
    match format {
        ImageFormat::Qcow2 => Ok("qcow2"),
        ImageFormat::Raw => Ok("raw"),
        ImageFormat::Unknown(word) => {
            Err(Failure::new(format!("this agent does not know the image format {word}: upgrade it")))
        }
    }
}

/// The size of the disk in an image. Reads the qcow2 header itself and refuses what could reach other files, although
/// the image service has refused it before: whoever controls that service does not control this host.
fn virtual_size(image: &Path, format: &ImageFormat) -> Result<u64> {
    let trouble = || format!("can't read the cached image {}", image.display());
    if *format == ImageFormat::Raw {
        return Ok(fs::metadata(image).or_say(trouble)?.len());
    }
    let mut header = [0_u8; 104];
    let read = fs::File::open(image).and_then(|mut file| file.read(&mut header)).or_say(trouble)?;
    let number = |at: usize| number(&header, at);
    let version = number(0) & 0xffff_ffff;
    if read < 72 || &header[..4] != b"QFI\xfb" || !(2..=3).contains(&version) {
        return Err(Failure::new("the image is not qcow2, although it was announced as such: upload it again"));
    }
    let (backing, encryption, features) = (number(8), number(32) >> 32, if version == 3 { number(72) } else { 0 });
    // Bit 2: an external data file (docs/interop/qcow2.txt of QEMU).
    if backing != 0 || encryption != 0 || features & 4 != 0 {
        return Err(Failure::new("the image names other files or is encrypted: upload a plain qcow2 image"));
    }
    Ok(number(24))
}
