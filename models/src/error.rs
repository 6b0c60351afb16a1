//! One closed list of errors, the same beside a database and at the far end of an HTTP call.

use std::sync::Arc;

/// What a verb answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, as a caller may see it. Each sentence names the thing and the remedy; the cause of an
/// internal error is kept for the log of the process where it happened and never crosses the wire.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request can't be read at all: no JSON, a broken header.
    #[error("{detail}")]
    Malformed {
        /// What is wrong and what to send instead.
        detail: String,
    },
    /// A field's value can't be used.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field, as a path such as `instances[3].template.name`.
        field: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// The body is larger than accepted.
    #[error("{detail}")]
    TooLarge {
        /// The limit, and what to do.
        detail: String,
    },
    /// Who asks could not be told.
    #[error("{detail}")]
    Unauthenticated {
        /// What is wrong with the proof, and how to get a new one.
        detail: String,
    },
    /// Who asks may not do this.
    #[error("{detail}")]
    Forbidden {
        /// What was asked, and which right it takes.
        detail: String,
    },
    /// No such thing, or none that the caller may know of.
    #[error("{kind} {id} was not found: it does not exist, was deleted, or belongs to a project that you can't read")]
    NotFound {
        /// The model's path, such as `instance`.
        kind: String,
        /// The id or name that was asked for.
        id: String,
    },
    /// It contradicts something that exists or happens now.
    #[error("{detail}")]
    Conflict {
        /// What contradicts what, and what to do.
        detail: String,
    },
    /// The row has changed since the caller read it.
    #[error(
        "{kind} {id} has changed since you read it (it is now at version {version}): read it again and repeat the change"
    )]
    Stale {
        /// The model's path.
        kind: String,
        /// The row's id.
        id: String,
        /// The version that is stored now.
        version: i64,
    },
    /// The position of a feed reader is older than what is kept.
    #[error("{detail}")]
    Gone {
        /// What to do instead.
        detail: String,
    },
    /// The project has no more of this.
    #[error(
        "the project's quota of {resource} is used up: {used} of {limit} in use, {asked} more asked for; delete something or ask an operator to raise the limit"
    )]
    Quota {
        /// What there is too little of, such as `vcpus`.
        resource: String,
        /// How much the project may have.
        limit: i64,
        /// How much it has.
        used: i64,
        /// How much was asked for on top.
        asked: i64,
    },
    /// No node has room.
    #[error("{detail}")]
    NoCapacity {
        /// What could not be placed, and the nearest fix.
        detail: String,
        /// Why, a sentence for each kind of refusal with its count.
        reasons: Vec<String>,
    },
    /// The caller asks too often.
    #[error("{detail}")]
    TooManyRequests {
        /// Which limit was met.
        detail: String,
        /// Seconds to wait before the next try.
        retry_after_s: u32,
    },
    /// Something that is needed can't be reached just now.
    #[error("{detail}")]
    Unavailable {
        /// What can't be reached, and what to look at.
        detail: String,
        /// Seconds to wait before the next try.
        retry_after_s: u32,
    },
    /// The deadline of the request has passed.
    #[error("{detail}")]
    DeadlineExceeded {
        /// What was not finished in time.
        detail: String,
    },
    /// A fault of Cirro.
    #[error("an internal error happened; it is in the service's log under this request's id")]
    Internal {
        /// What failed, for the log only.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A field that can't be used, and why.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), detail: detail.into() }
    }
    /// A contradiction, in one sentence with its remedy.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into() }
    }
    /// A missing right, in one sentence that names it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::Forbidden { detail: detail.into() }
    }
    /// A missing or broken proof of identity.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::Unauthenticated { detail: detail.into() }
    }
    /// Something that can't be reached now; worth another try after a second.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), retry_after_s: 1 }
    }
    /// No such row.
    #[allow(clippy::needless_pass_by_value, reason = "callers give ids, names and texts, borrowed or not")]
    pub fn not_found(kind: impl Into<String>, id: impl ToString) -> Self {
        Self::NotFound { kind: kind.into(), id: id.to_string() }
    }
    /// A fault of our own, with its cause for the log.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal { source: Arc::from(source.into()) }
    }
    /// Whether another try of an idempotent call may go better.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TooManyRequests { .. })
    }
    /// Whether this says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
    /// The same as an outsider may see it: the cause of an internal error is cut off.
    #[must_use]
    pub fn without_source(self) -> Self {
        match self {
            Self::Internal { .. } => Self::internal("the cause is in the owner's log"),
            other => other,
        }
    }
}
