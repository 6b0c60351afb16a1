//! `cirro launch`: many instances by one request. Options and files become the same plan; it is looked at, held or
//! launched, and followed until all of it rests.

mod file;
mod follow;
mod look;
mod names;
mod options;
mod tally;

use crate::{
    failure::Failure,
    nouns::Noun,
    out, resolve,
    site::{Said, Site},
    verbs::{Key, create, show, update},
    wait::{Patience, Wait},
};
use cirro_models::{
    Id, Verbs,
    compute::{
        LaunchPlan,
        launch_plan::{LaunchPlanPatch, PlanIntent},
    },
};
use clap::Args;
use file::LaunchFile;
use follow::Follow;
pub(crate) use look::percent;
use options::Options;
use std::{path::PathBuf, time::Instant};

/// `cirro launch`.
#[derive(Debug, Args)]
pub(crate) struct LaunchArgs {
    #[command(flatten)]
    options: Options,
    /// A launch file, YAML or JSON; `-` is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["plan", "labels"], help_heading = "From elsewhere")]
    file: Option<PathBuf>,
    /// Launch a plan that is held or was only looked at: exactly that, or nothing and what has changed
    #[arg(long, value_name = "NAME|ID", conflicts_with = "labels", help_heading = "From elsewhere")]
    plan: Option<String>,
    /// Print the JSON schema of launch files
    #[arg(long, exclusive = true, help_heading = "From elsewhere")]
    schema: bool,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    wait: Wait,
    /// As --wait, with a line that moves; in a pipe, JSON lines
    #[arg(long, help_heading = "Waiting")]
    watch: bool,
    #[command(flatten)]
    key: Key,
}

/// Whether it is only looked at for now.
#[derive(Debug, Args)]
struct First {
    /// Show what it would do, and do nothing
    #[arg(long, conflicts_with_all = ["hold", "wait", "watch", "plan"], help_heading = "Looking first")]
    dry_run: bool,
    /// Keep the room for ten minutes, for `cirro launch --plan`
    #[arg(long, conflicts_with_all = ["wait", "watch"], help_heading = "Looking first")]
    hold: bool,
}

impl LaunchArgs {
    /// Whether it needs no site.
    pub(crate) fn is_schema(&self) -> bool {
        self.schema
    }
    /// Prints the schema.
    pub(crate) fn print_schema() -> Result<(), Failure> {
        out::json(&LaunchFile::json_schema()?)
    }
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let begun = Instant::now();
        let intent = match (self.first.dry_run, self.first.hold) {
            (true, _) => PlanIntent::Preview,
            (_, true) => PlanIntent::Hold,
            _ => PlanIntent::Launch,
        };
        let said = if let Some(plan) = &self.plan {
            let id = resolve::id::<LaunchPlan>(site, plan).await?;
            let patch = LaunchPlanPatch { intent: Some(intent), ..LaunchPlanPatch::default() };
            update::<LaunchPlan>(site, id, patch, &self.key).await?
        } else {
            let file = match &self.file {
                Some(file) => options::read(file)?,
                None => self.options.file(&self.key)?,
            };
            let new = names::request(site, file, intent).await?;
            create::<LaunchPlan>(site, new, &self.key, None).await?
        };
        if self.first.dry_run {
            return preview(site, &said).await;
        }
        if self.first.hold {
            return held(site, &said).await;
        }
        let longest = Wait { wait: self.wait.wait || self.watch, ..self.wait }.longest();
        match longest {
            None => show(site, &said).await,
            Some(longest) => Follow { site, begun, longest, watch: self.watch }.run(said).await,
        }
    }
}

/// Prints what a plan would do, and forgets it.
async fn preview(site: &Site, said: &Said<LaunchPlan>) -> Result<(), Failure> {
    let told = look::tell(site, said).await;
    forget(site, said.value.id).await?;
    told?;
    look::refusal(&said.value).map_or(Ok(()), Err)
}

/// Deletes a plan that was only looked at. Where it is gone already, the command was repeated under the same key.
async fn forget(site: &Site, id: Id<LaunchPlan>) -> Result<(), Failure> {
    let key = Key::default().get();
    match site.call(Some(&key), |ctx| async move { LaunchPlan::delete(&ctx, id).await }).await {
        Err(failure) if !failure.is_not_found() => Err(failure),
        _ => Ok(()),
    }
}

/// Prints what is held, and until when.
async fn held(site: &Site, said: &Said<LaunchPlan>) -> Result<(), Failure> {
    look::tell(site, said).await?;
    let plan = &said.value;
    if let Some(until) = plan.held_until {
        out::note(&format!(
            "plan {} ({}) is held until {until}: launch it with `cirro launch --plan {}`, or give its room back with \
             `cirro plan delete {}`",
            plan.label(),
            plan.id,
            plan.label(),
            plan.label()
        ));
    }
    look::refusal(plan).map_or(Ok(()), Err)
}
