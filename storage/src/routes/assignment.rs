//! `GET /storage/v1/nodeassignment/{node}`: what a node should have, as a long poll on the change feed.

use super::{describe_path, of_node, own_node};
use crate::reported::OfNode;
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Path},
};
use cirro_models::{
    Error, Id, Result,
    compute::Node,
    feed::{Change, Position},
    model::Model,
    sql::{AnyConnection, Table},
    storage::{
        Attachment, Volume,
        assignment::{AttachmentSpec, StorageAssignment, VolumeSpec},
        attachment::AttachmentStatus,
        volume::VolumeStatus,
    },
};
use cirro_server::{
    OwnerContext,
    db::{Concerned, Wakes, database_error, requests_of},
    http::{Caller, Failure, may_be_unchanged, operation, pollable, polled, still_known},
};
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hasher},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use utoipa::openapi::{
    HttpMethod, ObjectBuilder, OpenApi, PathItem, Required,
    path::{Parameter, ParameterBuilder, ParameterIn},
    response::ResponseBuilder,
    schema::Type,
};
use uuid::Uuid;

/// The longest wait of one poll.
const LONGEST: Duration = Duration::from_mins(5);
/// What is kept of the caller's time for the answer's way back.
const WAY_BACK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    wait_ms: u64,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodeassignment/{node}", web::get().to(assignment));
}

async fn assignment(caller: Caller, path: Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let node = own_node(&caller, &path, true)?;
        let asked: Asked = serde_urlencoded::from_str(request.query_string())
            .map_err(|error| Error::invalid("query", error.to_string()))?;
        let unchanged = asked.wait_ms > 0 && may_be_unchanged(&request, asked.since.as_deref());
        let answer = wait(&caller, node, asked, unchanged).await?;
        still_known(&request)?;
        Ok(polled(&caller, answer))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

/// The assignment as soon as it is another one than the caller has, or as it is when the wait is over; then nothing, if it
/// may be `unchanged`.
async fn wait(caller: &Caller, node: Id<Node>, asked: Asked, unchanged: bool) -> Result<Option<StorageAssignment>> {
    let database = caller.database()?;
    let epoch = database.feed().epoch();
    let remaining = caller.remaining()?.saturating_sub(WAY_BACK);
    let until = Instant::now() + Duration::from_millis(asked.wait_ms).min(LONGEST).min(remaining);
    let orders = caller.stores().part::<Orders>()?;
    let mut bell = orders.wakes.of(&database, node.uuid()).await?;
    let mut over = false;
    loop {
        let at = *bell.borrow_and_update();
        if unchanged && orders.told(node, at, asked.since.as_deref()) {
            if over {
                return Ok(None);
            }
            over = timeout_at(until, bell.changed()).await.is_err();
            continue;
        }
        let read = database.read(move |c| {
            let rows = of_node(c, node)?;
            let requests = requests_of(c, asked_for(&rows))?;
            spell(&rows, requests, epoch)
        });
        let answer = read.await?;
        orders.tell(node, at, &answer.revision);
        if over || asked.since.as_ref() != Some(&answer.revision) {
            return Ok(Some(answer));
        }
        // at the end it is read once more: who asked for what may have changed, which wakes nobody
        over = timeout_at(until, bell.changed()).await.is_err();
    }
}

/// Who waits for orders in this process.
pub(crate) struct Orders {
    wakes: Wakes,
    /// The last revision of each node that was read, and the last change before that which concerned the node.
    told: Mutex<HashMap<Id<Node>, (Position, String)>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { wakes: Wakes::new(concerned), told: Mutex::default() }
    }
}

impl Orders {
    fn tell(&self, node: Id<Node>, at: Option<Position>, revision: &str) {
        if let Some(at) = at {
            self.told.lock().insert(node, (at, revision.to_owned()));
        }
    }
    /// Whether this revision still is what there is: nothing has concerned the node since it was read.
    fn told(&self, node: Id<Node>, at: Option<Position>, revision: Option<&str>) -> bool {
        let told = self.told.lock();
        told.get(&node).is_some_and(|(read, told)| Some(*read) == at && Some(told.as_str()) == revision)
    }
}

