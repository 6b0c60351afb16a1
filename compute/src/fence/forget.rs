//! What becomes of what a node held that is gone for ever.

use super::job::may_move;
use crate::{claims, controllers::remove_row, launch::elsewhere, records};
use cirro_models::{
    Id, Result,
    compute::{Instance, Node, UnclaimedGuest, instance::InstanceFilter, unclaimed_guest::UnclaimedGuestFilter},
};
use cirro_server::Tx;

/// More than one node ever holds.
const MANY: i64 = 100_000;

/// Nothing of a node is left: what may be is recreated elsewhere, the rest has failed, and what was being deleted is gone. Room
/// there of what has not begun stays taken until its turn comes, or until the plan that holds it is looked at or expires.
pub(crate) fn forget(tx: &mut Tx<'_>, node: &Node, epoch: i64, used: &[Id<Instance>]) -> Result<()> {
    let here = InstanceFilter { node_id: Some(node.id), ..InstanceFilter::default() };
    for instance in tx.list::<Instance>(&here, MANY)? {
        if instance.meta.deleted_at.is_some() {
            records::forget(tx.connection(), instance.id)?;
            remove_row(tx, &instance)?;
        } else if may_move(&instance) && !used.contains(&instance.id) {
            elsewhere::lose(tx, &instance, node, epoch)?;
        } else {
            claims::remove(tx.connection(), instance.id)?;
            elsewhere::end(tx, &instance, node)?;
        }
    }
    for instance in elsewhere::leaving(tx, node.id)? {
        claims::remove(tx.connection(), instance.id)?;
        // one that was to be deleted has nothing to wait for
        if instance.meta.deleted_at.is_some() {
            records::forget(tx.connection(), instance.id)?;
            remove_row(tx, &instance)?;
        }
    }
    let unclaimed = UnclaimedGuestFilter { node_id: Some(node.id), ..UnclaimedGuestFilter::default() };
    for guest in tx.list::<UnclaimedGuest>(&unclaimed, MANY)? {
        tx.remove(&guest)?;
    }
    records::forget_tombstones(tx.connection(), node.id)
}
