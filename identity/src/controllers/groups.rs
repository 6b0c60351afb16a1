//! Groups and who is in them: putting somebody into a group is granting, and takes what granting takes.

use crate::{
    controllers::{MANY, keep_an_operator},
    signer::Signer,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Id, Principal, Result,
    identity::{
        Grant, Group, GroupMember, User,
        grant::GrantFilter,
        group::{GroupPatch, NewGroup},
        group_member::{GroupMemberFilter, NewGroupMember},
    },
};
use cirro_server::{Controller, OwnerContext, Tx};
use std::collections::BTreeSet;

/// The most people in a group: all of them are revoked in one transaction.
const MEMBERS: i64 = 1000;
/// The most groups of a person: each is looked up when they log in.
pub(crate) const GROUPS: i64 = 100;

pub(crate) struct Groups;
pub(crate) struct GroupMembers;

/// Lets nobody else change who is in the group or what it was granted before this transaction ends, and says whether
/// there is such a group.
pub(crate) fn hold(tx: &mut Tx<'_>, group: Id<Group>) -> Result<bool> {
    tx.exclusive(crate::signer::lock_of(&format!("group:{group}")))?;
    Ok(tx.find::<Group>(group)?.is_some())
}

/// Who is in a group.
pub(crate) fn members(tx: &mut Tx<'_>, group: Id<Group>) -> Result<Vec<GroupMember>> {
    tx.list(&GroupMemberFilter { group_id: Some(group), ..GroupMemberFilter::default() }, MEMBERS)
}

/// The names under which these people hold tokens.
pub(crate) fn subjects(members: &[GroupMember]) -> BTreeSet<String> {
    members.iter().map(|member| Principal::User(member.user_id).to_string()).collect()
}

#[async_trait]
impl Controller<Group> for Groups {
    async fn create(&self, ctx: &Context, draft: Group, _: NewGroup) -> Result<Created<Group>> {
        ctx.require_unscoped()?;
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: Group,
        patch: GroupPatch,
        version: Option<Generation>,
    ) -> Result<Group> {
        ctx.require_unscoped()?;
        ctx.write(move |tx| tx.patch(current.id, patch.clone(), version)).await
    }

    async fn delete(&self, ctx: &Context, current: Group) -> Result<Deleted<Group>> {
        ctx.require_unscoped()?;
        let signer = ctx.stores().part::<Signer>()?;
        let (kept, group) = (signer.clone(), current.id);
        let delete = move |tx: &mut Tx<'_>| {
            keep_an_operator(tx, |tx| {
                hold(tx, group)?;
                let members = members(tx, group)?;
                let ended = kept.revoke(tx, &subjects(&members))?;
                for grant in tx.list::<Grant>(&GrantFilter { group_id: Some(group), ..GrantFilter::default() }, MANY)? {
                    tx.remove(&grant)?;
                }
                members.iter().try_for_each(|member| tx.remove(member))?;
                tx.remove(&current).map(|()| ended)
            })
        };
        signer.revoked(&ctx.write(delete).await?);
        Ok(Deleted::Gone)
    }
}

#[async_trait]
impl Controller<GroupMember> for GroupMembers {
    async fn create(&self, ctx: &Context, draft: GroupMember, _: NewGroupMember) -> Result<Created<GroupMember>> {
        // only an Operator comes here, who holds whatever a group may have been granted
        ctx.require_unscoped()?;
        let write = move |tx: &mut Tx<'_>| {
            if !hold(tx, draft.group_id)? {
                return Err(Error::invalid("group_id", format!("there is no group {}", draft.group_id)));
            }
            if tx.find::<User>(draft.user_id)?.is_none() {
                return Err(Error::invalid("user_id", format!("there is no user {}", draft.user_id)));
            }
            let full = |count: usize, most: i64| i64::try_from(count).is_ok_and(|count| count >= most);
            if full(members(tx, draft.group_id)?.len(), MEMBERS) {
                return Err(Error::conflict(format!("the group has {MEMBERS} members: make another one beside it")));
            }
            let own = GroupMemberFilter { user_id: Some(draft.user_id), ..GroupMemberFilter::default() };
            if full(tx.list::<GroupMember>(&own, GROUPS)?.len(), GROUPS) {
                return Err(Error::conflict(format!("this person is in {GROUPS} groups: take them out of one first")));
            }
            tx.insert(&draft).map(|()| draft.clone())
        };
        ctx.write(write).await.map(Into::into)
    }

    async fn delete(&self, ctx: &Context, current: GroupMember) -> Result<Deleted<GroupMember>> {
        ctx.require_unscoped()?;
        let signer = ctx.stores().part::<Signer>()?;
        let kept = signer.clone();
        let delete = move |tx: &mut Tx<'_>| {
            keep_an_operator(tx, |tx| {
                hold(tx, current.group_id)?;
                let ended = kept.revoke(tx, &subjects(std::slice::from_ref(&current)))?;
                tx.remove(&current).map(|()| ended)
            })
        };
        signer.revoked(&ctx.write(delete).await?);
        Ok(Deleted::Gone)
    }
}
