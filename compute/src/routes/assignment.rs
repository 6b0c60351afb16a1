//! `GET /compute/v1/nodeassignment/{node}`: what a node should hold, as a long poll.

use crate::{
    launch::references::Launch,
    presence::Presence,
    records,
    routes::{describe_path, own_node},
};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Error, Generation, Id, Reach, Result,
    compute::{
        ConsoleLog, Instance, InstanceAction, Node, UnclaimedGuest,
        assignment::{AssignedAction, AssignedConsoleLog, AssignedInstance, InstanceSpec, NodeAssignment},
        console_log::{ConsoleLogFilter, ConsoleLogStatus},
        instance::instance_rows,
        instance_action::{ActionStatus, InstanceActionFilter},
        node::NodeStatus,
    },
    feed::{Change, Position},
    model::Model,
    sql::{AnyConnection, Column, GuidValue, MAX_VALUES, Table},
};
use cirro_server::{
    OwnerContext,
    db::{Concerned, Feed, Wakes, requests_of},
    http::{Caller, Failure, may_be_unchanged, operation, pollable, polled, still_known},
};
use diesel::prelude::*;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};
use utoipa::openapi::{HttpMethod, OpenApi, PathItem, response::ResponseBuilder};

/// More guests than one node ever holds.
const MANY: i64 = 100_000;
/// The longest wait of one poll.
const LONGEST: Duration = Duration::from_mins(5);

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
        let held = asked.since.map(|since| since.to_string());
        let answer = wait(&caller, node, asked, may_be_unchanged(&request, held.as_deref())).await?;
        still_known(&request)?;
        Ok(polled(&caller, answer))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

/// The assignment as soon as a change asks something of the node, or as it is when the wait is over; then nothing, if it
/// may be `unchanged`. Who does not wait is told how it is.
async fn wait(caller: &Caller, node: Id<Node>, asked: Asked, unchanged: bool) -> Result<Option<NodeAssignment>> {
    let database = caller.database()?;
    let feed = database.feed().clone();
    if let Some(since) = asked.since {
        database.notice(caller.subject(), since).await?;
    }
    // a revision of another epoch is as good as none
    let since = asked.since.filter(|since| since.epoch == feed.epoch());
    let until = Instant::now() + Duration::from_millis(asked.wait_ms).min(LONGEST);
    let orders = caller.stores().part::<Orders>()?;
    let mut bell = orders.wakes.of(&database, node.uuid()).await?;
    if let Some(since) = since {
        let news = |last: &Option<Position>| last.is_none_or(|last| last > since);
        // without a change it is answered at the end: the agent sees that it is still heard
        let quiet = tokio::time::timeout_at(until, bell.wait_for(news)).await.is_err();
        if quiet && unchanged && asked.wait_ms > 0 && feed.epoch() == since.epoch {
            return Ok(None);
        }
    }
    let _turn = orders.turns.acquire().await.map_err(Error::internal)?;
    database.read(move |c| whole(c, &feed, node, since.is_some())).await.map(Some)
}

/// How many nodes' orders are read at once. A launch wakes a thousand nodes in one moment: they must not all stand before whoever
/// asks for a page, so some of the database's connections are left to others.
const TURNS: usize = 2;

/// Who waits for orders in this process.
pub(crate) struct Orders {
    wakes: Wakes,
    turns: Semaphore,
}

impl Default for Orders {
    fn default() -> Self {
        Self { wakes: Wakes::new(concerned), turns: Semaphore::new(TURNS) }
    }
}

