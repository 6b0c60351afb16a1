//! `cirro quota`: what a project may have, and how much of it is taken. Limits are the project's, at identity; each
//! other service tells what its own models take.

use crate::{
    failure::Failure,
    nouns::project::{count, vcpus},
    out, quantity,
    site::Site,
    table,
    verbs::{Key, update},
};
use cirro_models::{
    Context, Count, Error, GiB, Id, MiB, Service, Vcpus,
    choice::Choice,
    identity::{Project, Quota, Resource, Share, project::ProjectPatch},
};
use clap::{Args, Subcommand};
use futures_util::future::try_join_all;
use serde_json::Value;

/// The services whose models take something.
const SERVICES: [Service; 3] = [Service::Compute, Service::Storage, Service::Images];

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what a project may have, what of it is used, and what is reserved: held by plans, or for uploads under way
    Show,
    /// Change limits of a project; what is there stays, also above a limit
    Set(Set),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// New limits: instances, vcpus and volumes are numbers; memory, volume-size and image-size sizes such as 200GiB
    #[arg(value_name = "RESOURCE=LIMIT", required = true, value_parser = limit)]
    limits: Vec<Limit>,
    #[command(flatten)]
    key: Key,
}

/// A new limit.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Instances(Count),
    Vcpus(Vcpus),
    Memory(MiB),
    Volumes(Count),
    VolumeSize(GiB),
    ImageSize(GiB),
}

fn limit(text: &str) -> Result<Limit, String> {
    let (resource, limit) = text.split_once('=').ok_or("give it as resource=limit, such as instances=50")?;
    match resource {
        "instances" => count(limit).map(Limit::Instances),
        "vcpus" => vcpus(limit).map(Limit::Vcpus),
        "memory" => quantity::memory(limit).map(Limit::Memory),
        "volumes" => count(limit).map(Limit::Volumes),
        "volume-size" => quantity::disk(limit).map(Limit::VolumeSize),
        "image-size" => quantity::disk(limit).map(Limit::ImageSize),
        _ => Err("the resources are instances, vcpus, memory, volumes, volume-size and image-size".to_owned()),
    }
}

/// What people call a resource: the words that [`limit`] takes.
fn word(resource: &Resource) -> &str {
    match resource {
        Resource::MemoryMib => "memory",
        Resource::VolumeGib => "volume-size",
        Resource::ImageBytes => "image-size",
        other => other.word(),
    }
}

/// An amount of a resource, for people.
fn amount(resource: &Resource, amount: i64) -> String {
    let unit = match resource {
        Resource::MemoryMib => 1 << 20,
        Resource::VolumeGib => 1 << 30,
        Resource::ImageBytes => 1,
        _ => return amount.to_string(),
    };
    quantity::bytes(amount.saturating_mul(unit))
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let project = site.own_project().await?.ok_or_else(|| {
            Failure::usage(
                "your login is for no project: say which one is meant with --project (see `cirro project list`)",
            )
        })?;
        if let Self::Set(set) = self {
            update::<Project>(site, project, set.patch(), &set.key).await?;
        }
        let quota = quota(site, project).await?;
        quota.items.iter().filter_map(above).for_each(|sentence| out::note(&sentence));
        if site.is_json() {
            return out::json(&serde_json::to_value(&quota).map_err(Error::internal)?);
        }
        out::text(&shown(&quota))
    }
}

impl Set {
    fn patch(&self) -> ProjectPatch {
        let mut patch = ProjectPatch::default();
        for limit in &self.limits {
            match *limit {
                Limit::Instances(most) => patch.max_instances = Some(most),
                Limit::Vcpus(most) => patch.max_vcpus = Some(most),
                Limit::Memory(most) => patch.max_memory_mib = Some(most),
                Limit::Volumes(most) => patch.max_volumes = Some(most),
                Limit::VolumeSize(most) => patch.max_volume_gib = Some(most),
                Limit::ImageSize(most) => patch.max_image_gib = Some(most),
            }
        }
        patch
    }
}

/// What each service tells, put together.
async fn quota(site: &Site, project: Id<Project>) -> Result<Quota, Failure> {
    let asked = |ctx: Context| async move {
        try_join_all(SERVICES.map(|service| {
            let (ctx, path) = (ctx.clone(), format!("/{}/v1/quota/{project}", service.name()));
            async move { site.http().json::<Quota>(&ctx, "GET", &path, None::<&Value>).await }
        }))
        .await
    };
    let told = site.call(None, asked).await?.value;
    Ok(Quota { project_id: project, items: told.into_iter().flat_map(|quota| quota.items).collect() })
}

fn shown(quota: &Quota) -> String {
    let row = |share: &Share| {
        let numbers = [share.limit, share.used, share.reserved, share.free()];
        let numbers = numbers.map(|number| amount(&share.resource, number));
        [word(&share.resource).to_owned()].into_iter().chain(numbers).collect()
    };
    table::plain(Some(vec!["RESOURCE", "LIMIT", "USED", "RESERVED", "FREE"]), quota.items.iter().map(row))
}

/// Says that a limit is below what is taken.
fn above(share: &Share) -> Option<String> {
    let taken = share.used.saturating_add(share.reserved);
    (taken > share.limit).then(|| {
        let (what, of) = (word(&share.resource), |number| amount(&share.resource, number));
        format!(
            "{what}: {} are taken, and the limit is {}: what is there stays, and nothing more fits until some of it is deleted",
            of(taken),
            of(share.limit)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(resource: Resource, limit: i64, used: i64, reserved: i64) -> Share {
        Share { resource, limit, used, reserved }
    }

    #[test]
    fn a_table_in_peoples_units() {
        let items = vec![
            share(Resource::Instances, 2000, 12, 100),
            share(Resource::MemoryMib, 200 << 10, 1536, 0),
            share(Resource::VolumeGib, 10, 20, 0),
            share(Resource::ImageBytes, 500 << 30, 300_000_000, 1 << 20),
        ];
        insta::assert_snapshot!(shown(&Quota { project_id: Id::new(), items }));
    }

    #[test]
    fn only_a_limit_that_is_exceeded_is_spoken_of() {
        assert_eq!(above(&share(Resource::Instances, 12, 10, 2)), None);
        let said = above(&share(Resource::MemoryMib, 1024, 1024, 512)).unwrap_or_default();
        assert!(said.starts_with("memory: 1.5 GiB are taken, and the limit is 1.0 GiB"), "{said}");
    }

    #[test]
    fn limits_are_understood_or_explained() {
        for good in ["instances=0", "vcpus=12", "memory=1TiB", "volumes=3", "volume-size=10GiB", "image-size=1TiB"] {
            assert!(limit(good).is_ok(), "{good}");
        }
        for wrong in ["instances", "instances=", "instances=-1", "cores=3", "memory=200", "volume-size=1MiB"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
