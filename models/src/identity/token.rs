//! What `POST /identity/v1/token` takes and answers.

use crate::{
    Id, Role, Timestamp,
    identity::{project::Project, secret::Secret},
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// How the caller proves who they are is in the `Authorization` header (Basic with a user's name and password, or with
/// a key's id and secret; Bearer with a key's secret) or in `refresh`; the body says what the token should be good for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The project to work in, by name or id; without it the user's only project, if there is just one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What an earlier answer gave, instead of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Secret>,
    /// Where the key was shown, as the service tells that hands it on; nobody else may say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<IpAddr>,
}

/// A token with what it is good for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Goes into `Authorization: Bearer`.
    pub token: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Gets the next token without a password, once; only after a login by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Secret>,
    /// Who it names, such as `user:0197…`.
    pub subject: String,
    /// The project it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Id<Project>>,
    /// The role there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it also carries the site's Operator role.
    pub operator: bool,
}
