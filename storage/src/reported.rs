//! What a node's report changes: decided purely from the node's own rows and what it says.
//!
//! A node is believed about what it was asked to do and nothing else: it can say that a file is made, could not be made
//! or is removed, that a guest has a disk or has it no more. It can't attach, detach or delete anything by itself.

use cirro_models::{
    Id,
    storage::{
        Attachment, Volume,
        assignment::{AttachmentSeen, StorageReport, VolumeSeen},
        attachment::AttachmentStatus,
        volume::VolumeStatus,
    },
};
use std::collections::HashMap;

/// The longest sentence that is taken over from a node, in characters.
const SENTENCE: usize = 1000;

/// The rows that name the node which reports.
#[derive(Debug, Default)]
pub(crate) struct OfNode {
    pub(crate) volumes: HashMap<Id<Volume>, Volume>,
    pub(crate) attachments: HashMap<Id<Attachment>, Attachment>,
}

/// One change that follows from a report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// The row as it is from now on.
    Volume(Volume),
    /// The row as it is from now on.
    Attachment(Attachment),
    /// The disk is back: the attachment goes, and its volume is free.
    Detached(Id<Attachment>),
    /// The file is removed: the volume goes, with what it has of the quota.
    Gone(Id<Volume>),
}

/// What the report changes, in the order in which it is to be done.
pub(crate) fn plan(rows: &OfNode, report: &StorageReport) -> Vec<Step> {
    let mut steps = Vec::new();
    for seen in &report.volumes {
        let next = rows.volumes.get(&seen.id).and_then(|row| volume(row, seen));
        steps.extend(next.map(Step::Volume));
    }
    for seen in &report.attachments {
        let next = rows.attachments.get(&seen.id).and_then(|row| attachment(row, seen));
        steps.extend(next.map(Step::Attachment));
    }
    let let_go = |id: &&Id<Attachment>| rows.attachments.get(id).is_some_and(|row| row.meta.deleted_at.is_some());
    steps.extend(report.detached.iter().filter(let_go).map(|id| Step::Detached(*id)));
    let removed = |id: &&Id<Volume>| {
        let held = || rows.attachments.values().any(|attachment| attachment.volume_id == **id);
        rows.volumes.get(id).is_some_and(|row| row.meta.deleted_at.is_some()) && !held()
    };
    steps.extend(report.volumes_gone.iter().filter(removed).map(|id| Step::Gone(*id)));
    steps
}

/// The volume after what its node saw of it, if that changes it.
fn volume(row: &Volume, seen: &VolumeSeen) -> Option<Volume> {
    let (status, reason) = match (&row.status, &seen.status) {
        (VolumeStatus::Creating | VolumeStatus::Available | VolumeStatus::Failed, VolumeStatus::Available) => {
            (VolumeStatus::Available, None)
        }
        (VolumeStatus::Creating | VolumeStatus::Available | VolumeStatus::Failed, VolumeStatus::Failed) => {
            (VolumeStatus::Failed, Some(reason(seen.reason.as_ref())))
        }
        // it belongs to its instance until it is detached, whatever its file is like
        (VolumeStatus::Attached, VolumeStatus::Available) => (VolumeStatus::Attached, None),
        (VolumeStatus::Attached, VolumeStatus::Failed) => (VolumeStatus::Attached, Some(reason(seen.reason.as_ref()))),
        _ => return None,
    };
    let next = Volume { status, status_reason: reason, ..row.clone() };
    (row.meta.deleted_at.is_none() && next != *row).then_some(next)
}

/// The attachment after what its node saw of it, if that changes it.
fn attachment(row: &Attachment, seen: &AttachmentSeen) -> Option<Attachment> {
    let mut next = row.clone();
    match (row.meta.deleted_at, &seen.status) {
        (None, AttachmentStatus::Attached) => {
            (next.status, next.status_reason) = (AttachmentStatus::Attached, None);
            next.device = seen.device.as_ref().map(|device| plain(device));
        }
        (None, AttachmentStatus::Failed) => {
            (next.status, next.status_reason) = (AttachmentStatus::Failed, Some(reason(seen.reason.as_ref())));
            next.device = None;
        }
        // taking it away did not work yet: it stays on its way
        (Some(_), AttachmentStatus::Failed) => next.status_reason = Some(reason(seen.reason.as_ref())),
        _ => {}
    }
    (next != *row).then_some(next)
}

fn reason(said: Option<&String>) -> String {
    said.map_or_else(|| "its node gave no reason".to_owned(), |said| plain(said))
}

