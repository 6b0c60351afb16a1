//! `POST /compute/v1/nodereport/{node}`: what a node saw and did. It can touch only what is assigned to it now.

use crate::{
    backoff::{self, Launches},
    claims,
    controllers::remove_row,
    fence::{self, Takeover, stuck, waiting},
    heartbeats::{Beat, Heartbeats},
    holdings,
    launch::elsewhere,
    presence::{self, Presence},
    records,
    routes::{describe_path, own_node},
    states,
};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Context, Count, Error, Generation, Id, Name, Result, Timestamp,
    compute::{
        ConsoleLog, Instance, InstanceAction, Node, UnclaimedGuest,
        console_log::ConsoleLogStatus,
        instance::{InstanceStatus, Power},
        instance_action::ActionStatus,
        node::NodeStatus,
        report::{ActionDone, ConsoleRead, GoneInstance, InstanceSeen, NodeReport, UnclaimedSeen},
        unclaimed_guest::UnclaimedGuestFilter,
    },
    meta::Meta,
    sql::Table,
};
use cirro_server::{
    OwnerContext, Tx,
    http::{Caller, Failure, json, operation},
};
use std::{collections::HashMap, time::Duration};
use utoipa::openapi::{
    HttpMethod, OpenApi, PathItem, Required, request_body::RequestBodyBuilder, response::ResponseBuilder,
};

/// From so many instances on, a report is taken to say again what was said before.
const MANY: usize = 16;
/// The longest sentence that is taken over from a node.
const SENTENCE: usize = 1000;

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodereport/{node}", web::post().to(report));
}

