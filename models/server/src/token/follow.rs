//! Keeps a verifier up to date with identity, by the same calls in identity's own process and over HTTP: first
//! everything, then what the change feed tells.

use crate::token::Verifier;
use cirro_models::{
    Context, Error, Id, Page, Result, Verbs,
    feed::{ChangeKind, Position},
    identity::{Revocation, revocation::RevocationFilter},
};
use std::{sync::Arc, time::Duration};

/// How long one look at the feed waits for something new. Far less than a minute, after which data are too old.
const WAIT: Duration = Duration::from_secs(10);
/// How long after a failure the next look is.
const PAUSE: Duration = Duration::from_millis(250);
/// How often the age of the data is looked at, so that it is told even while nobody asks for a change.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until dropped. `ctx` makes the context of a service's own work, or of another who may read revocations.
pub async fn follow(verifier: Arc<Verifier>, ctx: impl Fn() -> Context) {
    verifier.is_followed();
    tokio::join!(revocations(&verifier, &ctx), age(&verifier));
}

async fn age(verifier: &Verifier) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // the refusal is for callers; the alert in it is for the log
        let _ = verifier.require_fresh();
        verifier.sweep();
    }
}

async fn revocations(verifier: &Verifier, ctx: &impl Fn() -> Context) {
    let mut position = None;
    loop {
        match more(verifier, &ctx(), position).await {
            Ok(next) => position = Some(next),
            Err(error) => {
                // the place in the feed is lost; everything is read again
                if matches!(error, Error::Gone { .. }) {
                    position = None;
                }
                tracing::debug!(error = &error as &dyn std::error::Error, "revocations can't be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Takes over what is new after a position, or everything, and tells where to go on.
async fn more(verifier: &Verifier, ctx: &Context, position: Option<Position>) -> Result<Position> {
    // what is told is at least as new as the question, however long the answer is on its way
    let asked = verifier.clock().steady();
    let Some(position) = position else {
        let start = Revocation::watch(ctx, None, Duration::ZERO).await?.position;
        all(verifier, ctx).await?;
        verifier.complete_as_of(asked);
        return Ok(start);
    };
    let changes = Revocation::watch(ctx, Some(position), WAIT).await?;
    let new = changes.items.iter().filter(|change| change.kind == ChangeKind::Created);
    let new: Vec<Id<Revocation>> = new.map(|change| Id::from_uuid(change.id)).collect();
    if !new.is_empty() {
        Revocation::get_many(ctx, &new).await?.iter().for_each(|row| learn(verifier, row));
    }
    verifier.complete_as_of(asked);
    Ok(changes.position)
}

async fn all(verifier: &Verifier, ctx: &Context) -> Result<()> {
    let mut page = Page::first(Page::MAX);
    loop {
        let listing = Revocation::list(ctx, &RevocationFilter::default(), &page).await?;
        listing.items.iter().for_each(|row| learn(verifier, row));
        match listing.next {
            Some(next) => page = Page { after: Some(next), ..page },
            None => return Ok(()),
        }
    }
}

fn learn(verifier: &Verifier, row: &Revocation) {
    verifier.revoke(&row.subject, row.meta.created_at);
}
