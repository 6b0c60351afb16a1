//! `cirro audit list`: what was done, by whom.

use crate::{failure::Failure, out, quantity, resolve, site::Site, table};
use cirro_models::{
    Error, Listing, Page, Timestamp,
    audit::{AuditFilter, AuditRecord},
    identity::{Project, User},
    remote::query,
};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List what was done to what a service owns, oldest first, refusals included; for operators
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Whose things
    #[arg(long, value_parser = PossibleValuesParser::new(["identity", "compute", "storage", "images"]))]
    service: String,
    /// From then on: a time ago, such as 30m or 7d, or a moment, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only what was done before then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only what this user did, other than with their keys
    #[arg(long, value_name = "NAME|ID", conflicts_with = "principal")]
    user: Option<String>,
    /// Only what was done by this one, as the list tells it, such as key:ID:USER or node:ID
    #[arg(long)]
    principal: Option<String>,
    /// Only what was done in this project
    #[arg(long = "in", value_name = "PROJECT")]
    within: Option<String>,
    /// Only what was done to things of this kind, such as instance
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only what was done to the thing with this id
    #[arg(long, value_name = "ID")]
    id: Option<uuid::Uuid>,
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

/// A time ago, or a moment.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = quantity::duration(text) {
        let seconds = i64::try_from(ago.as_secs()).map_err(|error| error.to_string())?;
        return Ok(Timestamp::now().plus_seconds(-seconds));
    }
    serde_json::from_value(text.into())
        .map_err(|_| format!("\"{text}\" is no time: give one ago, such as 30m or 7d, or 2026-01-31T12:00:00Z"))
}

impl List {
    async fn run(self, site: &Site) -> Result<(), Failure> {
        let user = resolve::maybe::<User>(site, self.user.as_ref()).await?;
        let filter = AuditFilter {
            since: self.since,
            until: self.until,
            principal: user.map(|id| format!("user:{id}")).or(self.principal),
            project_id: resolve::maybe::<Project>(site, self.within.as_ref()).await?,
            model: self.model,
            subject_id: self.id,
        };
        let filter = serde_json::to_value(&filter).map_err(Error::internal)?;
        let mut page = Page { limit: self.limit.or(self.all.then_some(Page::MAX)), after: self.after };
        let mut records: Vec<AuditRecord> = Vec::new();
        loop {
            let asked = query(&[filter.clone(), serde_json::to_value(&page).map_err(Error::internal)?]);
            let path = &format!("/{}/v1/auditrecord{asked}", self.service);
            let read = |ctx| async move { site.http().json::<Listing<_>>(&ctx, "GET", path, None::<&Value>).await };
            let listing = site.call(None, read).await?.value;
            records.extend(listing.items);
            page.after = listing.next;
            if !self.all || page.after.is_none() {
                break;
            }
        }
        print(site, &records, page.after)
    }
}

fn print(site: &Site, records: &[AuditRecord], next: Option<String>) -> Result<(), Failure> {
    if site.is_json() {
        let mut whole = json!({ "items": records });
        if let Some(next) = next {
            whole["next"] = next.into();
        }
        return out::json(&whole);
    }
    let row = |record: &AuditRecord| {
        let done = if record.status == 403 { "refused" } else { "done" };
        let subject = record.subject_id.map(|id| id.to_string()).unwrap_or_default();
        vec![
            record.at.to_string(),
            record.principal.clone(),
            record.operation.clone(),
            record.model.clone(),
            subject,
            done.to_owned(),
            record.request_id.clone(),
        ]
    };
    let header = vec!["AT", "WHO", "DID", "WHAT", "ID", "OUTCOME", "REQUEST"];
    out::text(&table::plain(Some(header), records.iter().map(row)))?;
    if next.is_some() {
        out::note("There are more: see all with --all, or narrow the list with its filters.");
    }
    Ok(())
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(site).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_ago_or_itself() {
        let hour = moment("1h").map(Timestamp::micros).unwrap_or_default();
        let ago = Timestamp::now().micros() - hour;
        assert!((3_600_000_000..3_700_000_000).contains(&ago), "{ago}");
        let exact = moment("2026-01-31T12:00:00Z").map(|moment| moment.to_string());
        assert_eq!(exact.as_deref(), Ok("2026-01-31T12:00:00.000000Z"));
        assert!(moment("yesterday").is_err_and(|error| error.contains("7d")));
    }
}
