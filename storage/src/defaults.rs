//! What a new site has: a pool on the machine it runs on.

use cirro_models::{
    Context, GiB, Id, Model, Name, Result,
    compute::Node,
    meta::Meta,
    model::Seed,
    storage::{
        StoragePool,
        storage_pool::{NewStoragePool, StoragePoolFilter},
    },
};
use cirro_server::OwnerContext;

/// Makes the pool of a node, if it has none.
pub async fn pool(ctx: &Context, node: Id<Node>, capacity: GiB) -> Result<()> {
    let new = NewStoragePool {
        name: Name::parse(&format!("local-{}", node.uuid().simple())).map_err(cirro_models::Error::internal)?,
        kind: None,
        node_id: node,
        capacity_gib: capacity,
        accepting: None,
        labels: cirro_models::Labels::new(),
    };
    let seed =
        Seed { id: uuid::Uuid::now_v7(), project: None, user: None, meta: Meta::created(ctx.subject().principal()) };
    let draft = StoragePool::build(new, seed)?;
    ctx.write(move |tx| {
        let own = StoragePoolFilter { node_id: Some(node), ..StoragePoolFilter::default() };
        if tx.list::<StoragePool>(&own, 1)?.is_empty() { tx.insert(&draft) } else { Ok(()) }
    })
    .await
}
