//! Simulated machines become nodes of a site as real ones do: with a join token, their own key, and the certificate for it.
//!
//! It can be killed anywhere and begun again: who has a certificate needs nothing more, and a node that was made for a machine
//! without one lets it in again.

use super::{folder::Folder, image, off_thread};
use crate::{
    simulated::Simulation,
    site::{AUTHORITY, FIRST_ADMIN},
};
use cirro_client::{Http, Login, Session, credential::CREDENTIAL_FILE};
use cirro_identity::bootstrap::FirstAdmin;
use cirro_models::{
    Context, Error, Id, Labels, Name, Page, Result, Verbs,
    compute::{
        Node,
        node::{Accelerator, NewNode, NodeFilter, NodePatch},
    },
    identity::{JoinToken, Secret, join_token::NewJoinToken},
};
use cirro_node_agent_core::{join::join, machine::Capacity};
use std::{collections::HashMap, path::Path, sync::Arc};

/// All that is needed to join.
pub(super) struct Joining {
    session: Session,
    url: String,
    folder: Arc<Folder>,
    simulation: Simulation,
    known: HashMap<Name, Node>,
}

impl Joining {
    /// In the name of the site's first administrator, whose login is in the site's folder. Afterwards there is something to launch.
    pub(super) async fn new(data: &Path, url: &str, folder: Arc<Folder>, simulation: &Simulation) -> Result<Self> {
        let (site, whole) = (data.join("site"), data.to_owned());
        let bus = off_thread(move || crate::site::Whole::of_folder(&whole)).await?.bus;
        let bus =
            bus.ok_or_else(|| Error::invalid("data", "this site does not say where it is called: start it again"))?;
        let ca = site.join(AUTHORITY).join("ca.pem");
        let http = Arc::new(Http::new(&bus, Some(&ca))?);
        let FirstAdmin { name, password, project } = off_thread(move || first_admin(&site)).await?;
        let login = Login { name: name.to_string(), secret: password, project: Some(project.to_string()) };
        let session = Session::new(http.clone(), login);
        let ctx = session.context().await?;
        image::ensure(&ctx, &http).await?;
        let known = nodes(&ctx).await?;
        Ok(Self { session, url: url.to_owned(), folder, simulation: simulation.clone(), known })
    }
    /// The machine with this number joins, unless it has.
    pub(super) async fn one(&self, number: u32) -> Result<()> {
        let wanted = self.simulation.node(number)?;
        let known = self.known.get(&wanted.name);
        let folder = self.folder.node(number)?;
        let held = tokio::fs::try_exists(folder.join(CREDENTIAL_FILE)).await.unwrap_or(false);
        let id = match known {
            Some(node) if held => node.id,
            Some(node) if is_ours(node) => self.join(&wanted, Some(node.id), &folder).await?,
            None if !held => self.join(&wanted, None, &folder).await?,
            Some(node) => {
                let what = format!("{} is a node of this site, and no simulated one", node.name);
                return Err(Error::conflict(format!("{what}: choose other numbers with --first")));
            }
            None => {
                let what = format!("{} was forgotten by the site", wanted.name);
                return Err(Error::conflict(format!("{what}: remove {} to let it join anew", folder.display())));
            }
        };
        let labelled = |node: &Node| wanted.labels.iter().all(|label| node.meta.labels.contains_key(label.0));
        if known.is_some_and(labelled) { Ok(()) } else { self.label(id, &wanted.labels).await }
    }
    async fn join(&self, wanted: &NewNode, node: Option<Id<Node>>, folder: &Path) -> Result<Id<Node>> {
        let new = NewJoinToken {
            name: node.is_none().then(|| wanted.name.clone()),
            node_id: node,
            vcpus: None,
            memory_mib: None,
            disk_gib: None,
            expires_at: None,
            labels: Labels::default(),
        };
        let created = JoinToken::create(&self.ctx().await?, new).await?;
        let secret: &Secret =
            created.once.get("secret").ok_or_else(|| Error::internal("a join token without its secret"))?;
        let NewNode { vcpus, memory_mib, disk_gib, .. } = *wanted;
        let capacity = Capacity { vcpus, memory_mib, disk_gib };
        join(&self.url, secret, wanted.name.clone(), capacity, folder).await
    }
    async fn label(&self, id: Id<Node>, labels: &Labels) -> Result<()> {
        let labels = labels.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let patch = NodePatch { labels, ..NodePatch::default() };
        Node::update(&self.ctx().await?, id, patch).await.map(drop)
    }
    /// For one call, which may be sent again.
    async fn ctx(&self) -> Result<Context> {
        Ok(self.session.context().await?.keyed(uuid::Uuid::now_v7().to_string()))
    }
}

fn first_admin(site: &Path) -> Result<FirstAdmin> {
    let file = site.join(FIRST_ADMIN);
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::unavailable(format!("{} can't be read ({error}): nodes join by that login", file.display()))
    };
    let text = std::fs::read(&file).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

/// All nodes of the site.
async fn nodes(ctx: &Context) -> Result<HashMap<Name, Node>> {
    let (mut page, mut all) = (Page::first(Page::MAX), HashMap::new());
    loop {
        let listing = Node::list(ctx, &NodeFilter::default(), &page).await?;
        all.extend(listing.items.into_iter().map(|node| (node.name.clone(), node)));
        let Some(next) = listing.next else { return Ok(all) };
        page.after = Some(next);
    }
}

/// Whether a node can be one that was simulated before, or was made for it: a real one tells what executes its guests.
fn is_ours(node: &Node) -> bool {
    node.accelerator.as_ref().is_none_or(|accelerator| *accelerator == Accelerator::Simulated)
}
