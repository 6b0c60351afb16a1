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
    Verbs,
    compute::{
        Instance, LaunchPlan,
        instance::{InstanceFilter, InstanceStatus},
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
    /// About how many are still to come: a plan that moves makes some meanwhile.
    to_come: i64,
    /// Those that are kept.
    kept: Vec<String>,
    /// How many of them are protected.
    protected: usize,
}

impl UndoArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<LaunchPlan>(site, &self.which).await?;
        let plan = site.call(None, |ctx| async move { LaunchPlan::get(&ctx, id).await }).await?.value;
        let preview = preview(site, &plan).await?;
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
        if self.to_come > 0 {
            lines.push(format!("about {} that are still to come are not made", self.to_come));
        }
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

async fn preview(site: &Site, plan: &LaunchPlan) -> Result<Preview, Failure> {
    let filter = InstanceFilter { plan_id: Some(plan.id), ..InstanceFilter::default() };
    let instances = all::<Instance>(site, &filter).await?;
    let to_come = to_come(plan, &instances);
    if instances.is_empty() {
        return Ok(Preview { to_come, ..Preview::default() });
    }
    let attachments = all::<Attachment>(site, &AttachmentFilter::default()).await?;
    let used = attachments.iter().map(|attachment| attachment.instance_id.uuid()).collect();
    Ok(Preview { to_come, ..sorted(&instances, &used) })
}

/// How many a plan has counted that wait for their turn, but for those that exist.
fn to_come(plan: &LaunchPlan, instances: &[Instance]) -> i64 {
    if !matches!(plan.status, PlanStatus::Launching | PlanStatus::Halted) {
        return 0;
    }
    let exist = |instances: usize| i64::try_from(instances).unwrap_or(i64::MAX);
    let all = match (&plan.progress, &plan.outlook) {
        (Some(progress), _) => {
            let waits = |row: &&Instance| {
                let nowhere = row.node_id.is_none() && row.leaving_node_id.is_none();
                nowhere && row.status == InstanceStatus::Pending && row.meta.deleted_at.is_none()
            };
            progress.count("queued") - exist(instances.iter().filter(waits).count())
        }
        (None, Some(outlook)) => outlook.placed - exist(instances.len()),
        (None, None) => 0,
    };
    all.max(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "01970000-0000-7000-8000-000000000001";

    fn row(more: &Value) -> Value {
        let mut row = json!({"id": ID, "project_id": ID, "name": "web", "generation": 1, "version": 1, "created_by": "user:1",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"});
        row.as_object_mut().into_iter().for_each(|row| row.extend(more.as_object().cloned().unwrap_or_default()));
        row
    }
    fn plan(status: &str, counts: &Value) -> LaunchPlan {
        let group = json!({"name": "web", "count": 9, "template": {"flavor_id": ID, "image_id": ID}});
        let progress = if counts.is_null() { Value::Null } else { json!({"counts": counts, "per_second": 0.0}) };
        let outlook = json!({"placed": 9, "nodes": 2, "quota": {}, "of_free": 1, "image_bytes": 1});
        let row = row(&json!({"groups": [group], "policy": "spread", "all_or_nothing": false, "intent": "launch",
            "status": status, "outlook": outlook, "progress": progress}));
        serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}"))
    }
    fn instance(node: Option<&str>) -> Instance {
        let row = row(&json!({"flavor_id": ID, "image_id": ID, "power": "running", "observed_generation": 0,
            "status": "pending", "node_id": node, "vcpus": 1, "memory_mib": 256, "disk_gib": 2, "protected": false,
            "on_node_loss": "stay", "root_generation": 1}));
        serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_is_still_to_come_of_a_large_plan_is_told() {
        let instances = [instance(Some(ID)), instance(None)];
        let counts = json!({"queued": 7, "placed": 2});
        assert_eq!(to_come(&plan("halted", &counts), &instances), 6, "one of those that wait exists");
        assert_eq!(to_come(&plan("launching", &Value::Null), &instances), 7, "nothing is counted yet");
        assert_eq!(to_come(&plan("launching", &json!({"queued": 1})), &instances), 0);
        assert_eq!(to_come(&plan("held", &Value::Null), &[]), 0, "it has launched nothing");
        let preview = Preview { to_come: 6, ..Preview::default() };
        let told = preview.sentences(&plan("halted", &counts));
        assert_eq!(told[1], "about 6 that are still to come are not made");
    }
}
