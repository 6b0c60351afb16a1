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
    /// Of these.
    pub(crate) fn of(which: Vec<String>, wait: W, key: Key) -> Self {
        Self { which, wait, key }
    }
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure> {
        // all names first: a mistyped one must not leave the others half deleted
        let mut ids = Vec::new();
        for which in &self.which {
            ids.push((which, resolve::id::<M>(site, which).await?));
        }
        for (which, id) in ids {
            let what = Ending { what: format!("{} {which}", M::WORD), done: "deleted" };
            delete(site, &what, id, &self.key, self.wait.longest()).await?;
        }
        Ok(())
    }
}

/// What ends, in words.
pub(crate) struct Ending {
    /// The thing, such as `volume data`.
    pub(crate) what: String,
    /// What it is afterwards, such as `deleted`.
    pub(crate) done: &'static str,
}

/// Deletes one, and waits until it is gone.
pub(crate) async fn delete<M: Noun>(
    site: &Site,
    Ending { what, done }: &Ending,
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
            out::state(what, done, None);
        }
    }
    if site.is_json() {
        return out::json(&json);
    }
    let being = if begun && longest.is_none() { "being " } else { "" };
    out::text(&crate::escape::line(&format!("{what} is {being}{done}")))
}
