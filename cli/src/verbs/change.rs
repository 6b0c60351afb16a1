//! `update`.

use crate::{
    failure::Failure,
    nouns::Noun,
    resolve,
    site::{Said, Site},
    verbs::{Key, Request, show},
};
use cirro_models::{Id, Verbs};
use clap::Args;

/// `update`, with the fields that may change.
#[derive(Debug, Args)]
pub(crate) struct Update<P: Args> {
    /// Its name or its id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    patch: P,
    #[command(flatten)]
    key: Key,
}

impl<P: Args> Update<P> {
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure>
    where
        P: Request<M::Patch>,
    {
        let id = resolve::id::<M>(site, &self.which).await?;
        let patch = self.patch.read(site).await?;
        let said = update::<M>(site, id, patch, &self.key).await?;
        show(site, &said).await
    }
}

/// Changes what the patch names.
pub(crate) async fn update<M: Noun>(site: &Site, id: Id<M>, patch: M::Patch, key: &Key) -> Result<Said<M>, Failure> {
    let empty =
        serde_json::to_value(&patch).is_ok_and(|patch| patch.as_object().is_some_and(serde_json::Map::is_empty));
    if empty {
        return Err(Failure::usage("there is nothing to change: say what, with an option (see --help)"));
    }
    let (key, patch) = (key.get(), &patch);
    site.call(Some(&key), |ctx| async move { M::update(&ctx, id, patch.clone()).await }).await
}
