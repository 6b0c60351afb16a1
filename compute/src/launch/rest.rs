//! What the instances of a large plan are launched with that are still to come: kept as it was when the plan was accepted, until
//! the last of them is made or the rest is given back. Like the launch record of an instance it is no part of any model, for
//! user-data may hold secrets.

use crate::launch::references::{Launch, Referenced};
use cirro_models::{
    Error, Id, Result,
    compute::{LaunchPlan, instance::UserData},
    identity::Project,
    sql::{AnyConnection, Column, GuidValue, JsonValue, insert_many, load_json, store_json, types::Guid},
};
use cirro_server::Tx;
use diesel::{prelude::*, sql_query, sql_types as st};

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{BigInt, Guid, Json, Nullable, Text};
        plan_launch (plan_id, group_index) {
            plan_id -> Guid,
            group_index -> BigInt,
            image -> Json,
            ssh_keys -> Json,
            user_data -> Nullable<Text>,
            created_by -> Text,
        }
    }
}
use tables::plan_launch as row;

/// What a plan's instances are made with.
#[derive(Debug)]
pub(super) struct Rest {
    /// By group.
    pub(super) launches: Vec<Launch>,
    /// Who launched it, as in `created_by`.
    pub(super) by: String,
}

#[derive(QueryableByName)]
struct Plan {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
}

/// A plan that can't go on says why.
const GOING_ON: &str = "SELECT id FROM launchplan WHERE status = 'launching' AND status_reason IS NULL \
    AND id IN (SELECT plan_id FROM plan_launch) ORDER BY id LIMIT $1";

/// Image, keys, user-data, who.
type Row = (JsonValue, JsonValue, Option<String>, String);

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

impl Rest {
    /// As whoever writes has asked for.
    pub(super) fn of(tx: &Tx<'_>, referenced: &Referenced) -> Self {
        let launches = referenced.parts.iter().map(|(_, launch)| launch.clone()).collect();
        Self { launches, by: tx.by().to_owned() }
    }
    /// Keeps it.
    pub(super) fn keep(&self, c: &mut AnyConnection, plan: Id<LaunchPlan>) -> Result<()> {
        let values = (0..).zip(&self.launches).map(|(group, launch): (i64, _)| {
            (
                row::plan_id.eq(plan.store()),
                row::group_index.eq(group),
                row::image.eq(store_json(&launch.image)),
                row::ssh_keys.eq(store_json(&launch.ssh_keys)),
                row::user_data.eq(launch.user_data.as_ref().map(|data| data.expose().to_owned())),
                row::created_by.eq(&self.by),
            )
        });
        let values: Vec<_> = values.collect();
        insert_many(diesel::insert_into(row::table).values(values), c).map(drop).map_err(failed)
    }
    /// What is kept; nothing if that is not all of it.
    pub(super) fn kept(c: &mut AnyConnection, plan: &LaunchPlan) -> Result<Option<Self>> {
        let rows: Vec<Row> = row::table
            .filter(row::plan_id.eq(plan.id.store()))
            .order(row::group_index)
            .select((row::image, row::ssh_keys, row::user_data, row::created_by))
            .load(c)
            .map_err(failed)?;
        let whole = rows.len() == plan.groups.len();
        let Some(by) = rows.first().filter(|_| whole).map(|(.., by)| by.clone()) else { return Ok(None) };
        let launch = |(image, ssh_keys, user_data, _): Row| {
            let user_data = user_data.map(UserData::new);
            Ok(Launch { image: load_json(image)?, ssh_keys: load_json(ssh_keys)?, user_data })
        };
        let launches = rows.into_iter().map(launch).collect::<Result<_, String>>().map_err(Error::internal)?;
        Ok(Some(Self { launches, by }))
    }
}

/// Forgets it.
pub(super) fn forget(c: &mut AnyConnection, plan: Id<LaunchPlan>) -> Result<()> {
    diesel::delete(row::table.filter(row::plan_id.eq(plan.store()))).execute(c).map(drop).map_err(failed)
}

/// The plans that go on making instances.
pub(super) fn going_on(c: &mut AnyConnection, most: i64) -> Result<Vec<Id<LaunchPlan>>> {
    let plans: Vec<Plan> = sql_query(GOING_ON).bind::<st::BigInt, _>(most).load(c).map_err(failed)?;
    Ok(plans.into_iter().map(|plan| Id::from_uuid(plan.id.0)).collect())
}

/// The plans of a project with instances that are still to come, whether they go on or are halted.
pub(super) fn plans_in(tx: &mut Tx<'_>, project: Id<Project>) -> Result<Vec<LaunchPlan>> {
    let plans: Vec<GuidValue> =
        row::table.select(row::plan_id).distinct().order(row::plan_id).load(tx.connection()).map_err(failed)?;
    let mut found = Vec::new();
    for id in plans {
        found.extend(tx.find::<LaunchPlan>(Id::from_uuid(id.0))?.filter(|plan| plan.project_id == project));
    }
    Ok(found)
}
