//! User-data of plans that are not launched yet: it may hold secrets, so it is no part of the plan.

use crate::launch::Referenced;
use cirro_models::{
    Error, Id, Result,
    compute::{LaunchPlan, instance::UserData, launch_plan::PlanStatus},
    sql::Column,
};
use cirro_server::Tx;
use diesel::prelude::*;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, Text};
        plan_secret (plan_id) { plan_id -> Guid, user_data -> Text, }
    }
}
use tables::plan_secret as row;

/// Keeps it for a plan that may still launch; what is launched has it with its instances.
pub(crate) fn keep_user_data(tx: &mut Tx<'_>, plan: &LaunchPlan, data: Option<&UserData>) -> Result<()> {
    let Some(data) = data.filter(|_| matches!(plan.status, PlanStatus::Previewed | PlanStatus::Held)) else {
        return Ok(());
    };
    let values = (row::plan_id.eq(plan.id.store()), row::user_data.eq(data.expose()));
    diesel::insert_into(row::table).values(values).execute(tx.connection()).map(drop).map_err(Error::internal)
}

/// Hands it over to the plan's groups.
pub(crate) fn add_user_data(tx: &mut Tx<'_>, plan: Id<LaunchPlan>, referenced: &mut Referenced) -> Result<()> {
    let found = row::table.find(plan.store()).select(row::user_data);
    let found: Option<String> = found.first(tx.connection()).optional().map_err(Error::internal)?;
    for (_, launch) in &mut referenced.parts {
        launch.user_data = found.clone().map(UserData::new);
    }
    Ok(())
}

/// Forgets it.
pub(crate) fn forget_user_data(tx: &mut Tx<'_>, plan: Id<LaunchPlan>) -> Result<()> {
    diesel::delete(row::table.find(plan.store())).execute(tx.connection()).map(drop).map_err(Error::internal)
}
