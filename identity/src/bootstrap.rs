//! The first start of a site: its first administrator and project; and the credentials of nodes.

use crate::{password, records};
use cirro_models::{
    Context, Error, Id, Labels, Model, Name, Principal, Result, Role, Timestamp,
    compute::Node,
    identity::{
        Grant, Project, Secret, User,
        grant::NewGrant,
        project::NewProject,
        user::{NewUser, UserFilter},
    },
    meta::Meta,
    model::Seed,
};
use cirro_server::{OwnerContext, Tx};
use serde::{Deserialize, Serialize};

/// Only one process makes the first administrator.
const LOCK: i64 = 0x6669_7273_7400;

/// How the first administrator logs in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FirstAdmin {
    /// Their name.
    pub name: Name,
    /// Their password, generated.
    pub password: Secret,
    /// The first project.
    pub project: Name,
}

impl FirstAdmin {
    /// A new one with a generated password. Keep it where its owner finds it *before* it is made real by [`first_start`]:
    /// nobody can be told later.
    pub fn generate() -> Result<Self> {
        Ok(Self { name: "admin".parse()?, password: password::random_secret()?, project: "default".parse()? })
    }
}

/// Whether the site has no user yet.
pub async fn is_first_start(ctx: &Context) -> Result<bool> {
    ctx.write(|tx| Ok(tx.list::<User>(&UserFilter::default(), 1)?.is_empty())).await
}

/// Makes the first administrator, an Operator of the site, and the first project; does nothing when there is a user.
pub async fn first_start(ctx: &Context, admin: FirstAdmin) -> Result<bool> {
    let hash = password::hash(admin.password).await?;
    let by = ctx.subject().principal().clone();
    let (name, project) = (admin.name, admin.project);
    ctx.write(move |tx| {
        tx.exclusive(LOCK)?;
        if !tx.list::<User>(&UserFilter::default(), 1)?.is_empty() {
            return Ok(false);
        }
        let seed = || Seed { id: uuid::Uuid::now_v7(), project: None, user: None, meta: Meta::created(&by) };
        let new =
            NewUser { name: name.clone(), full_name: None, enabled: None, password: None, labels: Labels::default() };
        let user = User::build(new, seed())?;
        let new = NewProject {
            name: project.clone(),
            description: Some("The site's first project".to_owned()),
            max_instances: None,
            max_vcpus: None,
            max_memory_mib: None,
            max_volumes: None,
            max_volume_gib: None,
            max_image_gib: None,
            labels: Labels::default(),
        };
        let project = Project::build(new, seed())?;
        tx.insert(&user)?;
        tx.insert(&project)?;
        records::set_password(tx.connection(), user.id, &hash)?;
        for (project_id, role) in [(None, Role::Operator), (Some(project.id), Role::Admin)] {
            let new = NewGrant { user_id: Some(user.id), group_id: None, project_id, role, labels: Labels::default() };
            tx.insert(&Grant::build(new, seed())?)?;
        }
        Ok(true)
    })
    .await
}

/// Gives a node a new credential; an earlier one ends.
pub async fn node_credential(ctx: &Context, node: Id<Node>) -> Result<Secret> {
    let made = node_credentials(ctx, &[node]).await?;
    made.into_iter().next().ok_or_else(|| Error::internal("one node makes one credential"))
}

/// Gives each of these nodes a new credential, in one transaction; earlier ones end.
pub async fn node_credentials(ctx: &Context, nodes: &[Id<Node>]) -> Result<Vec<Secret>> {
    let secrets: Vec<Secret> = nodes.iter().map(|_| password::random_secret()).collect::<Result<_>>()?;
    let owners = nodes.iter().map(|node| Principal::Node(*node).to_string());
    let kept: Vec<(String, Secret)> = owners.zip(secrets.iter().cloned()).collect();
    let never = Timestamp::now().plus_seconds(100 * 365 * 24 * 3600);
    let keep = move |tx: &mut Tx<'_>| {
        kept.iter().try_for_each(|(owner, secret)| records::set_secret(tx.connection(), owner, secret, never))
    };
    ctx.write(keep).await?;
    Ok(secrets)
}
