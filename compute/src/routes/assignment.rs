//! `GET /compute/v1/nodeassignment/{node}`: what a node should hold, as a long poll.

use crate::{
    launch::references::Launch,
    presence::Presence,
    records,
    routes::{describe_path, own_node},
};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Error, Id, Reach, Result,
    compute::{
        ConsoleLog, Instance, InstanceAction, Node, UnclaimedGuest,
        assignment::{AssignedAction, AssignedConsoleLog, AssignedInstance, InstanceSpec, NodeAssignment},
        console_log::{ConsoleLogFilter, ConsoleLogStatus},
        instance::InstanceFilter,
        instance_action::{ActionStatus, InstanceActionFilter},
        node::NodeStatus,
    },
    feed::Position,
    sql::{AnyConnection, Table},
};
use cirro_server::{
    OwnerContext,
    db::{Feed, requests_of},
    http::{Caller, Failure, operation, still_known},
};
use serde::Deserialize;
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;
use utoipa::openapi::{HttpMethod, OpenApi, PathItem, response::ResponseBuilder};

/// More guests than one node ever holds.
const MANY: i64 = 100_000;
/// The longest wait of one poll.
const LONGEST: Duration = Duration::from_secs(30);
/// How often another process's commits are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Changes read at once.
const ENTRIES: i64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    since: Option<Position>,
    #[serde(default)]
    wait_ms: u64,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodeassignment/{node}", web::get().to(assignment));
}

async fn assignment(caller: Caller, path: web::Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let node = own_node(&caller, &path, true)?;
        let asked: Asked = serde_urlencoded::from_str(request.query_string())
            .map_err(|error| Error::invalid("query", error.to_string()))?;
        let presence = caller.stores().part::<Presence>()?;
        if caller.subject().node().is_some() {
            presence.heard(node);
        }
        let answer = wait(&caller, node, asked).await?;
        still_known(&request)?;
        Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(answer))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn wait(caller: &Caller, node: Id<Node>, asked: Asked) -> Result<NodeAssignment> {
    let database = caller.database()?;
    let feed = database.feed().clone();
    let mut commits = feed.commits();
    if let Some(since) = asked.since {
        database.notice(caller.subject(), since).await?;
    }
    // a revision of another epoch is as good as none
    let mut since = asked.since.filter(|since| since.epoch == feed.epoch());
    let until = Instant::now() + Duration::from_millis(asked.wait_ms).min(LONGEST);
    loop {
        commits.mark_unchanged();
        let (reader, last) = (feed.clone(), Instant::now() >= until);
        let read = database.read(move |c| read(c, &reader, node, since, last)).await?;
        match read {
            Read::Answer(answer) => return Ok(*answer),
            Read::Nothing(position) => since = Some(position),
        }
        // a commit wakes us; another process's is found by looking
        let _ = tokio::time::timeout_at(until.min(Instant::now() + LOOK), commits.changed()).await;
    }
}

enum Read {
    Answer(Box<NodeAssignment>),
    Nothing(Position),
}

/// The assignment if it has changed since the position (or `anyway`), or where to look on from.
fn read(c: &mut AnyConnection, feed: &Feed, node: Id<Node>, since: Option<Position>, anyway: bool) -> Result<Read> {
    // the end first: what is committed after it is seen again next time, never missed
    let end = feed.end(c)?;
    let Some(since) = since else { return whole(c, feed, node, end, None).map(|all| Read::Answer(Box::new(all))) };
    let (mut changed, mut concerns, mut at) = (HashSet::new(), false, since);
    loop {
        let entries = match feed.after(c, at, ENTRIES) {
            // it was away for longer than changes are kept: it is told everything
            Err(Error::Gone { .. }) => {
                return whole(c, feed, node, end, None).map(|all| Read::Answer(Box::new(all)));
            }
            entries => entries?,
        };
        let Some(last) = entries.last().map(|entry| entry.position) else { break };
        at = last;
        let ids =
            |model: &str| entries.iter().filter(|entry| entry.model == model).map(|entry| entry.id).collect::<Vec<_>>();
        let instances = ids(<Instance as cirro_models::Model>::PATH);
        let others = [
            ids(<InstanceAction as cirro_models::Model>::PATH),
            ids(<ConsoleLog as cirro_models::Model>::PATH),
            ids(<UnclaimedGuest as cirro_models::Model>::PATH),
        ];
        concerns |= concerning(c, node, &instances, &others)?;
        changed.extend(instances);
    }
    if concerns || anyway {
        return whole(c, feed, node, at, Some(&changed)).map(|all| Read::Answer(Box::new(all)));
    }
    Ok(Read::Nothing(at))
}

