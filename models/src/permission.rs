//! Who may do what: roles, the permission table of a model, and how far a subject reaches into its rows.

use crate::{
    Id, Service, choice,
    identity::project::Project,
    subject::{Principal, Subject},
};
use uuid::Uuid;

choice! {
    /// What a grant gives, in a project or (Operator only) on the site. Each role includes those before it.
    pub enum Role {
        /// Reads everything in the project.
        Viewer = "viewer",
        /// Creates, changes and deletes things in the project.
        Member = "member",
        /// Also grants roles in the project.
        Admin = "admin",
        /// Runs the site.
        Operator = "operator",
    }
}

impl Role {
    /// Higher includes lower; an unknown role gives nothing.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Unknown(_) => 0,
            Self::Viewer => 1,
            Self::Member => 2,
            Self::Admin => 3,
            Self::Operator => 4,
        }
    }
}

/// What an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nobody may, not even an Operator: services only.
    Nobody,
    /// Every user who has proven who they are.
    Anyone,
    /// At least this role in the project.
    Viewer,
    /// At least this role in the project.
    Member,
    /// At least this role in the project.
    Admin,
    /// An Operator of the site.
    Operator,
}

/// The permission table of a model: what each operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// To create one.
    pub create: Right,
    /// To get, list and watch.
    pub read: Right,
    /// To update and save.
    pub update: Right,
    /// To delete.
    pub delete: Right,
    /// What the other services may do for their own work; without a name, each of them.
    pub services: &'static [(Operation, Option<Service>)],
}

/// An operation of the permission table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Create one.
    Create,
    /// Get, list and watch.
    Read,
    /// Update and save.
    Update,
    /// Delete.
    Delete,
}

impl Rights {
    /// Whether another service than the owner may do this for its own work.
    fn of_service(&self, operation: Operation, service: &str) -> bool {
        let named = |who: &Option<Service>| who.is_none_or(|who| who.name() == service);
        self.services.iter().any(|(what, who)| *what == operation && named(who))
    }
    /// What this operation takes.
    pub const fn of(&self, operation: Operation) -> Right {
        match operation {
            Operation::Create => self.create,
            Operation::Read => self.read,
            Operation::Update => self.update,
            Operation::Delete => self.delete,
        }
    }
}

/// To whom the rows of a model belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To the site.
    Site,
    /// To the project in `project_id`.
    Project,
    /// To the project in `project_id`; rows marked public are read by all.
    ProjectOrPublic,
    /// To one user.
    Own,
}

/// Which rows a subject reaches: one value that is a predicate on a row and the WHERE clause of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No row.
    Nothing,
    /// Every row.
    All,
    /// The rows of one project.
    Project(Id<Project>),
    /// The rows of one project, and public ones.
    ProjectOrPublic(Id<Project>),
    /// Public rows only.
    Public,
    /// The rows of one user.
    Own(Uuid),
    /// The rows that are assigned to one node now.
    Node(Uuid),
}

/// How far `subject` reaches into the rows of a model with this owner, scope and table.
///
/// `node_field` says whether the model names the node that a row is assigned to: a node reads those and nothing else.
pub fn reach(
    subject: &Subject,
    owner: Service,
    scope: Scope,
    rights: &Rights,
    operation: Operation,
    node_field: bool,
) -> Reach {
    let right = rights.of(operation);
    match subject.principal() {
        Principal::Service(name) if *name == owner.name() || rights.of_service(operation, name) => return Reach::All,
        Principal::Bearer | Principal::Service(_) => return Reach::Nothing,
        _ => {}
    }
    if let Some(node) = subject.node() {
        let readable = node_field && operation == Operation::Read;
        return if readable { Reach::Node(node.uuid()) } else { Reach::Nothing };
    }
    if right == Right::Nobody {
        return Reach::Nothing;
    }
    if subject.is_operator() {
        return Reach::All;
    }
    let public = scope == Scope::ProjectOrPublic && operation == Operation::Read;
    let needed = match right {
        Right::Nobody | Right::Operator => return if public { Reach::Public } else { Reach::Nothing },
        Right::Anyone => 0,
        Right::Viewer => 1,
        Right::Member => 2,
        Right::Admin => 3,
    };
    let held = subject.project_role().filter(|(_, role)| role.rank() >= needed).map(|(project, _)| project);
    match (scope, held) {
        (Scope::Site, _) if needed == 0 => Reach::All,
        (Scope::Site, Some(_)) => Reach::All,
        (Scope::Own, held) if needed == 0 || held.is_some() => {
            subject.user().map_or(Reach::Nothing, |user| Reach::Own(user.uuid()))
        }
        (Scope::ProjectOrPublic, Some(project)) if public => Reach::ProjectOrPublic(project),
        (Scope::ProjectOrPublic, None) if public => Reach::Public,
        (Scope::Project | Scope::ProjectOrPublic, Some(project)) => Reach::Project(project),
        _ => Reach::Nothing,
    }
}
