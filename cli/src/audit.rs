//! `cirro audit`: what of a site has no owner, and which books do not agree with what they count.

use crate::{escape, failure::Failure, nouns::audit::Verb, out, site::Site};
use cirro_models::{
    Error, Service,
    finding::{Finding, Findings},
};
use clap::{Args, builder::PossibleValuesParser};
use futures_util::future::try_join_all;
use serde_json::Value;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    /// Only among what this service holds
    #[arg(long, value_parser = PossibleValuesParser::new(Service::ALL.map(Service::name)))]
    service: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

impl AuditArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self.verb {
            Some(verb) => verb.run(site).await,
            None => walk(site, self.service).await,
        }
    }
}

/// Asks each service for what it finds, all at once, and tells it by service and code.
async fn walk(site: &Site, service: Option<String>) -> Result<(), Failure> {
    let all = || Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    let services: Vec<String> = service.map_or_else(all, |service| vec![service]);
    let ask = |service: &String| {
        let path = format!("/{service}/v1/audit");
        async move {
            let read = |ctx| {
                let path = &path;
                async move { site.http().json::<Findings>(&ctx, "GET", path, None::<&Value>).await }
            };
            site.call(None, read).await.map(|said| said.value)
        }
    };
    let mut found = Findings::default();
    for told in try_join_all(services.iter().map(ask)).await? {
        found.items.extend(told.items);
        found.more.extend(told.more);
    }
    tell(site, &found)?;
    match found.items.len() {
        0 => Ok(()),
        count => {
            Err(Failure::partly(format!("{count} found; docs/audit.md says more about each code{}", more(&found))))
        }
    }
}

fn tell(site: &Site, found: &Findings) -> Result<(), Failure> {
    if site.is_json() {
        return out::json(&serde_json::to_value(found).map_err(Error::internal)?);
    }
    if found.items.is_empty() {
        return out::text("nothing found: everything has its owner, and the books agree");
    }
    out::text(&found.items.iter().map(|finding| escape::line(&line(finding)) + "\n").collect::<String>())
}

/// Which thing, what it means, what to do.
fn line(Finding { code, thing, id, other_id, detail, remedy }: &Finding) -> String {
    let other = other_id.map(|id| format!(" (of {id})")).unwrap_or_default();
    format!("{code}: {thing} {id}{other}: {detail}; {remedy}")
}

fn more(found: &Findings) -> String {
    if found.more.is_empty() {
        return String::new();
    }
    format!("; there is more of {}: mend these first, then ask again", found.more.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line() {
        let finding = Finding {
            code: "compute.claim-without-instance".to_owned(),
            thing: "claim".to_owned(),
            id: uuid::Uuid::from_u128(1),
            other_id: Some(uuid::Uuid::from_u128(2)),
            detail: "room is taken".to_owned(),
            remedy: "report it".to_owned(),
        };
        assert_eq!(
            line(&finding),
            "compute.claim-without-instance: claim 00000000-0000-0000-0000-000000000001 (of \
             00000000-0000-0000-0000-000000000002): room is taken; report it"
        );
        let more = more(&Findings { items: vec![], more: vec!["a.b".to_owned(), "c.d".to_owned()] });
        assert_eq!(more, "; there is more of a.b, c.d: mend these first, then ask again");
    }
}
