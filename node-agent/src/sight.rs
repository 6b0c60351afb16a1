//! How an instance is seen, before it is told.

use cirro_models::{
    Generation, Id,
    compute::{Instance, instance::InstanceStatus, report::InstanceSeen},
};
use std::borrow::Cow;

/// What is to be told of an instance. It borrows its words: most of what is seen was told before, and is never copied.
#[derive(Debug)]
pub struct Sight<'a> {
    /// The instance.
    pub id: Id<Instance>,
    /// The generation of desire that was acted on.
    pub observed_generation: Generation,
    /// What it is doing.
    pub status: InstanceStatus,
    /// Why, if there is more to say.
    pub reason: Option<Cow<'a, str>>,
    /// The address that the guest has got.
    pub address: Option<&'a str>,
    /// The guest switched itself off.
    pub powered_off_itself: bool,
}

impl Sight<'_> {
    /// Whether this was told.
    pub fn is(&self, told: &InstanceSeen) -> bool {
        // taken apart, so that no field that is added is forgotten here
        let InstanceSeen { id, observed_generation, status, reason, address, powered_off_itself } = told;
        self.id == *id
            && self.observed_generation == *observed_generation
            && self.status == *status
            && self.reason.as_deref() == reason.as_deref()
            && self.address == address.as_deref()
            && self.powered_off_itself == *powered_off_itself
    }
}

impl From<Sight<'_>> for InstanceSeen {
    fn from(sight: Sight<'_>) -> Self {
        Self {
            id: sight.id,
            observed_generation: sight.observed_generation,
            status: sight.status,
            reason: sight.reason.map(Cow::into_owned),
            address: sight.address.map(str::to_owned),
            powered_off_itself: sight.powered_off_itself,
        }
    }
}
