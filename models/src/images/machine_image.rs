//! Disk images that instances start from.

use crate::{Bytes, Error, Id, Meta, Model, Name, Result, choice, identity::Project};

choice! {
    /// How the bytes of an image are laid out.
    pub enum ImageFormat {
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
        /// The disk's bytes as they are.
        Raw = "raw",
    }
}

choice! {
    /// Whether an image can be used.
    pub enum ImageStatus {
        /// It waits for its bytes: `PUT …/{id}/bytes`.
        Awaiting = "awaiting",
        /// Its bytes are verified.
        Ready = "ready",
        /// It is being removed.
        Deleting = "deleting",
    }
}

/// A disk image. Creating one announces it; its bytes are sent afterwards, as a stream.
#[derive(Model)]
#[model(service = Images, path = "machineimage", scope = ProjectOrPublic(public), unique(project_id, name))]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
pub struct MachineImage {
    /// Its id.
    pub id: Id<MachineImage>,
    /// The project that it belongs to.
    #[model(filter)]
    pub project_id: Id<Project>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// The announced layout; the bytes are verified to have it.
    #[model(create, default = ImageFormat::Qcow2)]
    pub format: ImageFormat,
    /// Whether every project may use it; only an Operator says so.
    #[model(create, update, filter, default = false)]
    pub public: bool,
    /// The announced, and then the received, number of bytes.
    #[model(create)]
    pub size_bytes: Option<Bytes>,
    /// The announced, and then the verified, SHA-256 in lower-case hex.
    #[model(create)]
    pub sha256: Option<String>,
    /// The size of the disk that a guest sees.
    #[model(status)]
    pub virtual_bytes: Option<Bytes>,
    /// Whether it can be used.
    #[model(status, filter, default = ImageStatus::Awaiting)]
    pub status: ImageStatus,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

impl MachineImage {
    /// Refuses an image whose bytes are not there yet or are going away.
    pub fn require_ready(&self) -> Result<()> {
        match self.status {
            ImageStatus::Ready => Ok(()),
            _ => Err(Error::conflict(format!(
                "image {} ({}) is {}: only a ready image can be used; upload its bytes first",
                self.name, self.id, self.status
            ))),
        }
    }
}
