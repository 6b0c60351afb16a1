//! What was done, as each service remembers it: not a model, because nobody writes it and nothing changes it.

use crate::{Id, Timestamp, error::Error, identity::project::Project};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::ToSchema;
use uuid::Uuid;

/// One request that has changed something, or that was refused for want of a right. It holds neither what was sent nor
/// what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its id.
    pub id: Uuid,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it, such as `user:0197…` or `service:compute`.
    pub principal: String,
    /// The project that they worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Id<Project>>,
    /// `create`, `update` or `delete`.
    pub operation: String,
    /// The path of the model.
    pub model: String,
    /// The row that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<Uuid>,
    /// Finds the request in all logs.
    pub request_id: String,
    /// What was answered, as an HTTP status; 403 is a refusal.
    pub status: i64,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditFilter {
    /// From this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Done by this principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Done in this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Id<Project>>,
    /// To rows of this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// To this row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<Uuid>,
}

/// A place in the order of records: the moment, and the id among those of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPlace {
    /// Microseconds after 1970.
    pub at_us: i64,
    /// The record.
    pub id: Uuid,
}

impl std::fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{}", self.at_us, self.id.simple())
    }
}
impl FromStr for AuditPlace {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let read =
            |(at, id): (&str, &str)| Some(Self { at_us: i64::from_str_radix(at, 16).ok()?, id: id.parse().ok()? });
        let place = text.split_once('.').and_then(read);
        place.ok_or_else(|| Error::invalid("after", "give the `next` of the page before, unchanged"))
    }
}
