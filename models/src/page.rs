//! Lists come in pages, in the order of ids, stable while rows are added.

use crate::{error::Error, id::Id};
use serde::{Deserialize, Serialize};

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// At most this many items; see [`Page::MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Page {
    /// The most items of one page.
    pub const MAX: i64 = 1000;
    /// The items of a page whose limit is not given.
    pub const DEFAULT: i64 = 100;

    /// The first page with at most this many items.
    pub fn first(limit: i64) -> Self {
        Self { limit: Some(limit), after: None }
    }
    /// How many items, checked.
    pub fn limit(&self) -> Result<i64, Error> {
        match self.limit.unwrap_or(Self::DEFAULT) {
            limit @ 1..=Self::MAX => Ok(limit),
            other => Err(Error::invalid("limit", format!("{other} is out of range: give 1 to {}", Self::MAX))),
        }
    }
    /// The id after which the page begins.
    pub fn after<M>(&self) -> Result<Option<Id<M>>, Error> {
        let parse = |s: &String| {
            s.parse().map_err(|_| Error::invalid("after", "give the `next` of the page before, unchanged"))
        };
        self.after.as_ref().map(parse).transpose()
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<M> {
    /// The rows, in the order of their ids.
    pub items: Vec<M>,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What `get_many` answers: rows, and ids that are unreadable or missing (which look alike).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch<M> {
    /// The rows that were found, in the order asked for.
    pub items: Vec<M>,
    /// The ids that were not.
    pub missing: Vec<String>,
}
