//! `POST /storage/v1/nodereport/{node}`: what a node saw and did. It can touch only what is assigned to it now.

use super::{describe_path, of_node, own_node};
use crate::{
    records,
    reported::{OfNode, Step, plan},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Path, Payload},
};
use cirro_models::{
    Context, Id, Result,
    compute::Node,
    sql::AnyConnection,
    storage::{Volume, assignment::StorageReport, volume::VolumeStatus},
};
use cirro_server::{
    OwnerContext, Tx,
    http::{Caller, Failure, json, operation},
};
use std::{collections::HashMap, sync::Mutex};
use utoipa::openapi::{
    HttpMethod, OpenApi, PathItem, Required, request_body::RequestBodyBuilder, response::ResponseBuilder,
};
use uuid::Uuid;

/// The last report of each node that this process has taken. Most reports say nothing new and are not written; this keeps
/// an older one that arrives late from being news. What was written is also checked in the database, for all processes.
#[derive(Debug, Default)]
pub(crate) struct LastReports(Mutex<HashMap<Id<Node>, (Uuid, u64)>>);

impl LastReports {
    fn is_stale(&self, node: Id<Node>, report: &StorageReport) -> bool {
        let last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        last.get(&node).is_some_and(|(boot, sequence)| *boot == report.boot_id && *sequence >= report.sequence)
    }
    /// Only after the report was taken: one that failed is sent again.
    fn taken(&self, node: Id<Node>, boot: Uuid, sequence: u64) {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = last.entry(node).or_insert((boot, sequence));
        *entry = if entry.0 == boot { (boot, entry.1.max(sequence)) } else { (boot, sequence) };
    }
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodereport/{node}", web::post().to(report));
}

async fn report(
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let work = async {
        let node = own_node(&caller, &path, false)?;
        Ok((node, caller.stores().part::<LastReports>()?))
    };
    let (node, last) = work.await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    let report: StorageReport = json(&request, payload).await?;
    if !last.is_stale(node, &report) {
        let (boot, sequence) = (report.boot_id, report.sequence);
        take(&caller, node, report).await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
        last.taken(node, boot, sequence);
    }
    Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
}

/// Takes a report over: not at all if it is no news, otherwise in one transaction.
async fn take(ctx: &Context, node: Id<Node>, report: StorageReport) -> Result<()> {
    let database = ctx.database()?;
    let files = report.files.clone();
    let known = move |c: &mut AnyConnection| files.map_or(Ok(true), |files| records::has_files(c, node, &files));
    let (rows, known) = database.read(move |c| Ok((of_node(c, node)?, known(c)?))).await?;
    if known && plan(&rows, &report).is_empty() {
        return Ok(());
    }
    ctx.write(move |tx| {
        if !records::note_report(tx, node, report.boot_id, report.sequence)? {
            return Ok(());
        }
        if let Some(files) = &report.files {
            records::keep_files(tx.connection(), node, files)?;
        }
        let rows = of_node(tx.connection(), node)?;
        apply(tx, rows, &report)
    })
    .await
}

fn apply(tx: &mut Tx<'_>, mut rows: OfNode, report: &StorageReport) -> Result<()> {
    let mut gone: Vec<Volume> = Vec::new();
    for step in plan(&rows, report) {
        match step {
            Step::Volume(next) => {
                if let Some(row) = rows.volumes.get_mut(&next.id) {
                    *row = tx.change_from(row, |volume| {
                        (volume.status, volume.status_reason) = (next.status.clone(), next.status_reason.clone());
                    })?;
                }
            }
            Step::Attachment(next) => {
                if let Some(row) = rows.attachments.get_mut(&next.id) {
                    *row = tx.change_from(row, |attachment| {
                        (attachment.status, attachment.device) = (next.status.clone(), next.device.clone());
                        attachment.status_reason.clone_from(&next.status_reason);
                    })?;
                }
            }
            Step::Detached(id) => {
                // named twice in one report, it is gone by now
                let Some(attachment) = rows.attachments.remove(&id) else { continue };
                tx.remove(&attachment)?;
                if let Some(row) = rows.volumes.get_mut(&attachment.volume_id) {
                    *row = tx.change_from(row, |volume| volume.status = VolumeStatus::Available)?;
                }
            }
            Step::Gone(id) => {
                let Some(volume) = rows.volumes.remove(&id) else { continue };
                tx.remove(&volume)?;
                gone.push(volume);
            }
        }
    }
    records::refund(tx, &gone)
}

pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<StorageReport>(document, "/storage/v1/nodereport/{node}", |schema| {
        let body = RequestBodyBuilder::new().content("application/json", schema).required(Some(Required::True)).build();
        let post = operation(
            "create_storage_nodereport".to_owned(),
            "node",
            "What a node saw and did of volumes (for its agent)".to_owned(),
        );
        let taken = ResponseBuilder::new().description("Taken over");
        PathItem::new(HttpMethod::Post, post.request_body(Some(body)).response("204", taken))
    });
}
