//! `cirro plan`: what `cirro launch` has made.

use crate::{
    failure::Failure,
    nouns::Noun,
    site::Site,
    table::Column,
    verbs::{Delete, Labelled, List, Request, Show},
};
use cirro_models::{
    Name,
    compute::{
        LaunchPlan,
        launch_plan::{LaunchPlanFilter, PlanStatus},
    },
};
use clap::{Args, Subcommand};

impl Noun for LaunchPlan {
    const WORD: &'static str = "plan";
    const NAME: Option<fn(&Self) -> &Name> = Some(|plan| &plan.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |plan, _| plan.name.to_string()),
        Column("STATUS", |plan, _| plan.status.to_string()),
        Column("ASKED", |plan, _| plan.count().to_string()),
        Column("RUNNING", |plan, _| counted(plan, "running")),
        Column("FAILED", |plan, _| counted(plan, "failed")),
        Column("HELD UNTIL", |plan, _| plan.held_until.map(|at| at.to_string()).unwrap_or_default()),
        Column("ID", |plan, _| plan.id.to_string()),
    ];
    fn named(name: Name) -> Option<LaunchPlanFilter> {
        Some(LaunchPlanFilter { name: Some(name), ..LaunchPlanFilter::default() })
    }
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.status_reason.clone()))
    }
}

fn counted(plan: &LaunchPlan, state: &str) -> String {
    plan.progress.as_ref().map(|progress| progress.count(state).to_string()).unwrap_or_default()
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List launch plans: requests for many instances
    List(List<Narrow>),
    /// Show a plan: what it does where, and how far it is
    Show(Show),
    /// Delete plans that have no instances; those that have some are undone first
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those with this status, such as launching or held
    #[arg(long)]
    status: Option<PlanStatus>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<LaunchPlanFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<LaunchPlanFilter, Failure> {
        Ok(LaunchPlanFilter {
            name: self.name,
            status: self.status,
            label: self.label.label,
            ..LaunchPlanFilter::default()
        })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<LaunchPlan>(site).await,
            Self::Show(args) => args.run::<LaunchPlan>(site).await,
            Self::Delete(args) => args.run::<LaunchPlan>(site).await,
        }
    }
}
