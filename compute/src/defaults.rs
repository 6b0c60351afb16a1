//! What a new site has: a few flavors, and the node of the machine it runs on.

use cirro_models::{
    Context, GiB, Id, Labels, MiB, Model, Name, Result, Vcpus,
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
    let new = NewNode { name: name.clone(), vcpus, memory_mib, disk_gib, schedulable: None, labels: Labels::default() };
    let draft = Node::build(new, seed(ctx))?;
    ctx.write(move |tx| {
        let named = NodeFilter { name: Some(name.clone()), ..NodeFilter::default() };
        if let Some(known) = tx.list::<Node>(&named, 1)?.first() {
            return Ok(known.id);
        }
        tx.insert(&draft).map(|()| draft.id)
    })
    .await
}