/// The nodes of which these changes ask something: not those that have reported them.
fn concerned(c: &mut AnyConnection, changes: &[Change]) -> Result<Concerned> {
    let rows_of =
        |path: &'static str| changes.iter().filter(move |change| change.model == path).map(|change| change.id);
    // a launch changes each of its instances several times
    let instances: HashSet<Id<Instance>> = rows_of(Instance::PATH).map(Id::from_uuid).collect();
    let instances = Vec::from_iter(instances);
    // one that has been taken from a node is ordered away there
    let mut nodes = records::ordered_away(c, &instances)?;
    nodes.extend(asked_of(c, &instances)?);
    let actions: Vec<_> = rows_of(InstanceAction::PATH).map(Id::from_uuid).collect();
    let actions = InstanceAction::select(c, &actions).map_err(Error::internal)?;
    nodes.extend(actions.iter().filter(|row| row.status == ActionStatus::Pending).filter_map(|row| row.node_id));
    let logs: Vec<_> = rows_of(ConsoleLog::PATH).map(Id::from_uuid).collect();
    let logs = ConsoleLog::select(c, &logs).map_err(Error::internal)?;
    nodes.extend(logs.iter().filter(|row| row.status == ConsoleLogStatus::Requested).filter_map(|row| row.node_id));
    let guests: Vec<_> = rows_of(UnclaimedGuest::PATH).map(Id::from_uuid).collect();
    let guests = UnclaimedGuest::select(c, &guests).map_err(Error::internal)?;
    // one that is being destroyed has a tombstone
    nodes.extend(guests.iter().filter(|row| row.meta.deleted_at.is_some()).map(|row| row.node_id));
    Ok(Concerned::These(nodes.into_iter().map(Id::uuid).collect()))
}

/// The nodes that have not followed the wish of these instances, or have to remove them. Whole rows would be most of what a launch
/// reads.
fn asked_of(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<Vec<Id<Node>>> {
    let mut nodes = Vec::new();
    for some in instances.chunks(MAX_VALUES) {
        let behind = instance_rows::observed_generation.ne(instance_rows::generation);
        let asking: Vec<Option<GuidValue>> = instance_rows::table
            .filter(instance_rows::id.eq_any(some.iter().map(Column::store)))
            .filter(behind.or(instance_rows::deleted_at.is_not_null()))
            .select(instance_rows::node_id)
            .load(c)
            .map_err(Error::internal)?;
        nodes.extend(asking.into_iter().flatten().map(|node| Id::from_uuid(node.0)));
    }
    Ok(nodes)
}

/// The whole assignment, with the bodies of what the node has not followed yet (of all, without `known`).
fn whole(c: &mut AnyConnection, feed: &Feed, node: Id<Node>, known: bool) -> Result<NodeAssignment> {
    // a machine that is being switched off must not begin what may be moved in a moment
    if Node::select(c, &[node]).map_err(Error::internal)?.iter().any(|row| row.status == NodeStatus::Fencing) {
        let what = "this node was silent for too long and is being fenced: it is told nothing meanwhile";
        return Err(Error::unavailable(what));
    }
    // the end first: what is committed after it is seen again next time, never missed
    let revision = feed.end(c)?;
    let (manifest, rows) = here(c, node, known)?;
    let pending = rows.iter().filter(|row| row.observed_generation != row.generation);
    let mut asked_for: Vec<_> = pending.map(|row| row.id.uuid()).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut launches: HashMap<_, _> = records::launches(c, &ids)?.into_iter().collect();
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

/// What a node should hold, and the rows of what it lacks (of all, without `known`). It holds many and lacks few, so the others'
/// rows are not read whole.
fn here(c: &mut AnyConnection, node: Id<Node>, known: bool) -> Result<(Vec<AssignedInstance>, Vec<Instance>)> {
    let all: Vec<(GuidValue, i64, i64)> = instance_rows::table
        .filter(instance_rows::node_id.eq(Some(node.store())))
        .filter(instance_rows::deleted_at.is_null())
        .order(instance_rows::id)
        .select((instance_rows::id, instance_rows::generation, instance_rows::observed_generation))
        .load(c)
        .map_err(Error::internal)?;
    let lacking = all.iter().filter(|(_, generation, observed)| !known || observed != generation);
    let lacking: Vec<_> = lacking.map(|(id, ..)| Id::from_uuid(id.0)).collect();
    let mut rows: HashMap<Id<Instance>, Instance> = HashMap::new();
    for some in lacking.chunks(MAX_VALUES) {
        rows.extend(Instance::select(c, some).map_err(Error::internal)?.into_iter().map(|row| (row.id, row)));
    }
    // a wish that came between the two reads is in the row
    rows.retain(|_, row| row.node_id == Some(node) && row.meta.deleted_at.is_none());
    let manifest = all.iter().map(|(id, generation, _)| {
        let id = Id::from_uuid(id.0);
        AssignedInstance { id, generation: rows.get(&id).map_or(Generation::new(*generation), |row| row.generation) }
    });
    Ok((manifest.collect(), rows.into_values().collect()))
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
        root_generation: row.root_generation,
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
        PathItem::new(HttpMethod::Get, pollable(get).response("200", answer))
    });
}
