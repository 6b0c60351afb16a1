//! Keeps a verifier's keys and revocations up to date with identity, by the same calls in identity's own process and
//! over HTTP: first everything, then what the change feed tells.

use crate::token::{Jwk, Jwks, Verifier};
use cirro_models::{
    Context, Error, Id, Page, Result, Verbs,
    feed::{ChangeKind, Position},
    identity::{Revocation, TokenKey, revocation::RevocationFilter, token_key::TokenKeyFilter},
};
use std::{sync::Arc, time::Duration};

/// How long one look at the feed waits for something new. Far less than a minute, after which data are too old.
const WAIT: Duration = Duration::from_secs(10);
/// How long after a failure the next look is.
const PAUSE: Duration = Duration::from_millis(250);
/// How often the age of the data is looked at, so that it is told even while nobody asks for a change.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until dropped. `ctx` makes the context of a service's own work, or of another who may read revocations and keys.
pub async fn follow(verifier: Arc<Verifier>, ctx: impl Fn() -> Context) {
    verifier.is_followed();
    tokio::join!(revocations(&verifier, &ctx), keys(&verifier, &ctx), age(&verifier));
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

/// Reads the present keys when one comes or goes, when a token names one that is unknown, and every [`WAIT`].
async fn keys(verifier: &Verifier, ctx: &impl Fn() -> Context) {
    let mut position = None;
    loop {
        let ctx = ctx();
        let wait = if position.is_none() { Duration::ZERO } else { WAIT };
        let (found, wanted) = tokio::select! {
            changes = TokenKey::watch(&ctx, position, wait) => (changes.map(|changes| Some(changes.position)), false),
            () = verifier.keys.wanted() => (Ok(position), true),
        };
        // the keys are few and read whole, so nothing is lost with a place in the feed
        position = found.as_ref().ok().copied().flatten();
        let read = match found {
            Ok(_) => present_keys(verifier, &ctx).await,
            Err(error) => Err(error),
        };
        if wanted {
            verifier.keys.looked(verifier.clock().steady());
        }
        if let Err(error) = read {
            tracing::debug!(error = &error as &dyn std::error::Error, "the keys of tokens can't be read");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn present_keys(verifier: &Verifier, ctx: &Context) -> Result<()> {
    let keys = TokenKey::list(ctx, &TokenKeyFilter::default(), &Page::first(Page::MAX)).await?;
    verifier.trust(&Jwks { keys: keys.items.iter().map(Jwk::from).collect() })
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
