//! Things done once to an instance.

use async_trait::async_trait;
use cirro_models::{
    Context, Created, Error, Result,
    compute::{
        Instance, InstanceAction,
        instance::InstanceStatus,
        instance_action::{ActionStatus, InstanceActionFilter, NewInstanceAction},
    },
};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct InstanceActions;

#[async_trait]
impl Controller<InstanceAction> for InstanceActions {
    async fn create(
        &self,
        ctx: &Context,
        mut draft: InstanceAction,
        _: NewInstanceAction,
    ) -> Result<Created<InstanceAction>> {
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            let instance: Instance = tx.get(draft.instance_id)?;
            if instance.project_id != draft.project_id {
                return Err(Error::not_found("instance", draft.instance_id));
            }
            instance.require_live()?;
            if instance.status != InstanceStatus::Running {
                return Err(Error::conflict(format!(
                    "instance {} is {}: only a running one can be made to {}",
                    instance.name, instance.status, draft.kind
                )));
            }
            let open = InstanceActionFilter {
                instance_id: Some(instance.id),
                status: Some(ActionStatus::Pending),
                ..InstanceActionFilter::default()
            };
            if let Some(other) = tx.list::<InstanceAction>(&open, 1)?.first() {
                return Err(Error::conflict(format!(
                    "instance {} is already asked to {}: wait for it",
                    instance.name, other.kind
                )));
            }
            draft.node_id = instance.node_id;
            tx.insert(&draft).map(|()| draft.clone())
        };
        ctx.write(write).await.map(Into::into)
    }
}
