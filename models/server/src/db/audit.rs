//! Reading the notes of requests: what was done, by whom, when.
//!
//! A range of the past has to be complete: nothing may appear in it later. So the moment up to which is read is taken
//! first, and then everything is waited for that may be about to be committed with an earlier one.

use crate::db::{Database, database_error, tables::request};
use cirro_models::{
    Error, Id, Listing, Page, Result, Subject, Timestamp,
    audit::{AuditFilter, AuditPlace, AuditRecord},
    sql::{AnyConnection, Column, GuidValue, MultiBackend},
};
use diesel::{prelude::*, sql_query, sql_types as st};
use std::time::Duration;

/// How long is waited for what is just being written.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often PostgreSQL is asked whether that has ended.
const LOOK: Duration = Duration::from_millis(10);

const PG_MOMENT: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS n";
/// A new transaction's number: all that has begun to write has a lower one.
const PG_BOUNDARY: &str = "SELECT pg_current_xact_id()::text::bigint AS n";
const PG_OLDEST: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS n";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = st::BigInt)]
    n: i64,
}

fn number(c: &mut AnyConnection, query: &str) -> Result<i64> {
    sql_query(query).get_result(c).map(|row: Number| row.n).map_err(database_error)
}

/// The records that meet the filter, oldest first.
pub(crate) async fn list(
    database: &Database,
    by: &Subject,
    filter: AuditFilter,
    page: &Page,
) -> Result<Listing<AuditRecord>> {
    let (limit, after) = (page.limit()?, page.after.as_deref().map(str::parse::<AuditPlace>).transpose()?);
    let end = settled(database, by).await?;
    let mut items = database.read(move |c| read(c, &filter, after, end, limit + 1)).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let place = |last: &AuditRecord| AuditPlace { at_us: last.at.micros(), id: last.id }.to_string();
    let next = items.last().filter(|_| more).map(place);
    Ok(Listing { items, next })
}

/// A moment before which nothing will appear any more.
async fn settled(database: &Database, by: &Subject) -> Result<i64> {
    if database.is_exclusive() {
        // whatever is written before this is committed when it is
        return database.write(by, None, |_| Ok(Timestamp::now().micros())).await;
    }
    let (moment, boundary) = database.read(|c| Ok((number(c, PG_MOMENT)?, number(c, PG_BOUNDARY)?))).await?;
    let began = tokio::time::Instant::now();
    while database.read(|c| number(c, PG_OLDEST)).await? < boundary {
        if began.elapsed() > PATIENCE {
            return Err(Error::unavailable(
                "something is being written for a long time, and the list would not be complete: try again",
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(moment)
}

type Row = (GuidValue, i64, String, Option<GuidValue>, String, String, Option<GuidValue>, String, i64);

fn read(
    c: &mut AnyConnection,
    filter: &AuditFilter,
    after: Option<AuditPlace>,
    end: i64,
    limit: i64,
) -> Result<Vec<AuditRecord>> {
    let end = filter.until.map_or(end, |until| until.micros().min(end));
    let mut query = request::table
        .select((
            request::id,
            request::at,
            request::principal,
            request::project_id,
            request::operation,
            request::model,
            request::subject_id,
            request::request_id,
            request::status,
        ))
        .filter(request::at.lt(end))
        .order_by((request::at.asc(), request::id.asc()))
        .limit(limit)
        .into_boxed::<MultiBackend>();
    if let Some(since) = filter.since {
        query = query.filter(request::at.ge(since.micros()));
    }
    if let Some(AuditPlace { at_us, id }) = after {
        let later = request::at.eq(at_us).and(request::id.gt(GuidValue(id)));
        query = query.filter(request::at.gt(at_us).or(later));
    }
    if let Some(principal) = &filter.principal {
        query = query.filter(request::principal.eq(principal.clone()));
    }
    if let Some(project) = filter.project_id {
        query = query.filter(request::project_id.eq(project.store()));
    }
    if let Some(model) = &filter.model {
        query = query.filter(request::model.eq(model.clone()));
    }
    if let Some(subject) = filter.subject_id {
        query = query.filter(request::subject_id.eq(GuidValue(subject)));
    }
    let rows: Vec<Row> = query.load(c).map_err(database_error)?;
    Ok(rows.into_iter().map(record).collect())
}

fn record((id, at, principal, project, operation, model, subject, request_id, status): Row) -> AuditRecord {
    AuditRecord {
        id: id.0,
        at: Timestamp::from_micros(at),
        principal,
        project_id: project.map(|project| Id::from_uuid(project.0)),
        operation,
        model,
        subject_id: subject.map(|subject| subject.0),
        request_id,
        status,
    }
}
