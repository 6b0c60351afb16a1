//! Requests for many instances at once.

use crate::{
    Count, Error, Generation, Id, Meta, Model, Name, Result, Timestamp, choice,
    compute::{
        instance::UserData,
        launch_group::{LaunchGroup, MOST, MOST_GROUPS, MOST_RELATIONSHIPS, Relationship},
        placement::{Outlook, PlacementPolicy, Progress},
    },
    identity::Project,
};
use std::collections::BTreeSet;

choice! {
    /// What its owner wants of a plan.
    pub enum PlanIntent {
        /// Only to see what it would do.
        Preview = "preview",
        /// Its room is kept for ten minutes.
        Hold = "hold",
        /// Its instances are launched.
        Launch = "launch",
        /// What it made is removed again, but for instances that somebody has changed since.
        Undo = "undo",
    }
}

choice! {
    /// What a plan is doing.
    pub enum PlanStatus {
        /// It shows what it would do, and has taken nothing.
        Previewed = "previewed",
        /// Its room is kept until `held_until`.
        Held = "held",
        /// Its room was kept, and nobody launched it in time.
        Expired = "expired",
        /// Its instances are on their way.
        Launching = "launching",
        /// All that it could launch has come to rest; `progress` tells how.
        Launched = "launched",
        /// So many instances have failed that no more are begun, or it met a name that an instance has already.
        Halted = "halted",
        /// What it made is being removed.
        Undoing = "undoing",
        /// What it made is removed, but for what was kept.
        Undone = "undone",
    }
}

/// A request for many instances and their relationships. Its status counts how far it is.
#[derive(Model)]
#[model(service = Compute, path = "launchplan", scope = Project, unique(project_id, name), accepted)]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
#[model(input(user_data: Option<UserData>, create))]
pub struct LaunchPlan {
    /// Its id.
    pub id: Id<LaunchPlan>,
    /// The project that it belongs to.
    #[model(filter)]
    pub project_id: Id<Project>,
    /// What people call it.
    #[model(create, filter)]
    pub name: Name,
    /// What is launched.
    #[model(create, json)]
    pub groups: Vec<LaunchGroup>,
    /// How the groups' instances stand to each other.
    #[model(create, json)]
    pub relationships: Option<Vec<Relationship>>,
    /// Which of the nodes that have room is taken.
    #[model(create, default = PlacementPolicy::Spread)]
    pub policy: PlacementPolicy,
    /// Whether nothing is launched unless all can be; if not, as many as can be.
    #[model(create, default = true)]
    pub all_or_nothing: bool,
    /// No more are begun once this many have failed.
    #[model(create)]
    pub max_failures: Option<Count>,
    /// How many may be on their way at a time.
    #[model(create)]
    pub max_in_flight: Option<Count>,
    /// When its instances are removed again.
    #[model(create, update)]
    pub expires_at: Option<Timestamp>,
    /// What its owner wants of it.
    #[model(create, update, desired, default = PlanIntent::Launch)]
    pub intent: PlanIntent,
    /// Counts changes of that.
    #[model(generation)]
    pub generation: Generation,
    /// What it is doing.
    #[model(system, filter, default = PlanStatus::Previewed)]
    pub status: PlanStatus,
    /// What there is to say of that, in a sentence.
    #[model(system)]
    pub status_reason: Option<String>,
    /// Until when its room is kept.
    #[model(system)]
    pub held_until: Option<Timestamp>,
    /// What it does, or would do.
    #[model(system, json)]
    pub outlook: Option<Outlook>,
    /// How far it is.
    #[model(system, json)]
    pub progress: Option<Progress>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

impl LaunchPlan {
    /// How many instances it asks for.
    pub fn count(&self) -> i64 {
        self.groups.iter().map(|group| group.count.get()).sum()
    }
    /// Refuses a request that contradicts itself, whatever nodes there are.
    ///
    /// # Errors
    /// The field, and the groups by name.
    pub fn check(&self) -> Result<()> {
        if self.groups.is_empty() || self.groups.len() > MOST_GROUPS {
            let what = format!("the plan has {} groups: give 1 to {MOST_GROUPS}", self.groups.len());
            return Err(Error::invalid("groups", what));
        }
        if self.count() > MOST {
            let what =
                format!("the plan asks for {} instances: one plan has at most {MOST}; use several", self.count());
            return Err(Error::invalid("groups", what));
        }
        let mut names = BTreeSet::new();
        for group in &self.groups {
            if !names.insert(group.name.as_str()) {
                let what = format!("two groups are named {}: their instances' names would collide", group.name);
                return Err(Error::invalid("groups", what));
            }
        }
        let relationships = self.relationships.as_deref().unwrap_or_default();
        if relationships.len() > MOST_RELATIONSHIPS {
            let what = format!("there are {} relationships: use at most {MOST_RELATIONSHIPS}", relationships.len());
            return Err(Error::invalid("relationships", what));
        }
        for named in relationships.iter().flat_map(|relationship| &relationship.groups) {
            if !names.contains(named.as_str()) {
                let what = format!("a relationship names the group {named}, which the plan does not have");
                return Err(Error::invalid("relationships", what));
            }
        }
        Ok(())
    }
}
