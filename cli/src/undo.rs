//! `cirro undo`: takes a launch back, after showing what would go and what somebody has changed since.

use crate::{
    escape,
    failure::Failure,
    input,
    nouns::Noun,
    out, resolve,
    site::Site,
    verbs::{Key, all, show, update},
    wait::{self, Ended, Patience, Progress, Wait},
};
use cirro_models::{
    Id, Verbs,
    compute::{
        Instance, LaunchPlan,
        instance::InstanceFilter,
        launch_plan::{LaunchPlanPatch, PlanIntent, PlanStatus},
    },
    storage::{Attachment, attachment::AttachmentFilter},
};
use clap::Args;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
};

/// The most names that are listed.
const NAMED: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The launch plan's name or id; see `cirro plan list`
    #[arg(value_name = "PLAN")]
    which: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

/// What an undo would do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Preview {
    /// How many instances are removed.
    going: usize,
    /// How many are being removed already.
    gone: usize,
    /// Those that are kept.
    kept: Vec<String>,
    /// How many of them are protected.
    protected: usize,
}

impl UndoArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<LaunchPlan>(site, &self.which).await?;
        let plan = site.call(None, |ctx| async move { LaunchPlan::get(&ctx, id).await }).await?.value;
        let preview = preview(site, id).await?;
        let label = plan.label();
        preview.sentences(&plan).iter().for_each(|line| out::note(&escape::line(line)));
        if !self.yes {
            agreed(&label)?;
        }
        let patch = LaunchPlanPatch { intent: Some(PlanIntent::Undo), ..LaunchPlanPatch::default() };
        let begun = update::<LaunchPlan>(site, id, patch, &self.key).await?;
        let Some(longest) = self.wait.longest() else { return show(site, &begun).await };
        let undone = |plan: &LaunchPlan| match plan.status {
            PlanStatus::Undone => Progress::Reached,
            _ => Progress::UnderWay,
        };
        match wait::until(site, id, longest, undone).await? {
            Ended::Reached(said) => show(site, &said).await,
            Ended::Gone => Err(Failure::failed(format!("plan {label} was deleted meanwhile"))),
        }
    }
}

/// Asks whether it is meant.
fn agreed(label: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "nothing is undone: there is no terminal to ask on; repeat with `cirro undo {label} --yes` if this is meant"
        )));
    }
    match input::ask(&format!("Undo plan {}? Type yes", escape::line(label)))?.as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::failed(format!("nothing is undone: plan {label} stays as it is"))),
    }
}

impl Preview {
    fn sentences(&self, plan: &LaunchPlan) -> Vec<String> {
        let mut lines =
            vec![format!("plan {} is {}: {} instances go with their root disks", plan.name, plan.status, self.going)];
        if self.gone > 0 {
            lines.push(format!("{} are being removed already", self.gone));
        }
        if !self.kept.is_empty() {
            let named = self.kept[..self.kept.len().min(NAMED)].join(", ");
            let more = self.kept.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!(
                "{} are kept, because somebody has changed them or attached volumes to them: {named}{more}",
                self.kept.len()
            ));
            if self.protected > 0 {
                lines.push(format!(
                    "{} of these are protected (see `cirro instance update --no-protect`)",
                    self.protected
                ));
            }
        }
        lines
    }
}

async fn preview(site: &Site, plan: Id<LaunchPlan>) -> Result<Preview, Failure> {
    let filter = InstanceFilter { plan_id: Some(plan), ..InstanceFilter::default() };
    let instances = all::<Instance>(site, &filter).await?;
    if instances.is_empty() {
        return Ok(Preview::default());
    }
    let attachments = all::<Attachment>(site, &AttachmentFilter::default()).await?;
    let used = attachments.iter().map(|attachment| attachment.instance_id.uuid()).collect();
    Ok(sorted(&instances, &used))
}

fn sorted(instances: &[Instance], used: &BTreeSet<uuid::Uuid>) -> Preview {
    let mut preview = Preview::default();
    for instance in instances {
        if instance.meta.deleted_at.is_some() {
            preview.gone += 1;
        } else if instance.protected || instance.touched == Some(true) || used.contains(&instance.id.uuid()) {
            preview.protected += usize::from(instance.protected);
            preview.kept.push(instance.label());
        } else {
            preview.going += 1;
        }
    }
    preview
}
