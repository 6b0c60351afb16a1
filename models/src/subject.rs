//! Who asks.

use crate::{
    Id, Role, Timestamp,
    compute::node::Node,
    identity::{api_key::ApiKey, project::Project, user::User},
};
use std::{fmt, str::FromStr};

/// Somebody or something that can prove who it is. How it is proven (password, key, certificate) is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A person.
    User(Id<User>),
    /// A script that a person gave a key.
    ApiKey(Id<ApiKey>, Id<User>),
    /// A machine that runs guests.
    Node(Id<Node>),
    /// One of the four services, for its own work.
    Service(&'static str),
    /// Nobody in particular: what a caller holds who has not been verified here.
    Bearer,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::ApiKey(key, user) => write!(f, "key:{key}:{user}"),
            Self::Node(id) => write!(f, "node:{id}"),
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Bearer => f.write_str("bearer"),
        }
    }
}

impl FromStr for Principal {
    type Err = ();
    /// Reads what a token names; a service is never named by a token of another process.
    fn from_str(s: &str) -> Result<Self, ()> {
        let mut parts = s.split(':');
        let (kind, first, second) = (parts.next(), parts.next().ok_or(())?, parts.next());
        match (kind, second) {
            (Some("user"), None) => Ok(Self::User(first.parse().map_err(|_| ())?)),
            (Some("node"), None) => Ok(Self::Node(first.parse().map_err(|_| ())?)),
            (Some("key"), Some(user)) => {
                Ok(Self::ApiKey(first.parse().map_err(|_| ())?, user.parse().map_err(|_| ())?))
            }
            _ => Err(()),
        }
    }
}

/// A principal with the rights that it has proven: what every permission is decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    principal: Principal,
    project: Option<(Id<Project>, Role)>,
    operator: bool,
    scoped: bool,
    expires_at: Option<Timestamp>,
}

impl Subject {
    /// What a client is until a service has verified its token: it reaches nothing here.
    pub(crate) fn bearer() -> Self {
        Self { principal: Principal::Bearer, project: None, operator: false, scoped: false, expires_at: None }
    }
    /// A subject whose proof was checked. Only the server side of Cirro can make one.
    #[cfg(feature = "sql")]
    pub fn verified(
        principal: Principal,
        project: Option<(Id<Project>, Role)>,
        operator: bool,
        scoped: bool,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self { principal, project, operator, scoped, expires_at }
    }
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
    /// The user behind it, also behind a key.
    pub fn user(&self) -> Option<Id<User>> {
        match self.principal {
            Principal::User(id) | Principal::ApiKey(_, id) => Some(id),
            _ => None,
        }
    }
    /// The node that it is.
    pub fn node(&self) -> Option<Id<Node>> {
        match self.principal {
            Principal::Node(id) => Some(id),
            _ => None,
        }
    }
    /// Whether it is a service doing its own work.
    pub fn is_service(&self) -> bool {
        matches!(self.principal, Principal::Service(_))
    }
    /// Whether it runs the site.
    pub fn is_operator(&self) -> bool {
        self.operator
    }
    /// Whether it is a key with a scope of its own: it makes no keys, grants or users.
    pub fn is_scoped(&self) -> bool {
        self.scoped
    }
    /// The project that it works in, and its role there.
    pub fn project_role(&self) -> Option<(Id<Project>, &Role)> {
        self.project.as_ref().map(|(id, role)| (*id, role))
    }
    /// The project that it works in.
    pub fn project(&self) -> Option<Id<Project>> {
        self.project.as_ref().map(|(id, _)| *id)
    }
    /// When its proof ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}
