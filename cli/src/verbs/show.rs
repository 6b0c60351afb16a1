//! `show`, and how one thing is shown wherever a command ends with one.

use crate::{
    failure::Failure,
    names::Names,
    nouns::Noun,
    out, resolve,
    site::{Said, Site},
    table,
};
use cirro_models::Verbs;
use clap::Args;

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its name or its id
    #[arg(value_name = "NAME|ID")]
    which: String,
}

impl Show {
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<M>(site, &self.which).await?;
        let said = site.call(None, |ctx| async move { M::get(&ctx, id).await }).await?;
        show(site, &said).await
    }
}

/// Prints one thing.
pub(crate) async fn show<M: Noun>(site: &Site, said: &Said<M>) -> Result<(), Failure> {
    if site.is_json() {
        return out::json(&said.json);
    }
    let names = Names::of(site, std::slice::from_ref(&said.value)).await;
    let object = said.json.as_object().cloned().unwrap_or_default();
    out::text(&table::fields(M::FIELDS, &object, &names))
}
