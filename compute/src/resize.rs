//! A stopped instance gets another flavor, on the node where it is: quota, claim and row in one transaction. Its node
//! changes the guest before it is started again.

use crate::{
    claims,
    launch::{PLACEMENT, references::named, resize_in_quota},
    schedule::{self, Need},
};
use cirro_models::{
    Context, Error, Id, Result, Verbs,
    compute::{
        Flavor, Instance,
        instance::{InstanceStatus, Power},
    },
    identity::Project,
};
use cirro_server::Tx;
use futures_util::{TryFutureExt, try_join};

/// What a resize names.
#[derive(Debug, Clone)]
pub(crate) struct Resize {
    flavor: Flavor,
    project: Project,
}

impl Resize {
    /// Fetches what is named, if that is another flavor than it has.
    ///
    /// # Errors
    /// There is no such flavor.
    pub(crate) async fn fetch(ctx: &Context, current: &Instance, to: Option<Id<Flavor>>) -> Result<Option<Self>> {
        let Some(to) = to.filter(|to| *to != current.flavor_id) else { return Ok(None) };
        let flavor = Flavor::get(ctx, to).map_err(|error| named("flavor_id", error));
        let (flavor, project) = try_join!(flavor, Project::get(ctx, current.project_id))?;
        Ok(Some(Self { flavor, project }))
    }
    /// Lets nothing else be placed or resized until the transaction ends: to be called before the instance is read.
    pub(crate) fn begin(tx: &mut Tx<'_>) -> Result<()> {
        tx.exclusive(PLACEMENT)
    }
    /// Takes what the instance needs more, and gives back what it needs less.
    ///
    /// # Errors
    /// It is not stopped, its disk would shrink, or node or quota have too little.
    pub(crate) fn take(&self, tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
        let (name, from, to) = (instance.name.as_str(), size_of(instance), self.size());
        if instance.status != InstanceStatus::Stopped || instance.power != Power::Stopped {
            return Err(Error::conflict(format!(
                "instance {name} is {}, and only a stopped one is resized: stop it first (`cirro instance stop {name} --wait`)",
                instance.status
            )));
        }
        if to.disk_gib < from.disk_gib {
            return Err(Error::invalid(
                "flavor_id",
                format!(
                    "flavor {} has a disk of {}, and {name} has one of {}, which can only grow: use a flavor with at least that",
                    self.flavor.name, to.disk_gib, from.disk_gib
                ),
            ));
        }
        let nodes = claims::candidates(tx)?;
        let node = nodes.iter().find(|node| Some(node.id) == instance.node_id);
        let node = node
            .ok_or_else(|| Error::conflict(format!("instance {name} has no node yet: resize it when it is there")))?;
        schedule::require_growth(name, &from, &to, node)?;
        resize_in_quota(tx, &self.project, &from, &to)?;
        claims::resize(tx.connection(), instance.id, &to)
    }
    /// The row as it is with the new size.
    pub(crate) fn apply(&self, instance: &mut Instance) {
        let to = self.size();
        (instance.vcpus, instance.memory_mib, instance.disk_gib) = (to.vcpus, to.memory_mib, to.disk_gib);
    }
    fn size(&self) -> Need {
        Need { vcpus: self.flavor.vcpus, memory_mib: self.flavor.memory_mib, disk_gib: self.flavor.disk_gib }
    }
}

fn size_of(instance: &Instance) -> Need {
    Need { vcpus: instance.vcpus, memory_mib: instance.memory_mib, disk_gib: instance.disk_gib }
}
