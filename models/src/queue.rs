//! A service's work queue as Operators see it: not a model, because every service has one and nobody creates its rows.

use crate::{Id, Timestamp, choice, identity::project::Project};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

choice! {
    /// How far a job is.
    pub enum JobState {
        /// It is run as soon as its time has come and a worker is free.
        Waiting = "waiting",
        /// A worker has it under a lease.
        Running = "running",
        /// Its effect is there. It is forgotten after a day.
        Done = "done",
        /// It failed too often, and stays until an Operator requeues or drops it.
        Dead = "dead",
    }
}

/// Deferred work of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuedJob {
    /// Its id.
    pub id: Uuid,
    /// What is to be done, such as `remove-image`.
    pub kind: String,
    /// To what: ids, never secrets.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// How far it is.
    pub state: JobState,
    /// The project in which its cause was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Id<Project>>,
    /// The request that was its cause: finds its whole story in all logs.
    pub request_id: String,
    /// How often a worker has taken it since it was enqueued or requeued.
    pub attempts: i64,
    /// Why it failed the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When its cause was committed.
    pub enqueued_at: Timestamp,
    /// From when it may be taken, or until when it is leased.
    pub due_at: Timestamp,
    /// When it was done or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// Which jobs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFilter {
    /// Those that are so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Those of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// What an Operator may change of a job: a dead one is requeued by making it `waiting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobPatch {
    /// `waiting`.
    pub state: JobState,
}
