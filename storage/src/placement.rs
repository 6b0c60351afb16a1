//! Which pool a new volume goes to.

use crate::records;
use cirro_models::{
    Error, GiB, Result,
    storage::{StoragePool, storage_pool::StoragePoolFilter},
};
use cirro_server::Tx;

/// More pools than a site has: one for each node.
const MANY: i64 = 100_000;

/// A pool with what volumes leave free of it, in GiB.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Room {
    pub(crate) pool: StoragePool,
    pub(crate) free: i64,
}

/// Chooses the pool in the transaction that makes the volume: nobody else can take the room meanwhile.
pub(crate) fn place(tx: &mut Tx<'_>, size: GiB) -> Result<StoragePool> {
    records::lock_pools(tx.connection())?;
    let taken = records::taken(tx.connection())?;
    let pools: Vec<StoragePool> = tx.list(&StoragePoolFilter::default(), MANY)?;
    let room = |pool: StoragePool| Room {
        free: pool.capacity_gib.get() - taken.get(&pool.id).copied().unwrap_or_default(),
        pool,
    };
    choose(pools.into_iter().map(room).collect(), size)
}

/// The accepting pool with the most room, so that pools fill evenly; or why there is none.
fn choose(rooms: Vec<Room>, size: GiB) -> Result<StoragePool> {
    let all = rooms.len();
    let mut open: Vec<Room> =
        rooms.into_iter().filter(|room| room.pool.accepting && room.pool.meta.deleted_at.is_none()).collect();
    let closed = all - open.len();
    let full = open.len();
    open.retain(|room| room.free >= size.get());
    let best = open.into_iter().max_by_key(|room| (room.free, std::cmp::Reverse(room.pool.id)));
    best.map(|room| room.pool).ok_or_else(|| refusal(size, closed, full))
}

fn refusal(size: GiB, closed: usize, full: usize) -> Error {
    let detail = match (closed, full) {
        (0, 0) => format!(
            "this site has no storage pool, so there is no place for a volume of {size}: an operator must create one"
        ),
        (_, 0) => format!(
            "no storage pool takes new volumes just now, so there is no place for one of {size}: ask an operator"
        ),
        _ => format!(
            "no storage pool has room for a volume of {size}: make it smaller, delete volumes, or ask an operator for more room"
        ),
    };
    let reasons = [(full, "too little room"), (closed, "no new volumes accepted")];
    let reasons =
        reasons.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{why}: {count} pools"));
    Error::NoCapacity { detail, reasons: reasons.collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
    use super::*;
    use cirro_models::{Id, Meta, storage::storage_pool::PoolKind};

    fn room(name: &str, free: i64, accepting: bool) -> Room {
        let pool = StoragePool {
            id: Id::new(),
            name: name.parse().unwrap(),
            kind: PoolKind::Directory,
            node_id: Id::new(),
            capacity_gib: GiB::new(100),
            accepting,
            meta: Meta::created("user:test"),
        };
        Room { pool, free }
    }

    #[test]
    fn the_roomiest_accepting_pool_is_chosen() {
        let rooms = || vec![room("a", 5, true), room("b", 20, true), room("c", 90, false), room("d", 20, true)];
        assert_eq!(choose(rooms(), GiB::new(20)).unwrap().name.as_str(), "b", "the older of equals");
        assert_eq!(choose(rooms(), GiB::new(1)).unwrap().name.as_str(), "b");
        let Error::NoCapacity { detail, reasons } = choose(rooms(), GiB::new(21)).unwrap_err() else {
            panic!("another error")
        };
        assert!(detail.contains("21 GiB") && detail.contains("smaller"), "{detail}");
        assert_eq!(reasons, ["too little room: 3 pools", "no new volumes accepted: 1 pools"]);
    }

    #[test]
    fn a_refusal_names_the_nearest_fix() {
        let detail = |rooms| choose(rooms, GiB::new(1)).unwrap_err().to_string();
        assert!(detail(vec![]).contains("an operator must create one"));
        assert!(detail(vec![room("a", 5, false)]).contains("takes new volumes just now"));
        assert!(detail(vec![room("a", -5, true)]).contains("has room"));
    }
}
