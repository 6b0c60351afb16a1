//! What was answered, in a form in which two runs can be compared: ids by the order in which they appeared, no times.

use crate::models::{Badge, Boat, Chart, Harbour, Voyage};
use cirro_models::{Created, Deleted, Error, Listing, Model, Result, feed::Changes, problem::Problem};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Everything that was answered, in order.
#[derive(Default)]
pub(crate) struct Recording {
    lines: Vec<(String, String)>,
    names: HashMap<String, String>,
}

/// An answer as JSON.
pub(crate) trait Shown {
    fn shown(&self) -> Value;
}

fn row<M: Model>(row: &M) -> Value {
    serde_json::to_value(row).unwrap()
}
// a blanket over all models would overlap with the lists of them
macro_rules! shown {
    ($($model:ty),*) => { $(impl Shown for $model {
        fn shown(&self) -> Value {
            row(self)
        }
    })* };
}
shown!(Harbour, Boat, Chart, Badge, Voyage);
impl<M: Model> Shown for Vec<M> {
    fn shown(&self) -> Value {
        self.iter().map(row).collect()
    }
}
impl<M: Model> Shown for Listing<M> {
    fn shown(&self) -> Value {
        json!({ "items": self.items.iter().map(row).collect::<Value>(), "next": self.next })
    }
}
impl<M: Model> Shown for Created<M> {
    fn shown(&self) -> Value {
        let once: Vec<_> = self.once.iter().map(|(field, secret)| json!({ field: secret.expose() })).collect();
        json!({ "model": row(&self.model), "once": once })
    }
}
impl<M: Model> Shown for Deleted<M> {
    fn shown(&self) -> Value {
        match self {
            Self::Gone => json!("gone"),
            Self::Begun(model) => json!({ "begun": row(model) }),
        }
    }
}
impl Shown for Changes {
    /// Positions differ between databases; what they promise is tested with the feed.
    fn shown(&self) -> Value {
        let entry = |c: &cirro_models::feed::Change| json!({ "model": c.model, "id": c.id, "version": c.version, "project": c.project_id, "kind": c.kind });
        self.items.iter().map(entry).collect()
    }
}

/// An error field by field; that of an internal error is only that it is one.
pub(crate) fn problem(error: &Error) -> Value {
    json!({ "error": Problem::from(error) })
}

impl Recording {
    /// Writes down what was answered.
    pub(crate) fn note<T: Shown>(&mut self, call: impl Into<String>, answer: &Result<T>) {
        let shown = match answer {
            Ok(answer) => answer.shown(),
            Err(error) => problem(error),
        };
        let text = self.plain(&shown.to_string());
        self.lines.push((call.into(), text));
    }
    /// The same without what changes from run to run.
    fn plain(&mut self, text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(id) = rest.get(..36).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
                let next = format!("id-{}", self.names.len() + 1);
                plain.push_str(self.names.entry(id.to_owned()).or_insert(next));
                rest = &rest[36..];
            } else if rest.get(..27).is_some_and(is_time) {
                plain.push_str("<time>");
                rest = &rest[27..];
            } else {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        plain
    }
    /// Each call with its answer.
    pub(crate) fn lines(&self) -> &[(String, String)] {
        &self.lines
    }
    /// Fails at the first call that was answered otherwise in the other run.
    pub(crate) fn assert_same(&self, other: &Self, which: &str) {
        for (one, two) in self.lines.iter().zip(&other.lines) {
            assert_eq!(one, two, "answered differently {which}");
        }
        assert_eq!(self.lines.len(), other.lines.len(), "one run of {which} is longer");
    }
}

/// `2026-01-02T03:04:05.000006Z`
fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.as_bytes()[19] == b'.'
}
