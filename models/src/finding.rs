//! What the audit of a site finds: things without an owner, and books that do not agree with what they count.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A kind of finding. The services declare theirs beside how they find it; `docs/audit.md` lists all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The service and a name, such as `compute.claim-without-instance`. It never changes its meaning.
    pub code: &'static str,
    /// What sort of thing it is about, such as `claim`.
    pub thing: &'static str,
    /// What is wrong with the thing, in a sentence's part.
    pub means: &'static str,
    /// What to do, in a sentence's part.
    pub remedy: &'static str,
}

impl Kind {
    /// One of this kind: the thing, another that it has to do with, and what there is to say besides.
    pub fn found(&self, id: Uuid, other: Option<Uuid>, told: Option<&str>) -> Finding {
        let means = self.means;
        Finding {
            code: self.code.to_owned(),
            thing: self.thing.to_owned(),
            id,
            other_id: other,
            detail: told.map_or_else(|| means.to_owned(), |told| format!("{means} ({told})")),
            remedy: self.remedy.to_owned(),
        }
    }
}

/// A thing without an owner, or one that does not agree with what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Of which kind it is: stable, for scripts; `docs/audit.md` lists all.
    pub code: String,
    /// What sort of thing it is about, such as `claim`.
    pub thing: String,
    /// Its id; a claim has its instance's, and usage its project's.
    pub id: Uuid,
    /// The thing that it has to do with, such as its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_id: Option<Uuid>,
    /// What is wrong with it.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
}

/// Answer of `GET /<service>/v1/audit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// What was found, by code.
    pub items: Vec<Finding>,
    /// The codes of which there is more than is listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
}
