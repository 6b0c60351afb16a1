//! Images on a node, named by their digest: each crosses to the node once, however many guests start from it at the
//! same time, and none is used whose bytes are not the announced ones.

use crate::{
    control_plane::ControlPlane,
    failure::{Failure, OrSay, Result, off_thread},
    room::Room,
    stopwatch,
};
use cirro_models::compute::assignment::ImageSpec;
use openssl::sha::Sha256;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

/// How much is read at a time while a digest is computed.
const CHUNK: usize = 1 << 20;

/// See the module.
pub struct ImageCache {
    directory: PathBuf,
    control_plane: Arc<dyn ControlPlane>,
    room: Room,
    flights: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl ImageCache {
    /// A cache in this directory, which exists. What an agent that was killed has left half fetched is removed.
    pub fn open(directory: PathBuf, control_plane: Arc<dyn ControlPlane>, room: Room) -> Result<Self> {
        let entries = fs::read_dir(&directory)
            .or_say(|| format!("can't read the image cache {}: check its owner and mode", directory.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "partial") {
                fs::remove_file(&path).or_say(|| format!("can't remove the unfinished image {}", path.display()))?;
            }
        }
        Ok(Self { directory, control_plane, room, flights: Mutex::new(HashMap::new()) })
    }

    /// Where the image's verified bytes are; fetches them if they are not here yet.
    pub async fn path(&self, image: &ImageSpec) -> Result<PathBuf> {
        let path = self.directory.join(file_name(image)?);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(path);
        }
        let flight = self.flight(&image.sha256);
        // whoever fetches it is watched; those who only want the same are not
        let _alone = stopwatch::stopped(flight.lock()).await;
        if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            self.fetch(image, &path).await?;
        }
        Ok(path)
    }

    fn flight(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock();
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(digest).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(tokio::sync::Mutex::new(()));
        flights.insert(digest.to_owned(), Arc::downgrade(&flight));
        flight
    }

    async fn fetch(&self, image: &ImageSpec, path: &Path) -> Result<()> {
        let size = image.size_bytes.get().unsigned_abs();
        self.room.require(size, &format!("image {}", image.id))?;
        let partial = path.with_extension("partial");
        let mut file = tokio::fs::File::create(&partial).await.or_say(|| {
            format!("can't write to the image cache {}: check its owner and mode", self.directory.display())
        })?;
        let fetched = self.control_plane.fetch_image(image, &mut file).await;
        let kept = match fetched {
            Ok(()) => {
                let (image, from, to) = (image.clone(), partial.clone(), path.to_owned());
                drop(file);
                off_thread(move || keep(&image, &from, &to)).await
            }
            Err(error) => Err(Failure::because(
                format!("image {} could not be fetched from the control plane; it is tried again", image.id),
                error,
            )),
        };
        if kept.is_err() {
            // The failure itself is what matters; what is left is removed at the next start at the latest.
            let _ = tokio::fs::remove_file(&partial).await;
        }
        kept
    }
}

/// The digest is a file name here, so it must look like one.
fn file_name(image: &ImageSpec) -> Result<String> {
    let hex = image.sha256.len() == 64 && image.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex {
        Ok(format!("{}.{}", image.sha256, image.format))
    } else {
        Err(Failure::new(format!("image {} has no usable SHA-256: upload it again", image.id)))
    }
}

/// Checks the bytes, makes them durable and read-only, and only then gives them their name.
fn keep(image: &ImageSpec, partial: &Path, path: &Path) -> Result<()> {
    let trouble = || format!("can't store image {} in {}", image.id, path.display());
    let mut file = fs::File::open(partial).or_say(trouble)?;
    let (mut sha, mut size, mut chunk) = (Sha256::new(), 0_u64, vec![0; CHUNK]);
    loop {
        let count = file.read(&mut chunk).or_say(trouble)?;
        if count == 0 {
            break;
        }
        sha.update(&chunk[..count]);
        size += count as u64;
    }
    let digest = hex(&sha.finish());
    if digest != image.sha256 || size != image.size_bytes.get().unsigned_abs() {
        return Err(Failure::new(format!(
            "image {} arrived with {size} bytes and SHA-256 {digest}, not as announced: it is fetched again; if this goes \
             on, upload the image again",
            image.id
        )));
    }
    file.set_permissions(fs::Permissions::from_mode(0o444)).or_say(trouble)?;
    file.sync_all().or_say(trouble)?;
    fs::rename(partial, path).or_say(trouble)?;
    let directory = path.parent().unwrap_or(path);
    fs::File::open(directory).and_then(|directory| directory.sync_all()).or_say(trouble)
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
