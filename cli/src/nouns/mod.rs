//! One file for each noun: what its arguments mean, and which columns its list has.

pub(crate) mod attachment;
pub(crate) mod audit;
pub(crate) mod console;
pub(crate) mod flavor;
pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod image;
pub(crate) mod instance;
mod instance_delete;
pub(crate) mod join_token;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod node_mode;
pub(crate) mod plan;
pub(crate) mod pool;
pub(crate) mod project;
pub(crate) mod remake;
pub(crate) mod ssh_key;
pub(crate) mod unclaimed;
pub(crate) mod user;
pub(crate) mod volume;

use crate::{table::Column, wait::Progress};
use cirro_models::{Model, Name};

/// What people see of a model.
pub(crate) trait Noun: Model {
    /// What it is called in commands and sentences.
    const WORD: &'static str;
    /// Its name, if it has one.
    const NAME: Option<fn(&Self) -> &Name>;
    /// The columns of its list.
    const COLUMNS: &'static [Column<Self>];
    /// Whether people want to see its states as they pass.
    const TELLS: bool = true;

    /// The filter that finds it by its name.
    fn named(_: Name) -> Option<Self::Filter> {
        None
    }
    /// What it is doing, and why, if it does anything.
    fn state(&self) -> Option<(String, Option<String>)> {
        None
    }
    /// Whether it has become what it was created for.
    fn created(&self) -> Progress {
        Progress::Reached
    }
    /// Whether every project may use it.
    fn is_public(&self) -> bool {
        false
    }
    /// What to call it in a sentence.
    fn label(&self) -> String {
        Self::NAME.map_or_else(|| self.id().to_string(), |name| name(self).to_string())
    }
}

/// `yes` or `no`.
pub(crate) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
