//! What storage tells a node, and what the node answers.

use crate::{
    GiB, Id,
    compute::Instance,
    storage::{
        attachment::{Attachment, AttachmentStatus},
        volume::{Volume, VolumeStatus},
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Answer of `GET /storage/v1/nodeassignment/{node}?since={revision}&wait_ms={n}` (a long poll). Always complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StorageAssignment {
    /// Changes when the control plane's database was put back to an earlier state.
    pub epoch: String,
    /// Opaque; hand it back as `since`.
    pub revision: String,
    /// The volumes whose files lie on this node.
    pub volumes: Vec<VolumeSpec>,
    /// The attachments of this node's instances.
    pub attachments: Vec<AttachmentSpec>,
    /// Volumes whose files are to be removed: the only thing that removes one.
    pub volume_tombstones: Vec<Id<Volume>>,
    /// Under which request each volume or attachment was asked for that is not done yet, by its id: what the agent does
    /// for it is told under the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub requests: BTreeMap<Uuid, String>,
}

/// A volume whose file lies on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeSpec {
    /// The volume.
    pub id: Id<Volume>,
    /// Its size.
    pub size_gib: GiB,
}

/// An attachment that the node should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachmentSpec {
    /// The attachment.
    pub id: Id<Attachment>,
    /// The volume.
    pub volume_id: Id<Volume>,
    /// The instance.
    pub instance_id: Id<Instance>,
    /// True while the disk is to be taken away; the entry goes when the node has confirmed.
    pub detach: bool,
}

/// Body of `POST /storage/v1/nodereport/{node}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StorageReport {
    /// Made anew when the agent starts.
    pub boot_id: Uuid,
    /// Grows with every report of this boot; an older one is ignored.
    pub sequence: u64,
    /// Volumes whose files were made, or could not be.
    pub volumes: Vec<VolumeSeen>,
    /// Volumes whose files are gone.
    pub volumes_gone: Vec<Id<Volume>>,
    /// Attachments that were made, or could not be.
    pub attachments: Vec<AttachmentSeen>,
    /// Attachments whose guest no longer has the disk.
    pub detached: Vec<Id<Attachment>>,
    /// Every volume whose file is here, whoever knows of it; absent where an agent does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<Id<Volume>>>,
}

impl StorageReport {
    /// The most files that are told: a node with more tells none.
    pub const MOST_FILES: usize = 10_000;
}

/// A volume as its node saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeSeen {
    /// The volume.
    pub id: Id<Volume>,
    /// `available` or `failed`.
    pub status: VolumeStatus,
    /// Why it failed.
    pub reason: Option<String>,
}

/// An attachment as its node saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachmentSeen {
    /// The attachment.
    pub id: Id<Attachment>,
    /// `attached` or `failed`.
    pub status: AttachmentStatus,
    /// Why it failed.
    pub reason: Option<String>,
    /// The disk's name in the guest.
    pub device: Option<String>,
}
