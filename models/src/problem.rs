//! Errors on the wire: `application/problem+json` (RFC 9457), and back.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What every problem's `type` begins with; the rest names the kind and never changes.
pub const TYPE_PREFIX: &str = "urn:cirro:problem:";

/// An error as the API answers it (RFC 9457 §3), with the members that the kinds of error add.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:cirro:problem:not-found`.
    #[serde(rename = "type")]
    pub kind_of_problem: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened to which thing, and what to do next.
    pub detail: String,
    /// Finds this request in the logs of all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The field that can't be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The kind of thing that was not found or has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The version that is stored now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The resource whose quota is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The quota's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// How much of it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
    /// How much was asked for on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// Why nothing could be placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Seconds to wait before the next try; also sent as `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// The stable name, title and status of each kind of error: the one place that knows status codes.
fn describe(error: &Error) -> (&'static str, &'static str, u16) {
    match error {
        Error::Malformed { .. } => ("malformed", "The request can't be read", 400),
        Error::Unauthenticated { .. } => ("unauthenticated", "Who asks is not known", 401),
        Error::Forbidden { .. } => ("forbidden", "Not allowed", 403),
        Error::NotFound { .. } => ("not-found", "Not found", 404),
        Error::Conflict { .. } => ("conflict", "Conflict", 409),
        Error::Quota { .. } => ("quota-exceeded", "Quota exceeded", 409),
        Error::NoCapacity { .. } => ("no-capacity", "No capacity", 409),
        Error::Gone { .. } => ("gone", "No longer kept", 410),
        Error::Stale { .. } => ("stale", "Changed meanwhile", 412),
        Error::TooLarge { .. } => ("too-large", "Too large", 413),
        Error::Invalid { .. } => ("invalid", "A value can't be used", 422),
        Error::TooManyRequests { .. } => ("too-many-requests", "Too many requests", 429),
        Error::Internal { .. } => ("internal", "Internal error", 500),
        Error::Unavailable { .. } => ("unavailable", "Unavailable", 503),
        Error::DeadlineExceeded { .. } => ("deadline-exceeded", "Deadline exceeded", 504),
    }
}

/// Every kind of problem with its title and status, for documentation and tests.
pub const KINDS: &[(&str, u16)] = &[
    ("malformed", 400),
    ("unauthenticated", 401),
    ("forbidden", 403),
    ("not-found", 404),
    ("conflict", 409),
    ("quota-exceeded", 409),
    ("no-capacity", 409),
    ("gone", 410),
    ("stale", 412),
    ("too-large", 413),
    ("invalid", 422),
    ("too-many-requests", 429),
    ("internal", 500),
    ("unavailable", 503),
    ("deadline-exceeded", 504),
];

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let (name, title, status) = describe(error);
        let mut problem = Self {
            kind_of_problem: format!("{TYPE_PREFIX}{name}"),
            title: title.to_owned(),
            status,
            detail: error.to_string(),
            ..Self::default()
        };
        match error.clone() {
            Error::Invalid { field, detail } => (problem.field, problem.detail) = (Some(field), detail),
            Error::NotFound { kind, id } => (problem.kind, problem.id) = (Some(kind), Some(id)),
            Error::Stale { kind, id, version } => {
                (problem.kind, problem.id, problem.version) = (Some(kind), Some(id), Some(version));
            }
            Error::Quota { resource, limit, used, asked } => {
                problem.resource = Some(resource);
                (problem.limit, problem.used, problem.asked) = (Some(limit), Some(used), Some(asked));
            }
            Error::NoCapacity { reasons, .. } => problem.reasons = reasons,
            Error::TooManyRequests { retry_after_s, .. } | Error::Unavailable { retry_after_s, .. } => {
                problem.retry_after_s = Some(retry_after_s);
            }
            _ => {}
        }
        problem
    }
}

impl From<Problem> for Error {
    /// The error that the other side had: a remote `NotFound` *is* a local `NotFound`.
    fn from(p: Problem) -> Self {
        let detail = p.detail;
        match p.kind_of_problem.strip_prefix(TYPE_PREFIX).unwrap_or_default() {
            "malformed" => Self::Malformed { detail },
            "unauthenticated" => Self::Unauthenticated { detail },
            "forbidden" => Self::Forbidden { detail },
            "not-found" => Self::NotFound { kind: p.kind.unwrap_or_default(), id: p.id.unwrap_or_default() },
            "conflict" => Self::Conflict { detail },
            "quota-exceeded" => Self::Quota {
                resource: p.resource.unwrap_or_default(),
                limit: p.limit.unwrap_or_default(),
                used: p.used.unwrap_or_default(),
                asked: p.asked.unwrap_or_default(),
            },
            "no-capacity" => Self::NoCapacity { detail, reasons: p.reasons },
            "gone" => Self::Gone { detail },
            "stale" => Self::Stale {
                kind: p.kind.unwrap_or_default(),
                id: p.id.unwrap_or_default(),
                version: p.version.unwrap_or_default(),
            },
            "too-large" => Self::TooLarge { detail },
            "invalid" => Self::Invalid { field: p.field.unwrap_or_default(), detail },
            "too-many-requests" => Self::TooManyRequests { detail, retry_after_s: p.retry_after_s.unwrap_or(1) },
            "unavailable" => Self::Unavailable { detail, retry_after_s: p.retry_after_s.unwrap_or(1) },
            "deadline-exceeded" => Self::DeadlineExceeded { detail },
            _ => Self::internal(format!("the owner answered {}: {detail}", p.status)),
        }
    }
}
