//! `cirro site queue`.

use crate::{escape, failure::Failure, out, site::Site, table, verbs::Key};
use cirro_models::{
    Context, Error, Listing, Page, Result as Answered, Service,
    queue::{JobFilter, JobPatch, JobState, QueuedJob},
    remote::query,
};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};

/// The services, as they are typed.
fn services() -> PossibleValuesParser {
    PossibleValuesParser::new(Service::ALL.map(Service::name))
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Queue {
    /// Only this service's
    #[arg(long, value_parser = services())]
    service: Option<String>,
    /// Only what was given up
    #[arg(long)]
    dead: bool,
    /// Only what is so far
    #[arg(long, value_name = "waiting|running|done|dead", conflicts_with = "dead")]
    state: Option<JobState>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have a job that was given up tried again
    Requeue(One),
    /// Forget a job that was given up: what it was to do is not done
    Drop(One),
}

#[derive(Debug, Args)]
struct One {
    /// Whose job it is
    #[arg(value_parser = services())]
    service: String,
    /// The job's id
    id: uuid::Uuid,
    #[command(flatten)]
    key: Key,
}

impl Queue {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self.verb {
            Some(Verb::Requeue(one)) => one.requeue(site).await,
            Some(Verb::Drop(one)) => one.drop(site).await,
            None => {
                let state = self.state.or(self.dead.then_some(JobState::Dead));
                list(site, self.service, &JobFilter { state, kind: None }).await
            }
        }
    }
}

async fn list(site: &Site, service: Option<String>, filter: &JobFilter) -> Result<(), Failure> {
    let all = || Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    let mut jobs: Vec<(String, QueuedJob)> = Vec::new();
    for service in service.map_or_else(all, |service| vec![service]) {
        let mut page = Page::first(Page::MAX);
        loop {
            let filter = serde_json::to_value(filter).map_err(Error::internal)?;
            let asked = query(&[filter, serde_json::to_value(&page).map_err(Error::internal)?]);
            let path = &format!("/{service}/v1/job{asked}");
            let read = |ctx| async move { site.http().json::<Listing<_>>(&ctx, "GET", path, None::<&Value>).await };
            let listing = site.call(None, read).await?.value;
            jobs.extend(listing.items.into_iter().map(|job| (service.clone(), job)));
            page.after = listing.next;
            if page.after.is_none() {
                break;
            }
        }
    }
    print(site, &jobs)
}

fn print(site: &Site, jobs: &[(String, QueuedJob)]) -> Result<(), Failure> {
    if site.is_json() {
        let item = |(service, job): &(String, QueuedJob)| {
            let mut item = json!(job);
            item["service"] = service.as_str().into();
            item
        };
        return out::json(&json!({ "items": jobs.iter().map(item).collect::<Vec<_>>() }));
    }
    let row = |(service, job): &(String, QueuedJob)| {
        vec![
            service.clone(),
            job.kind.clone(),
            job.state.to_string(),
            job.attempts.to_string(),
            job.due_at.to_string(),
            job.id.to_string(),
            job.request_id.clone(),
            job.error.clone().unwrap_or_default(),
        ]
    };
    let header = vec!["SERVICE", "KIND", "STATE", "ATTEMPTS", "DUE", "ID", "REQUEST", "WHY"];
    out::text(&table::plain(Some(header), jobs.iter().map(row)))
}

impl One {
    async fn requeue(self, site: &Site) -> Result<(), Failure> {
        let (path, patch) = (&self.path(), &JobPatch { state: JobState::Waiting });
        let send = |ctx: Context| async move { site.http().json::<QueuedJob>(&ctx, "PATCH", path, Some(patch)).await };
        let job = site.call(Some(&self.key.get()), send).await?.value;
        if site.is_json() {
            return out::json(&json!(job));
        }
        self.say("is requeued")
    }
    async fn drop(self, site: &Site) -> Result<(), Failure> {
        let path = &self.path();
        let send = |ctx: Context| async move {
            let answer = site.http().answer(&ctx, "DELETE", path, None, &[]).await?;
            if answer.status == 204 { Answered::Ok(()) } else { Err(answer.error()) }
        };
        site.call(Some(&self.key.get()), send).await?;
        if site.is_json() { Ok(()) } else { self.say("is dropped") }
    }
    fn path(&self) -> String {
        format!("/{}/v1/job/{}", self.service, self.id)
    }
    fn say(&self, done: &str) -> Result<(), Failure> {
        out::text(&escape::line(&format!("job {} of {} {done}", self.id, self.service)))
    }
}
