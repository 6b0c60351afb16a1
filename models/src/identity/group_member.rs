//! Who is in which group.

use crate::{
    Id, Meta, Model,
    identity::{group::Group, user::User},
};

/// Somebody's place in a group. Removing it ends what they had from the group at once.
#[derive(Model)]
#[model(service = Identity, path = "groupmember", scope = Own(user_id), unique(group_id, user_id))]
#[model(create = Operator, read = Anyone, update = Nobody, delete = Operator)]
pub struct GroupMember {
    /// Its id.
    pub id: Id<GroupMember>,
    /// The group.
    #[model(create, filter)]
    pub group_id: Id<Group>,
    /// Who is in it.
    #[model(create, filter)]
    pub user_id: Id<User>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