/// The nodes whose disks these changes are about. A row that is gone does not tell.
fn concerned(c: &mut AnyConnection, changes: &[Change]) -> Result<Concerned> {
    let rows_of =
        |path: &'static str| changes.iter().filter(move |change| change.model == path).map(|change| change.id);
    let volumes: HashSet<Id<Volume>> = rows_of(Volume::PATH).map(Id::from_uuid).collect();
    let attachments: HashSet<Id<Attachment>> = rows_of(Attachment::PATH).map(Id::from_uuid).collect();
    let (volumes, attachments) = (Vec::from_iter(volumes), Vec::from_iter(attachments));
    let (volume_rows, attachment_rows) = (
        Volume::select(c, &volumes).map_err(database_error)?,
        Attachment::select(c, &attachments).map_err(database_error)?,
    );
    if volume_rows.len() < volumes.len() || attachment_rows.len() < attachments.len() {
        return Ok(Concerned::All);
    }
    let nodes = volume_rows.iter().map(|row| row.node_id).chain(attachment_rows.iter().map(|row| row.node_id));
    Ok(Concerned::These(nodes.flatten().map(Id::uuid).collect()))
}

/// What the node has yet to do something about.
fn asked_for(rows: &OfNode) -> Vec<Uuid> {
    let volumes = rows.volumes.values().filter(|row| {
        row.meta.deleted_at.is_some() || !matches!(row.status, VolumeStatus::Available | VolumeStatus::Attached)
    });
    let attachments = rows
        .attachments
        .values()
        .filter(|row| row.meta.deleted_at.is_some() || row.status != AttachmentStatus::Attached);
    volumes.map(|row| row.id.uuid()).chain(attachments.map(|row| row.id.uuid())).collect()
}

/// The complete assignment. Its revision stands for its content, but not for who asked for that: a report that changes
/// nothing of it wakes nobody.
fn spell(rows: &OfNode, requests: BTreeMap<Uuid, String>, epoch: i64) -> Result<StorageAssignment> {
    let mut answer = StorageAssignment {
        epoch: epoch.to_string(),
        revision: String::new(),
        volumes: Vec::new(),
        attachments: rows
            .attachments
            .values()
            .map(|row| AttachmentSpec {
                id: row.id,
                volume_id: row.volume_id,
                instance_id: row.instance_id,
                detach: row.meta.deleted_at.is_some(),
            })
            .collect(),
        volume_tombstones: Vec::new(),
        requests: BTreeMap::new(),
    };
    for row in rows.volumes.values() {
        match row.meta.deleted_at {
            None => answer.volumes.push(VolumeSpec { id: row.id, size_gib: row.size_gib }),
            Some(_) => answer.volume_tombstones.push(row.id),
        }
    }
    answer.volumes.sort_by_key(|volume| volume.id);
    answer.attachments.sort_by_key(|attachment| attachment.id);
    answer.volume_tombstones.sort();
    let mut hasher = DefaultHasher::new();
    hasher.write(&serde_json::to_vec(&answer).map_err(Error::internal)?);
    answer.revision = format!("{:016x}", hasher.finish());
    answer.requests = requests;
    Ok(answer)
}

pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<StorageAssignment>(document, "/storage/v1/nodeassignment/{node}", |schema| {
        let answer =
            ResponseBuilder::new().description("What the node should have").content("application/json", schema);
        let get = operation(
            "get_storage_nodeassignment".to_owned(),
            "node",
            "What a node should have of volumes (long poll, for its agent)".to_owned(),
        );
        let (text, number) =
            (ObjectBuilder::new().schema_type(Type::String), ObjectBuilder::new().schema_type(Type::Integer));
        let get = get.parameter(query("since", text)).parameter(query("wait_ms", number.minimum(Some(0))));
        PathItem::new(HttpMethod::Get, pollable(get).response("200", answer))
    });
}

fn query(name: &str, schema: ObjectBuilder) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter.schema(Some(schema.build())).build()
}
