//! Names that instances have, or that plans hold for instances that are still to come.

use super::rest;
use crate::{
    claims,
    launch::{PLACEMENT, instance_id, rows::numbered},
};
use cirro_models::{
    Error, Id, Result,
    compute::{Instance, LaunchPlan, instance::instance_rows},
    identity::Project,
    sql::Column,
};
use cirro_server::Tx;
use diesel::prelude::*;
use std::collections::BTreeMap;

/// How many names are looked up at once.
const NAMES: usize = 1000;

/// Refuses a plan whose names are not free. To be called where nothing else is placed.
pub(super) fn are_free(tx: &mut Tx<'_>, plan: &LaunchPlan) -> Result<()> {
    let names: Vec<String> = numbered(plan)
        .filter_map(|(group, number)| plan.groups[group].instance_name(number).ok())
        .map(|name| name.to_string())
        .collect();
    if let Some(told) = taken(tx, plan.project_id, &names)? {
        return Err(Error::conflict(format!("{told}: choose other names for the plan's groups")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    not_to_come(tx, plan.project_id, &names)
}

/// What instances of the project have of these names, in a sentence's part.
pub(super) fn taken(tx: &mut Tx<'_>, project: Id<Project>, names: &[String]) -> Result<Option<String>> {
    for some in names.chunks(NAMES) {
        let taken: Vec<String> = instance_rows::table
            .filter(instance_rows::project_id.eq(project.store()))
            .filter(instance_rows::deleted_at.is_null())
            .filter(instance_rows::name.eq_any(some))
            .select(instance_rows::name)
            .load(tx.connection())
            .map_err(Error::internal)?;
        if let Some(first) = taken.iter().min() {
            let more = if taken.len() == 1 { String::new() } else { format!(" (and {} more)", taken.len() - 1) };
            return Ok(Some(format!("the project has an instance {first} already{more}")));
        }
    }
    Ok(None)
}

/// Refuses a name that a plan of the project holds for an instance to come; until the transaction ends none does.
///
/// # Errors
/// A conflict that says which plan holds it.
pub(crate) fn require_not_to_come(tx: &mut Tx<'_>, project: Id<Project>, name: &str) -> Result<()> {
    tx.exclusive(PLACEMENT)?;
    not_to_come(tx, project, &[name])
}

fn not_to_come(tx: &mut Tx<'_>, project: Id<Project>, names: &[&str]) -> Result<()> {
    for plan in rest::plans_in(tx, project)? {
        let own: BTreeMap<Id<Instance>, &str> =
            names.iter().filter_map(|name| Some((called(&plan, name)?, *name))).collect();
        let ids: Vec<_> = own.keys().copied().collect();
        let held = claims::held_among(tx.connection(), plan.id, &ids)?;
        if let Some(name) = held.first().and_then(|first| own.get(first)) {
            let more = if held.len() == 1 { String::new() } else { format!(" (and {} more)", held.len() - 1) };
            return Err(Error::conflict(format!(
                "plan {} of the project is about to make an instance {name}{more}: choose another name",
                plan.name
            )));
        }
    }
    Ok(())
}

/// The id of the plan's instance with this name, if it has one, made or not.
fn called(plan: &LaunchPlan, name: &str) -> Option<Id<Instance>> {
    let mut before = 0;
    for group in &plan.groups {
        if let Some(number) = group.number_of(name) {
            return Some(instance_id(plan.id, usize::try_from(before + number - 1).ok()?));
        }
        before += group.count.get();
    }
    None
}