/// Whether a change asks something of this node: not what it has reported itself.
fn concerning(
    c: &mut AnyConnection,
    node: Id<Node>,
    instances: &[uuid::Uuid],
    others: &[Vec<uuid::Uuid>; 3],
) -> Result<bool> {
    let instances: Vec<Id<Instance>> = instances.iter().copied().map(Id::from_uuid).collect();
    let rows = Instance::select(c, &instances).map_err(Error::internal)?;
    // a row that is gone takes an entry out of the manifest
    let gone = rows.len() < instances.iter().collect::<HashSet<_>>().len();
    let asks = |row: &Instance| {
        let here = row.node_id == Some(node);
        here && (row.observed_generation != row.generation || row.meta.deleted_at.is_some())
            // it is to be removed here, to go elsewhere
            || !here && row.leaving_node_id == Some(node)
    };
    if gone || rows.iter().any(asks) {
        return Ok(true);
    }
    let actions: Vec<_> = others[0].iter().copied().map(Id::from_uuid).collect();
    let logs: Vec<_> = others[1].iter().copied().map(Id::from_uuid).collect();
    let guests: Vec<_> = others[2].iter().copied().map(Id::from_uuid).collect();
    let actions = InstanceAction::select(c, &actions).map_err(Error::internal)?;
    let logs = ConsoleLog::select(c, &logs).map_err(Error::internal)?;
    let guests = UnclaimedGuest::select(c, &guests).map_err(Error::internal)?;
    Ok(actions.iter().any(|row| row.node_id == Some(node) && row.status == ActionStatus::Pending)
        || logs.iter().any(|row| row.node_id == Some(node) && row.status == ConsoleLogStatus::Requested)
        // one that is being destroyed has a tombstone
        || guests.iter().any(|row| row.node_id == node && row.meta.deleted_at.is_some()))
}

/// The whole assignment, with the bodies of `changed` (of all, without it).
fn whole(
    c: &mut AnyConnection,
    feed: &Feed,
    node: Id<Node>,
    revision: Position,
    changed: Option<&HashSet<uuid::Uuid>>,
) -> Result<NodeAssignment> {
    // a machine that is being switched off must not begin what may be moved in a moment
    if Node::select(c, &[node]).map_err(Error::internal)?.iter().any(|row| row.status == NodeStatus::Fencing) {
        let what = "this node was silent for too long and is being fenced: it is told nothing meanwhile";
        return Err(Error::unavailable(what));
    }
    let mut rows = of_node::<Instance>(c, &InstanceFilter { node_id: Some(node), ..InstanceFilter::default() })?;
    rows.retain(|row| row.meta.deleted_at.is_none());
    let pending = rows.iter().filter(|row| row.observed_generation != row.generation);
    let mut asked_for: Vec<_> = pending.map(|row| row.id.uuid()).collect();
    let manifest = rows.iter().map(|row| AssignedInstance { id: row.id, generation: row.generation }).collect();
    rows.retain(|row| changed.is_none_or(|changed| changed.contains(&row.id.uuid())));
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut launches: std::collections::HashMap<_, _> = records::launches(c, &ids)?.into_iter().collect();
    let instances =
        rows.into_iter().filter_map(|row| launches.remove(&row.id).map(|launch| spec(row, launch))).collect();
    let pending = InstanceActionFilter {
        node_id: Some(node),
        status: Some(ActionStatus::Pending),
        ..InstanceActionFilter::default()
    };
    let asked = ConsoleLogFilter {
        node_id: Some(node),
        status: Some(ConsoleLogStatus::Requested),
        ..ConsoleLogFilter::default()
    };
    let actions = of_node::<InstanceAction>(c, &pending)?;
    let logs = of_node::<ConsoleLog>(c, &asked)?;
    let tombstones = records::tombstones(c, node)?;
    asked_for.extend(tombstones.iter().map(|stone| stone.id.uuid()));
    asked_for.extend(actions.iter().map(|row| row.id.uuid()));
    asked_for.extend(logs.iter().map(|row| row.id.uuid()));
    Ok(NodeAssignment {
        epoch: feed.epoch().to_string(),
        revision: revision.to_string(),
        manifest,
        instances,
        tombstones,
        actions: actions
            .into_iter()
            .map(|row| AssignedAction { id: row.id, instance_id: row.instance_id, kind: row.kind })
            .collect(),
        console_logs: logs
            .into_iter()
            .map(|row| AssignedConsoleLog { id: row.id, instance_id: row.instance_id })
            .collect(),
        requests: requests_of(c, asked_for)?,
    })
}

fn of_node<M: Table>(c: &mut AnyConnection, filter: &M::Filter) -> Result<Vec<M>> {
    M::page(c, filter, &Reach::All, None, MANY).map_err(Error::internal)
}

fn spec(row: Instance, launch: Launch) -> InstanceSpec {
    InstanceSpec {
        id: row.id,
        project_id: row.project_id,
        name: row.name,
        generation: row.generation,
        power: row.power,
        force_stop: row.force_stop.unwrap_or(false),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        disk_gib: row.disk_gib,
        image: launch.image,
        ssh_keys: launch.ssh_keys,
        user_data: launch.user_data,
    }
}

pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<NodeAssignment>(document, "/compute/v1/nodeassignment/{node}", "node", |schema| {
        let answer =
            ResponseBuilder::new().description("What the node should hold").content("application/json", schema);
        let get = operation(
            "get_nodeassignment".to_owned(),
            "node",
            "What a node should hold (long poll, for its agent)".to_owned(),
        );
        PathItem::new(HttpMethod::Get, get.response("200", answer))
    });
}