/// What a node says is shown to people: bounded, and without characters that do something.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SENTENCE).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
    use super::*;
    use cirro_models::{GiB, Meta, Timestamp};

    fn row(status: &VolumeStatus) -> Volume {
        let mut meta = Meta::created("user:test");
        meta.deleted_at = (*status == VolumeStatus::Deleting).then(Timestamp::now);
        Volume {
            id: Id::new(),
            project_id: Id::new(),
            name: "data".parse().unwrap(),
            size_gib: GiB::new(1),
            protected: false,
            pool_id: None,
            node_id: None,
            status: status.clone(),
            status_reason: None,
            meta,
        }
    }

    fn held(volume: &Volume, status: &AttachmentStatus) -> Attachment {
        let mut meta = Meta::created("user:test");
        meta.deleted_at = (*status == AttachmentStatus::Detaching).then(Timestamp::now);
        Attachment {
            id: Id::new(),
            project_id: volume.project_id,
            volume_id: volume.id,
            instance_id: Id::new(),
            node_id: None,
            status: status.clone(),
            status_reason: None,
            device: None,
            meta,
        }
    }

    fn empty() -> StorageReport {
        StorageReport {
            boot_id: uuid::Uuid::nil(),
            sequence: 1,
            volumes: vec![],
            volumes_gone: vec![],
            attachments: vec![],
            detached: vec![],
            files: None,
        }
    }

    #[test]
    fn every_pair_of_stored_and_seen_volume_status() {
        use VolumeStatus::{Attached, Available, Creating, Deleting, Failed};
        let all = [Creating, Available, Attached, Deleting, Failed];
        for (stored, seen, expected) in [
            (Creating, Available, Some(Available)),
            (Failed, Available, Some(Available)),
            (Creating, Failed, Some(Failed)),
            (Available, Failed, Some(Failed)),
            (Failed, Failed, Some(Failed)),
            (Attached, Failed, Some(Attached)),
        ] {
            let said = VolumeSeen { id: Id::new(), status: seen.clone(), reason: Some("disk\x1b[2J full".to_owned()) };
            let next = volume(&row(&stored), &said);
            assert_eq!(next.as_ref().map(|next| next.status.clone()), expected, "{stored} seen {seen}");
            let reason = (seen == Failed).then_some("disk[2J full");
            assert_eq!(next.unwrap().status_reason.as_deref(), reason);
        }
        // everything else is none of the node's business, or no news
        for stored in &all {
            for seen in [Creating, Attached, Deleting, VolumeStatus::Unknown("lost".to_owned())] {
                let said = VolumeSeen { id: Id::new(), status: seen, reason: None };
                assert_eq!(volume(&row(stored), &said), None);
            }
            let said = VolumeSeen { id: Id::new(), status: Available, reason: None };
            assert_eq!(volume(&row(stored), &said).is_some(), matches!(stored, Creating | Failed), "{stored}");
        }
        assert_eq!(volume(&row(&Deleting), &VolumeSeen { id: Id::new(), status: Failed, reason: None }), None);
    }

    #[test]
    fn a_node_ends_only_what_it_was_asked_to_end() {
        let [live, going, busy] =
            [VolumeStatus::Available, VolumeStatus::Deleting, VolumeStatus::Deleting].map(|s| row(&s));
        let [kept, leaving] = [AttachmentStatus::Attached, AttachmentStatus::Detaching].map(|s| held(&busy, &s));
        let rows = OfNode {
            volumes: [&live, &going, &busy].map(|row| (row.id, row.clone())).into(),
            attachments: [&kept, &leaving].map(|row| (row.id, row.clone())).into(),
        };
        let report = StorageReport {
            volumes_gone: vec![live.id, going.id, busy.id, Id::new()],
            detached: vec![kept.id, leaving.id, Id::new()],
            ..empty()
        };
        assert_eq!(plan(&rows, &report), [Step::Detached(leaving.id), Step::Gone(going.id)]);
        assert_eq!(plan(&rows, &empty()), []);
    }

    #[test]
    fn an_attachment_follows_its_node_until_it_is_to_go() {
        use AttachmentStatus::{Attached, Attaching, Detaching, Failed};
        let seen = |status| AttachmentSeen { id: Id::new(), status, reason: None, device: Some("vdb".to_owned()) };
        let volume = row(&VolumeStatus::Attached);
        let attached = attachment(&held(&volume, &Attaching), &seen(Attached)).unwrap();
        assert_eq!((attached.status.clone(), attached.device.as_deref()), (Attached, Some("vdb")));
        assert_eq!(attachment(&attached, &seen(Attached)), None, "no news");
        let failed = attachment(&attached, &seen(Failed)).unwrap();
        assert_eq!((failed.status, failed.status_reason.is_some(), failed.device), (Failed, true, None));
        assert_eq!(attachment(&held(&volume, &Detaching), &seen(Attached)), None);
        let stuck = attachment(&held(&volume, &Detaching), &seen(Failed)).unwrap();
        assert_eq!((stuck.status, stuck.status_reason.is_some()), (Detaching, true));
        assert_eq!(attachment(&held(&volume, &Attaching), &seen(Detaching)), None);
    }
}
