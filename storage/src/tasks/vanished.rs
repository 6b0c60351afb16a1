//! Taking disks away from instances that are being deleted.
//!
//! Compute detaches an instance's volumes when it begins to delete it. What was attached at that very moment is found
//! here, by watching compute's feed. Only a deletion that compute tells of counts: an instance that compute merely does
//! not know may have been forgotten by a database that was put back, while its guest runs on with its disks.

use crate::controllers::begin_detach;
use cirro_models::{
    Context, Error, Id, Page, Result, Verbs,
    compute::Instance,
    feed::{ChangeKind, Position},
    storage::{Attachment, attachment::AttachmentFilter},
};
use cirro_server::OwnerContext;
use std::{collections::BTreeSet, time::Duration};

/// The wait of one look at compute's feed; shorter than the time that a context has.
const WAIT: Duration = Duration::from_secs(20);
/// After a failure, such as compute not being there yet.
const AGAIN: Duration = Duration::from_secs(1);
/// Why an attachment goes, as its reader sees it.
const REASON: &str = "its instance is being deleted";

/// Runs until dropped. Whoever is late or twice does no harm.
pub async fn run(ctx: impl Fn() -> Context + Send) {
    let mut position = None;
    loop {
        match look(&ctx, position).await {
            Ok(next) => position = Some(next),
            Err(error) => {
                tracing::info!(%error, "compute can't tell which instances are deleted just now; asking again");
                position = position.filter(|_| !matches!(error, Error::Gone { .. }));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// One look: at all instances that have volumes when there is no position to go on from, at what changed otherwise.
async fn look(ctx: &(impl Fn() -> Context + Send), position: Option<Position>) -> Result<Position> {
    let ctx = ctx();
    let Some(position) = position else {
        // the position first: what happens during the look at all is seen again
        let begin = Instance::watch(&ctx, None, Duration::ZERO).await?.position;
        look_at_all(&ctx).await?;
        return Ok(begin);
    };
    let changes = Instance::watch(&ctx, Some(position), WAIT).await?;
    let ids = |gone: bool| {
        let of_kind = changes.items.iter().filter(move |change| (change.kind == ChangeKind::Deleted) == gone);
        of_kind.map(|change| Id::<Instance>::from_uuid(change.id)).collect::<BTreeSet<_>>()
    };
    let mut going = ids(true);
    going.extend(being_deleted(&ctx, &ids(false)).await?);
    for instance in going {
        detach(&ctx, instance).await?;
    }
    Ok(changes.position)
}

async fn look_at_all(ctx: &Context) -> Result<()> {
    let mut page = Page::first(Page::MAX);
    loop {
        let attachments = Attachment::list(ctx, &AttachmentFilter::default(), &page).await?;
        let live = attachments.items.iter().filter(|attachment| attachment.meta.deleted_at.is_none());
        let instances = live.map(|attachment| attachment.instance_id).collect();
        for instance in being_deleted(ctx, &instances).await? {
            detach(ctx, instance).await?;
        }
        let Some(next) = attachments.next else { return Ok(()) };
        page.after = Some(next);
    }
}

/// Those of these instances that compute is deleting.
async fn being_deleted(ctx: &Context, ids: &BTreeSet<Id<Instance>>) -> Result<Vec<Id<Instance>>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ids.iter().copied().collect();
    let rows = Instance::get_many(ctx, &ids).await?;
    Ok(rows.into_iter().filter(|row| row.meta.deleted_at.is_some()).map(|row| row.id).collect())
}

/// Begins to take all its disks away from an instance.
async fn detach(ctx: &Context, instance: Id<Instance>) -> Result<()> {
    let of_instance = AttachmentFilter { instance_id: Some(instance), ..AttachmentFilter::default() };
    let of_instance = Attachment::list(ctx, &of_instance, &Page::first(Page::MAX)).await?.items;
    for attachment in of_instance.iter().filter(|attachment| attachment.meta.deleted_at.is_none()) {
        let id = attachment.id;
        match ctx.write(move |tx| begin_detach(tx, id, Some(REASON))).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
