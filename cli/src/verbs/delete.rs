//! `delete`.

use crate::{
    failure::Failure,
    nouns::Noun,
    out, resolve,
    site::{Said, Site},
    verbs::Key,
    wait::{self, AtOnce, Ended, Patience, Progress},
};
use cirro_models::{Deleted, Id, Verbs};
use clap::Args;
use std::time::Duration;

/// `delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete<W: Args = AtOnce> {
    /// Names or ids
    #[arg(value_name = "NAME|ID", required = true)]
    which: Vec<String>,
    #[command(flatten)]
    wait: W,
    #[command(flatten)]
    key: Key,
}

impl<W: Patience> Delete<W> {
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure> {
        // all names first: a mistyped one must not leave the others half deleted
        let mut ids = Vec::new();
        for which in &self.which {
            ids.push((which, resolve::id::<M>(site, which).await?));
        }
        for (which, id) in ids {
            delete(site, which, id, &self.key, self.wait.longest()).await?;
        }
        Ok(())
    }
}

/// Deletes one, and waits until it is gone.
pub(crate) async fn delete<M: Noun>(
    site: &Site,
    which: &str,
    id: Id<M>,
    key: &Key,
    longest: Option<Duration>,
) -> Result<(), Failure> {
    let key = key.get();
    let Said { value, json } = site.call(Some(&key), |ctx| async move { M::delete(&ctx, id).await }).await?;
    let begun = matches!(value, Deleted::Begun(_));
    if begun && let Some(longest) = longest {
        // a deletion never ends in a failed thing that stays: only in time's end
        if let Ended::Gone = wait::until(site, id, longest, |_: &M| Progress::UnderWay).await? {
            out::state(which, "deleted", None);
        }
    }
    if site.is_json() {
        return out::json(&json);
    }
    let state = if begun && longest.is_none() { "is being deleted" } else { "is deleted" };
    out::text(&crate::escape::line(&format!("{} {which} {state}", M::WORD)))
}