async fn report(
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let report: NodeReport = json(&request, payload).await?;
    let work = async {
        let node = own_node(&caller, &path, false)?;
        caller.stores().part::<Presence>()?.heard(node);
        let (heartbeats, beat) = (caller.stores().part::<Heartbeats>()?, Beat::of(&report));
        if !beat.as_ref().is_some_and(|beat| heartbeats.repeats(node, beat)) {
            take(&caller, node, report).await?;
            heartbeats.taken(node, beat);
        }
        Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn take(ctx: &Context, node: Id<Node>, mut report: NodeReport) -> Result<()> {
    leave_out_known(ctx, node, &mut report.instances).await?;
    let longest = ctx.stores().part::<Takeover>()?.patience.stuck;
    let stuck = ctx.write(move |tx| {
        if !presence::is_news(tx.connection(), node, &report)? {
            return Ok(None);
        }
        let (before, now) = about_node(tx, node, &report, longest)?;
        let waits = waiting::sentence(&now);
        let mut launches = Launches::default();
        for seen in &report.instances {
            about_instance(tx, node, seen, waits.as_deref(), &mut launches)?;
        }
        backoff::note(tx, node, launches)?;
        let mut left: Vec<Id<Instance>> = Vec::new();
        for gone in &report.gone {
            left.extend(about_gone(tx, node, gone)?.then_some(gone.id));
        }
        if !left.is_empty() {
            holdings::without(tx.connection(), node, &left)?;
        }
        if let Some(held) = &report.holdings {
            holdings::keep(tx.connection(), node, held)?;
        }
        unclaimed(tx, node, &report.unclaimed)?;
        for done in &report.actions {
            about_action(tx, node, done)?;
        }
        for read in &report.console_logs {
            about_console(tx, node, read)?;
        }
        Ok(stuck::is_news(&before, &now).then_some(now))
    });
    if let Some(node) = stuck.await? {
        stuck::ring(&node);
    }
    Ok(())
}

/// A node says everything again at times, which its rows mostly say already: that is found out where nobody waits for the writer.
async fn leave_out_known(ctx: &Context, node: Id<Node>, seen: &mut Vec<InstanceSeen>) -> Result<()> {
    if seen.len() < MANY {
        return Ok(());
    }
    let ids: Vec<Id<Instance>> = seen.iter().map(|seen| seen.id).collect();
    let rows = ctx.database()?.read(move |c| Instance::select(c, &ids).map_err(Error::internal)).await?;
    let rows: HashMap<Id<Instance>, Instance> = rows.into_iter().map(|row| (row.id, row)).collect();
    seen.retain(|seen| !rows.get(&seen.id).is_some_and(|row| says(row, node, seen)));
    Ok(())
}

/// Whether taking this over would change nothing.
fn says(row: &Instance, node: Id<Node>, seen: &InstanceSeen) -> bool {
    let here = row.node_id == Some(node) && row.leaving_node_id.is_none() && row.ran_at.is_some();
    let wish = (row.generation, row.observed_generation) == (seen.observed_generation, seen.observed_generation);
    let state = row.status == seen.status && row.status_reason == bounded(seen.reason.as_ref());
    here && wish && state && row.address == bounded(seen.address.as_ref()) && !seen.powered_off_itself
}

fn bounded(text: Option<&String>) -> Option<String> {
    text.map(|text| text.chars().filter(|c| !c.is_control()).take(SENTENCE).collect())
}

/// The node before and after.
fn about_node(tx: &mut Tx<'_>, node: Id<Node>, report: &NodeReport, longest: Duration) -> Result<(Node, Node)> {
    let stored: Node = tx.get(node)?;
    if stored.status == NodeStatus::Fencing {
        return Err(Error::unavailable(
            "this node was silent or stuck for too long and is being fenced: it is not listened to meanwhile",
        ));
    }
    let now = tx.change_from(&stored, |node| {
        node.stuck = stuck::at(node.stuck.as_ref(), report.under_way.as_ref(), longest);
        let status = if node.stuck.is_some() { NodeStatus::Stuck } else { NodeStatus::Ready };
        if node.status != status {
            (node.status, node.status_since) = (status, Some(Timestamp::now()));
        }
        node.accelerator = Some(report.node.accelerator.clone());
        node.message = bounded(report.node.message.as_ref());
        node.agent_version = bounded(Some(&report.node.agent_version));
        node.watchdog_s = report.node.watchdog_s.filter(|within| fence::WATCHDOGS_S.contains(within));
        node.unclaimed = Count::new(i64::try_from(report.unclaimed.len()).unwrap_or(i64::MAX));
    })?;
    stuck::tell_instances(tx, &stored, &now)?;
    Ok((stored, now))
}

/// Takes over what the node saw of an instance that is assigned to it; anything else it says is ignored. What the instance waits
/// for on a stuck node is its reason, unless the node gives one.
fn about_instance(
    tx: &mut Tx<'_>,
    node: Id<Node>,
    seen: &InstanceSeen,
    waits: Option<&str>,
    launches: &mut Launches,
) -> Result<()> {
    let Some(stored) = tx.find::<Instance>(seen.id)?.filter(|instance| instance.node_id == Some(node)) else {
        return Ok(());
    };
    if seen.observed_generation < stored.observed_generation {
        return Ok(());
    }
    if seen.observed_generation > stored.generation {
        return outrun(tx, &stored, seen.observed_generation);
    }
    let up_to_date = seen.observed_generation == stored.generation;
    tx.change_from(&stored, |instance| {
        instance.observed_generation = seen.observed_generation;
        // a report about an older wish may not undo the state that the newer wish has set
        let next = if up_to_date { states::reported(&instance.status, &seen.status) } else { instance.status.clone() };
        if has_come_up(&seen.status) {
            launches.succeeded |= instance.ran_at.is_none();
            // its node could do it after all
            instance.leaving_node_id = None;
            instance.ran_at.get_or_insert_with(Timestamp::now);
        }
        let waits = waits.filter(|_| waiting::is_on_its_way(&seen.status));
        let reason = bounded(seen.reason.as_ref()).or_else(|| waits.map(str::to_owned));
        if next == InstanceStatus::Failed && instance.ran_at.is_none() {
            could_not_launch(instance, node, &reason.unwrap_or_else(|| "its node gave no reason".to_owned()), launches);
        } else if next != instance.status {
            instance.status_deadline = states::deadline(&next);
            instance.status = next;
            instance.status_reason = reason;
        } else if instance.status == seen.status && instance.status != InstanceStatus::Deleting {
            instance.status_reason = reason;
        }
        instance.address = bounded(seen.address.as_ref());
        if up_to_date
            && seen.powered_off_itself
            && instance.power == Power::Running
            && instance.meta.deleted_at.is_none()
        {
            // switched off from inside: it stays off until its owner wishes otherwise
            instance.power = Power::Stopped;
            instance.generation = instance.generation.next();
            instance.status = InstanceStatus::Stopped;
            instance.status_deadline = None;
            instance.status_reason = Some("it was switched off from inside".to_owned());
        }
    })
    .map(drop)
}

/// Whether a guest in this state was on, or at least could have been: its disk may hold something.
fn has_come_up(status: &InstanceStatus) -> bool {
    use InstanceStatus::{Rebooting, Running, Stopped, Stopping};
    matches!(status, Running | Stopping | Stopped | Rebooting)
}

/// A launch has failed: the instance goes to another node, or it has failed for good. A node says so again and again.
fn could_not_launch(instance: &mut Instance, node: Id<Node>, reason: &str, launches: &mut Launches) {
    if instance.status == InstanceStatus::Failed || instance.leaving_node_id.is_some() {
        return;
    }
    launches.failed += 1;
    if !elsewhere::is_to_go(instance, node, reason) {
        (instance.status, instance.status_deadline) = (InstanceStatus::Failed, None);
        instance.status_reason = Some(elsewhere::after_tries(instance, reason));
    }
}

/// Nothing of an instance is on the node any more: one that is deleted is gone, one that leaves is free to go elsewhere. One
/// that went elsewhere long ago, when the node was fenced, only has its order taken back. False if nobody asked for it.
fn about_gone(tx: &mut Tx<'_>, node: Id<Node>, gone: &GoneInstance) -> Result<bool> {
    if !records::confirm_gone(tx.connection(), gone.id, node, gone.generation)? {
        return Ok(false);
    }
    match tx.find::<Instance>(gone.id)? {
        None => records::forget(tx.connection(), gone.id)?,
        Some(instance) if instance.node_id.or(instance.leaving_node_id) != Some(node) => {}
        Some(instance) if instance.meta.deleted_at.is_some() => {
            records::forget(tx.connection(), gone.id)?;
            remove_row(tx, &instance)?;
        }
        // what it is launched with is kept for the next node
        Some(instance) if instance.node_id.is_none() => claims::remove(tx.connection(), gone.id)?,
        Some(_) => {}
    }
    Ok(true)
}

/// The most wishes that a node is believed to have followed since the database was put back.
const BELIEVED: i64 = 1_000_000;

/// The node has followed a wish that this database does not know: it was put back to an earlier state. What it wishes now
/// becomes the newer wish, or the node would not follow it.
fn outrun(tx: &mut Tx<'_>, stored: &Instance, observed: Generation) -> Result<()> {
    if observed.get() - stored.generation.get() > BELIEVED {
        return Ok(());
    }
    tx.change_from(stored, |instance| instance.generation = observed.next()).map(drop)
}

fn about_action(tx: &mut Tx<'_>, node: Id<Node>, done: &ActionDone) -> Result<()> {
    let ours = |action: &InstanceAction| action.node_id == Some(node) && action.status == ActionStatus::Pending;
    let Some(stored) = tx.find::<InstanceAction>(done.id)?.filter(ours) else { return Ok(()) };
    tx.change_from(&stored, |action| {
        action.status = if done.error.is_some() { ActionStatus::Failed } else { ActionStatus::Done };
        action.reason = bounded(done.error.as_ref());
    })
    .map(drop)
}

fn about_console(tx: &mut Tx<'_>, node: Id<Node>, read: &ConsoleRead) -> Result<()> {
    let ours = |log: &ConsoleLog| log.node_id == Some(node) && log.status == ConsoleLogStatus::Requested;
    let Some(stored) = tx.find::<ConsoleLog>(read.id)?.filter(ours) else { return Ok(()) };
    tx.change_from(&stored, |log| {
        log.status = if read.error.is_some() { ConsoleLogStatus::Failed } else { ConsoleLogStatus::Ready };
        log.reason = bounded(read.error.as_ref());
        log.text = read.text.as_deref().map(last_part);
        log.read_at = Some(Timestamp::now());
    })
    .map(drop)
}

/// The end of a console text, at most [`ConsoleLog::MAX_TEXT`] bytes. The node has escaped control characters; one that
/// has not is not to be trusted with the reader's terminal.
fn last_part(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    let begin = shown.ceil_char_boundary(shown.len().saturating_sub(ConsoleLog::MAX_TEXT));
    shown.split_off(begin)
}

/// Makes the rows of unclaimed guests agree with what the node has just reported.
fn unclaimed(tx: &mut Tx<'_>, node: Id<Node>, seen: &[UnclaimedSeen]) -> Result<()> {
    let own = UnclaimedGuestFilter { node_id: Some(node), ..UnclaimedGuestFilter::default() };
    let known: Vec<UnclaimedGuest> = tx.list(&own, 100_000)?;
    for row in known.iter().filter(|row| !seen.iter().any(|guest| guest.id == row.instance_id)) {
        tx.remove(row)?;
    }
    for guest in seen.iter().filter(|guest| !known.iter().any(|row| row.instance_id == guest.id)) {
        // an instance of ours on another node, or one that is being deleted, is not for adoption; nor is a guest that
        // another node, or this report, has named before: whoever came first has the row until it is looked into
        let named = UnclaimedGuestFilter { instance_id: Some(guest.id), ..UnclaimedGuestFilter::default() };
        if tx.find::<Instance>(guest.id)?.is_some() || !tx.list::<UnclaimedGuest>(&named, 1)?.is_empty() {
            continue;
        }
        let name = Name::parse(&guest.name).or_else(|_| Name::parse(&format!("unclaimed-{}", guest.id)));
        let (Ok(name), Some(project), Some(image)) = (name, guest.project_id, guest.image_id) else { continue };
        let row = UnclaimedGuest {
            id: Id::new(),
            node_id: node,
            instance_id: guest.id,
            generation: guest.generation,
            name,
            project_id: Id::from_uuid(project),
            image_id: Id::from_uuid(image),
            vcpus: guest.vcpus,
            memory_mib: guest.memory_mib,
            disk_gib: guest.disk_gib,
            running: guest.running,
            adopt: false,
            meta: Meta::created(tx.by()),
        };
        tx.insert(&row)?;
    }
    Ok(())
}

/// Adds an operation on `/{node}` with the schema of `T`.
pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<NodeReport>(document, "/compute/v1/nodereport/{node}", "node", |schema| {
        let body = RequestBodyBuilder::new().content("application/json", schema).required(Some(Required::True)).build();
        let post =
            operation("create_nodereport".to_owned(), "node", "What a node saw and did (for its agent)".to_owned());
        let taken = ResponseBuilder::new().description("Taken over");
        PathItem::new(HttpMethod::Post, post.request_body(Some(body)).response("204", taken))
    });
}
