//! `cirro instance delete`: those that are named, or all of a label or a launch plan.

use crate::{
    escape,
    failure::Failure,
    input,
    nouns::Noun,
    out, resolve,
    site::Site,
    verbs::{Delete, Key, all},
    wait::{Patience, Wait},
};
use cirro_models::{
    Error, Id, Verbs,
    compute::{Instance, LaunchPlan, instance::InstanceFilter},
};
use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    io::{self, IsTerminal},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How many are deleted at a time.
const AT_ONCE: usize = 16;
/// The most names and reasons that are listed.
const NAMED: usize = 20;
/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct DeleteInstances {
    /// Names or ids
    #[arg(value_name = "NAME|ID", required_unless_present_any = ["label", "plan"], conflicts_with_all = ["label", "plan"])]
    which: Vec<String>,
    /// All that have this label
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "plan", help_heading = "Many")]
    label: Option<String>,
    /// All that this launch plan made, changed or not (`cirro undo` keeps what was changed)
    #[arg(long, value_name = "PLAN", help_heading = "Many")]
    plan: Option<String>,
    /// How many that are: nothing is deleted if it is another number. Without it, the number is asked for
    #[arg(long, value_name = "N", conflicts_with = "which", help_heading = "Many")]
    expect: Option<usize>,
    /// Go on until more than this many could not be deleted
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "which", help_heading = "Many")]
    max_failures: usize,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

impl DeleteInstances {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let (filter, those) = match (&self.label, &self.plan) {
            (Some(label), _) => (
                InstanceFilter { label: Some(label.clone()), ..InstanceFilter::default() },
                format!("labelled {label}"),
            ),
            (None, Some(plan)) => {
                let id = resolve::id::<LaunchPlan>(site, plan).await?;
                (InstanceFilter { plan_id: Some(id), ..InstanceFilter::default() }, format!("of plan {plan}"))
            }
            (None, None) => return Delete::of(self.which, self.wait, self.key).run::<Instance>(site).await,
        };
        let found = all::<Instance>(site, &filter).await?;
        let (going, live): (Vec<_>, Vec<_>) = found.into_iter().partition(|row| row.meta.deleted_at.is_some());
        preview(&live, going.len(), &those);
        if !live.is_empty() {
            self.confirm(live.len(), &those)?;
        }
        let outcome = delete(site, &live, &self.key.get(), self.max_failures).await;
        if let Some(longest) = self.wait.longest() {
            let left = live.iter().filter(|row| !outcome.failed.contains_key(&row.id)).map(|row| row.id);
            until_gone(site, &filter, left.chain(going.iter().map(|row| row.id)).collect(), longest).await?;
        }
        outcome.tell(site, &live, &those)
    }
    /// Whether that many are meant.
    fn confirm(&self, count: usize, those: &str) -> Result<(), Failure> {
        let wrong = |said: &str| {
            let what = format!(
                "{count} instances are {those}, not {said}: nothing is deleted; look at them with `cirro instance list`"
            );
            Failure::from(Error::conflict(what))
        };
        match self.expect {
            Some(expected) if expected == count => Ok(()),
            Some(expected) => Err(wrong(&expected.to_string())),
            None if io::stdin().is_terminal() => {
                let said = input::ask(&format!("Delete {count} instances {those}? Type how many"))?;
                if said == count.to_string() { Ok(()) } else { Err(wrong(&said)) }
            }
            None => Err(Failure::usage(format!(
                "nothing is deleted: there is no terminal to ask on; repeat with --expect {count} if this is meant"
            ))),
        }
    }
}

/// What would go.
fn preview(live: &[Instance], going: usize, those: &str) {
    let names: Vec<String> = live.iter().take(NAMED).map(Noun::label).collect();
    let more = live.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
    out::note(&escape::line(&format!("{} instances {those} go with their root disks{names}", live.len())));
    if going > 0 {
        out::note(&format!("{going} are being deleted already"));
    }
}

/// What has become of many.
#[derive(Default)]
struct Outcome {
    deleted: usize,
    /// Why each of these could not be deleted.
    failed: BTreeMap<Id<Instance>, String>,
    /// The first of them.
    first: Option<Failure>,
}

/// Deletes them, a few at a time, until too many could not be. One that is gone already is done.
async fn delete(site: &Site, rows: &[Instance], key: &str, max_failures: usize) -> Outcome {
    let one = |id: Id<Instance>| async move {
        // each has a key of its own, the same when the command is repeated with its key
        let key = format!("{key}/{id}");
        (id, site.call(Some(&key), |ctx| async move { Instance::delete(&ctx, id).await }).await)
    };
    let (mut outcome, stopped) = (Outcome::default(), AtomicBool::new(false));
    // what is under way ends in any case
    let begun = stream::iter(rows.iter().map(|row| row.id)).take_while(|_| ready(!stopped.load(Relaxed)));
    let mut ended = pin!(begun.map(one).buffer_unordered(AT_ONCE));
    while let Some((id, answer)) = ended.next().await {
        match answer {
            Err(failure) if !failure.is_not_found() => {
                outcome.failed.insert(id, failure.sentence());
                outcome.first.get_or_insert(failure);
            }
            _ => outcome.deleted += 1,
        }
        stopped.store(outcome.failed.len() > max_failures, Relaxed);
    }
    outcome
}

impl Outcome {
    fn tell(self, site: &Site, rows: &[Instance], those: &str) -> Result<(), Failure> {
        if site.is_json() {
            let failed: Vec<_> = self.failed.iter().map(|(id, why)| json!({"id": id, "reason": why})).collect();
            out::json(&json!({"found": rows.len(), "deleted": self.deleted, "failed": failed}))?;
        } else {
            out::text(&format!("{} of {} instances are deleted or being deleted", self.deleted, rows.len()))?;
        }
        let Some(first) = self.first else { return Ok(()) };
        if self.deleted == 0 {
            return Err(first);
        }
        let left = rows.len() - self.deleted;
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        self.failed.values().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        let reasons: Vec<_> = reasons.iter().take(NAMED).map(|(reason, count)| format!("{count}: {reason}")).collect();
        Err(Failure::partly(format!(
            "{left} instances {those} are left; {}; repeat the command, with --expect {left}, to go on",
            reasons.join("; ")
        )))
    }
}

/// Waits until none of these is there any more.
async fn until_gone(
    site: &Site,
    filter: &InstanceFilter,
    mut left: BTreeSet<Id<Instance>>,
    longest: Duration,
) -> Result<(), Failure> {
    let end = Instant::now() + longest;
    loop {
        match all::<Instance>(site, filter).await {
            Ok(there) => {
                let there: BTreeSet<_> = there.iter().map(|row| row.id).collect();
                left.retain(|id| there.contains(id));
            }
            // a control plane that restarts is no reason to stop waiting
            Err(failure) if failure.code() == 5 => {}
            Err(failure) => return Err(failure),
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            let (count, seconds) = (left.len(), longest.as_secs());
            return Err(Failure::Late(format!(
                "{count} instances are still being deleted after {seconds} s; it goes on: see `cirro instance list`"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
