//! `create`.

use crate::{
    failure::Failure,
    nouns::Noun,
    out,
    site::{Said, Site},
    verbs::{Key, Request, show},
    wait::{self, AtOnce, Ended, Patience},
};
use cirro_models::{Created, Verbs};
use clap::Args;
use std::time::Duration;

/// `create`, with the fields that the noun has.
#[derive(Debug, Args)]
pub(crate) struct Create<N: Args, W: Args = AtOnce> {
    #[command(flatten)]
    new: N,
    #[command(flatten)]
    wait: W,
    #[command(flatten)]
    key: Key,
}

impl<N: Args, W: Patience> Create<N, W> {
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure>
    where
        N: Request<M::New>,
    {
        let new = self.new.read(site).await?;
        let said = create::<M>(site, new, &self.key, self.wait.longest()).await?;
        show(site, &said).await?;
        if !M::ONCE.is_empty() {
            out::note(&format!(
                "This is the only time that the {} is shown: keep it where others can't read it.",
                M::ONCE.join(", ")
            ));
        }
        Ok(())
    }
}

/// Creates one, and waits until it is what it should become.
pub(crate) async fn create<M: Noun>(
    site: &Site,
    new: M::New,
    key: &Key,
    longest: Option<Duration>,
) -> Result<Said<M>, Failure> {
    let (key, new) = (key.get(), &new);
    let said = site.call(Some(&key), |ctx| async move { M::create(&ctx, new.clone()).await }).await?;
    let Said { value: Created { model, .. }, json } = said;
    let Some(longest) = longest else { return Ok(Said { value: model, json }) };
    let id = model.id();
    match wait::until(site, id, longest, Noun::created).await? {
        Ended::Reached(said) => Ok(said),
        Ended::Gone => Err(Failure::failed(format!("{} {} was deleted meanwhile", M::WORD, model.label()))),
    }
}
