//! Putting in order what crashes leave: uploads that nobody carries on, bytes of no image, and images that a release
//! without a work queue left half removed.

use super::RemoveImage;
use crate::transfer::{Lease, Transfers};
use cirro_models::{
    Context, Error, Id, Model, Reach, Result,
    images::{
        MachineImage,
        machine_image::{ImageStatus, MachineImageFilter},
    },
    sql::Table,
};
use cirro_server::{OwnerContext, Tx, db::database_error};
use std::{collections::HashSet, time::Duration};
use uuid::Uuid;

/// How often it is looked for.
const EVERY: Duration = Duration::from_mins(10);
/// How old bytes of no image are when they are removed: younger ones may belong to a transaction that is not visible yet.
const ORPHANED_FOR: Duration = Duration::from_hours(24);
/// How many rows are read at once.
const ROWS: i64 = 1000;

/// What [`tidy`] put in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Uploads that nobody carried on.
    pub uploads: usize,
    /// Images that were half removed, and that nobody was to remove.
    pub images: usize,
    /// Partial files of ended processes.
    pub partials: u64,
    /// Files that belonged to no image.
    pub orphans: usize,
}

/// Runs until dropped: puts in order at start, and then every ten minutes.
pub async fn run(ctx: impl Fn() -> Context + Send) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut starting = true;
    loop {
        ticks.tick().await;
        match tidy(&ctx, starting).await {
            Ok(done) if done == Tidied::default() => {}
            Ok(done) => tracing::info!(?done, "images were put in order"),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "images could not be put in order; it is tried again"
                );
            }
        }
        starting = false;
    }
}

/// Puts in order once, as the service. `starting` says that this process has just begun.
pub async fn tidy(ctx: &(impl Fn() -> Context + Send), starting: bool) -> Result<Tidied> {
    let own = ctx();
    let (transfers, database) = (own.stores().part::<Transfers>()?, own.database()?);
    // with a database of our own, nobody else can have an upload either
    let only = (starting && database.is_exclusive()).then_some(transfers.process);
    let uploads = own.write(move |tx| Lease::end_abandoned(tx, only)).await?;
    let (going, known) = database.read(survey).await?;
    let mut done = Tidied { uploads, ..Tidied::default() };
    if starting && !going.is_empty() {
        // those that have a job already, be it a dead one, get no other
        let enqueue = move |tx: &mut Tx<'_>| {
            going.iter().try_fold(0, |new, id| Ok(new + usize::from(RemoveImage::enqueue(tx, *id)?)))
        };
        done.images = own.write(enqueue).await?;
    }
    let swept = transfers.store.sweep(known).await.map_err(Error::internal)?;
    done.partials = swept.partials_removed;
    let old = |stored: std::time::SystemTime| stored.elapsed().is_ok_and(|age| age > ORPHANED_FOR);
    for orphan in swept.orphans.iter().filter(|orphan| old(orphan.stored)) {
        transfers.store.remove(orphan.image).await.map_err(Error::internal)?;
        done.orphans += 1;
    }
    Ok(done)
}

/// The images that are half removed, and those whose bytes must stay.
fn survey(c: &mut cirro_models::sql::AnyConnection) -> Result<(Vec<Id<MachineImage>>, HashSet<Uuid>)> {
    let mut going = Vec::new();
    let mut known: HashSet<Uuid> = Lease::images(c)?.into_iter().collect();
    let mut after = None;
    loop {
        let filter = MachineImageFilter::default();
        let page = MachineImage::page(c, &filter, &Reach::All, after, ROWS).map_err(database_error)?;
        let Some(last) = page.last() else { return Ok((going, known)) };
        after = Some(last.id());
        for image in &page {
            match image.status {
                ImageStatus::Deleting => going.push(image.id),
                ImageStatus::Awaiting => {}
                _ => drop(known.insert(image.id.uuid())),
            }
        }
    }
}
