//! `list`.

use crate::{
    failure::Failure,
    names::Names,
    nouns::Noun,
    out,
    site::{Said, Site},
    table,
    verbs::Request,
};
use cirro_models::{Listing, Model, Page, Verbs};
use clap::Args;
use serde_json::{Value, json};

/// `list`, with the filters that the noun has.
#[derive(Debug, Args)]
pub(crate) struct List<F: Args> {
    #[command(flatten)]
    filter: F,
    /// At most this many (the site's own default is 100)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=Page::MAX), help_heading = "Paging")]
    limit: Option<i64>,
    /// Everything, page after page
    #[arg(long, conflicts_with = "after", help_heading = "Paging")]
    all: bool,
    /// Begin where an earlier list ended: its `next`
    #[arg(long, value_name = "NEXT", help_heading = "Paging")]
    after: Option<String>,
}

impl<F: Args> List<F> {
    pub(crate) async fn run<M: Noun>(self, site: &Site) -> Result<(), Failure>
    where
        F: Request<M::Filter>,
    {
        let filter = self.filter.read(site).await?;
        let limit = self.limit.or(self.all.then_some(Page::MAX));
        let mut page = Page { limit, after: self.after };
        let (mut rows, mut items) = (Vec::new(), Vec::new());
        loop {
            let (filter, asked) = (&filter, &page);
            let said = site.call(None, |ctx| async move { M::list(&ctx, filter, asked).await }).await?;
            let Said { value: Listing { items: more, next }, mut json } = said;
            rows.extend(more);
            if let Value::Array(more) = json["items"].take() {
                items.extend(more);
            }
            page.after = next;
            if !self.all || page.after.is_none() {
                break;
            }
        }
        let next = page.after;
        if site.is_json() {
            let mut whole = json!({ "items": items });
            if let Some(next) = next {
                whole["next"] = next.into();
            }
            return out::json(&whole);
        }
        let names = Names::of(site, &rows).await;
        out::text(&table::list(&rows, &names))?;
        if next.is_some() {
            out::note("There are more: see all with --all, or narrow the list with its filters.");
        }
        Ok(())
    }
}

/// Every page of a list.
pub(crate) async fn all<M: Model>(site: &Site, filter: &M::Filter) -> Result<Vec<M>, Failure> {
    let (mut page, mut rows) = (Page::first(Page::MAX), Vec::new());
    loop {
        let asked = &page;
        let said = site.call(None, |ctx| async move { M::list(&ctx, filter, asked).await }).await?;
        rows.extend(said.value.items);
        match said.value.next {
            Some(next) => page.after = Some(next),
            None => return Ok(rows),
        }
    }
}
