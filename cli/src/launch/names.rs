//! The names of a launch file become ids, each distinct one looked up once.

use crate::{failure::Failure, launch::file::LaunchFile, nouns::Noun, quantity, resolve, site::Site};
use cirro_models::{
    Id, Timestamp,
    compute::{
        launch_group::{LaunchGroup, Template},
        launch_plan::{NewLaunchPlan, PlanIntent},
    },
};
use std::collections::BTreeMap;

/// What the API takes.
///
/// # Errors
/// The name that nothing, or more than one thing, has.
pub(super) async fn request(site: &Site, file: LaunchFile, intent: PlanIntent) -> Result<NewLaunchPlan, Failure> {
    let Some(name) = file.plan_name() else {
        return Err(Failure::usage("the launch file has no groups: give at least one"));
    };
    let (mut flavors, mut images, mut keys) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut groups = Vec::with_capacity(file.groups.len());
    for group in file.groups {
        let mut ssh_key_ids = Vec::with_capacity(group.ssh_keys.len());
        for key in group.ssh_keys {
            ssh_key_ids.push(once(site, &mut keys, key).await?);
        }
        let template = Template {
            flavor_id: once(site, &mut flavors, group.flavor).await?,
            image_id: once(site, &mut images, group.image).await?,
            ssh_key_ids,
            on_node_loss: group.on_node_loss.clone(),
        };
        groups.push(LaunchGroup { name: group.name, count: group.count, template, labels: group.labels });
    }
    let lease = file.expires_in.as_deref().map(quantity::duration).transpose().map_err(Failure::usage)?;
    let after = |lease: std::time::Duration| i64::try_from(lease.as_secs()).unwrap_or(i64::MAX);
    Ok(NewLaunchPlan {
        name,
        groups,
        relationships: Some(file.relationships).filter(|relationships| !relationships.is_empty()),
        policy: file.policy,
        all_or_nothing: file.all_or_nothing,
        max_failures: file.max_failures,
        max_in_flight: file.max_in_flight,
        expires_at: lease.map(|lease| Timestamp::now().plus_seconds(after(lease))),
        intent: Some(intent),
        user_data: file.user_data,
        labels: file.labels,
    })
}

async fn once<M: Noun>(site: &Site, known: &mut BTreeMap<String, Id<M>>, given: String) -> Result<Id<M>, Failure> {
    if let Some(id) = known.get(&given) {
        return Ok(*id);
    }
    let id = resolve::id(site, &given).await?;
    known.insert(given, id);
    Ok(id)
}
