//! What a new site has: a few flavors, and the node of the machine it runs on.

use cirro_models::{
    Context, Error, GiB, Id, Labels, MiB, Model, Name, Result, Vcpus,
    compute::{
        Flavor, Node,
        flavor::{FlavorFilter, NewFlavor},
        node::{NewNode, NodeFilter},
    },
    meta::Meta,
    model::Seed,
};
use cirro_server::OwnerContext;

/// Only one process makes the flavors.
const LOCK: i64 = 0x666c_6176_6f72;
/// name, virtual processors, memory in MiB, disk in GiB
const FLAVORS: &[(&str, i64, i64, i64)] =
    &[("tiny", 1, 96, 1), ("small", 1, 192, 2), ("medium", 2, 2048, 20), ("large", 4, 8192, 80)];

fn seed(ctx: &Context) -> Seed {
    Seed { id: uuid::Uuid::now_v7(), project: None, user: None, meta: Meta::created(ctx.subject().principal()) }
}

/// Makes the default flavors, if there is none at all.
pub async fn flavors(ctx: &Context) -> Result<()> {
    let made: Vec<Flavor> = FLAVORS
        .iter()
        .map(|(name, vcpus, memory, disk)| {
            let new = NewFlavor {
                name: name.parse()?,
                vcpus: Vcpus::new(*vcpus),
                memory_mib: MiB::new(*memory),
                disk_gib: GiB::new(*disk),
                labels: Labels::default(),
            };
            Flavor::build(new, seed(ctx))
        })
        .collect::<Result<_>>()?;
    ctx.write(move |tx| {
        tx.exclusive(LOCK)?;
        if tx.list::<Flavor>(&FlavorFilter::default(), 1)?.is_empty() { tx.insert_all(&made) } else { Ok(()) }
    })
    .await
}

/// The node with this name, made with this capacity if there is none.
pub async fn node(ctx: &Context, name: Name, vcpus: Vcpus, memory_mib: MiB, disk_gib: GiB) -> Result<Id<Node>> {
    let new = NewNode { name, vcpus, memory_mib, disk_gib, mode: None, labels: Labels::default() };
    let made = nodes(ctx, vec![new]).await?;
    made.into_iter().next().ok_or_else(|| Error::internal("one node makes one id"))
}

/// The nodes with these names, each made as it is described if there is none. All in one transaction.
pub async fn nodes(ctx: &Context, all: Vec<NewNode>) -> Result<Vec<Id<Node>>> {
    let drafts: Vec<Node> = all.into_iter().map(|new| Node::build(new, seed(ctx))).collect::<Result<_>>()?;
    ctx.write(move |tx| {
        let mut ids = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let named = NodeFilter { name: Some(draft.name.clone()), ..NodeFilter::default() };
            let known = tx.list::<Node>(&named, 1)?.first().map(|known| known.id);
            if known.is_none() {
                tx.insert(draft)?;
            }
            ids.push(known.unwrap_or(draft.id));
        }
        Ok(ids)
    })
    .await
}
