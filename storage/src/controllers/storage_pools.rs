//! Pools: one for each node's directory, and none goes while volumes lie in it.

use super::named;
use crate::records;
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, GiB, Result, Verbs,
    compute::Node,
    storage::{
        StoragePool,
        storage_pool::{NewStoragePool, StoragePoolFilter, StoragePoolPatch},
    },
};
use cirro_server::{Controller, OwnerContext};

/// The operations on [`StoragePool`].
pub(crate) struct StoragePools;

#[async_trait]
impl Controller<StoragePool> for StoragePools {
    async fn create(&self, ctx: &Context, draft: StoragePool, _: NewStoragePool) -> Result<Created<StoragePool>> {
        require_size(draft.capacity_gib)?;
        Node::get(ctx, draft.node_id).await.map_err(|error| named("node_id", error))?;
        ctx.write(move |tx| {
            let of_node = StoragePoolFilter { node_id: Some(draft.node_id), ..StoragePoolFilter::default() };
            if let Some(pool) = tx.list::<StoragePool>(&of_node, 1)?.pop() {
                return Err(Error::conflict(format!(
                    "node {} has the storage pool {} ({}) already and its directory is one: change the capacity of that pool",
                    draft.node_id, pool.name, pool.id
                )));
            }
            tx.insert(&draft).map(|()| draft.clone().into())
        })
        .await
    }

    async fn update(
        &self,
        ctx: &Context,
        current: StoragePool,
        patch: StoragePoolPatch,
        version: Option<Generation>,
    ) -> Result<StoragePool> {
        let id = current.id;
        if let Some(capacity) = patch.capacity_gib {
            require_size(capacity)?;
        }
        ctx.write(move |tx| {
            let capacity = patch.capacity_gib.filter(|capacity| *capacity < current.capacity_gib);
            if let Some(capacity) = capacity {
                records::lock_pools(tx.connection())?;
                let taken = records::taken(tx.connection())?.get(&id).copied().unwrap_or_default();
                if capacity.get() < taken {
                    return Err(Error::conflict(format!(
                        "storage pool {} ({id}) holds volumes of {taken} GiB: give it a capacity of at least that, or delete volumes first",
                        current.name
                    )));
                }
            }
            tx.patch(id, patch.clone(), version)
        })
        .await
    }

    async fn delete(&self, ctx: &Context, current: StoragePool) -> Result<Deleted<StoragePool>> {
        ctx.write(move |tx| {
            let pool: StoragePool = tx.get(current.id)?;
            let taken = records::taken(tx.connection())?.get(&pool.id).copied().unwrap_or_default();
            if taken > 0 {
                return Err(Error::conflict(format!(
                    "storage pool {} ({}) still holds volumes of {taken} GiB: set `accepting` to false, delete the volumes, then the pool",
                    pool.name, pool.id
                )));
            }
            tx.remove(&pool).map(|()| Deleted::Gone)
        })
        .await
    }
}

fn require_size(capacity: GiB) -> Result<()> {
    if capacity.get() == 0 {
        return Err(Error::invalid("capacity_gib", "a pool without room takes no volume: give at least 1"));
    }
    Ok(())
}
