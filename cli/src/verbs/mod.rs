//! The five verbs, written once for every model. A noun's file only says what its arguments mean.

mod change;
mod create;
mod delete;
mod list;
mod show;

pub(crate) use change::{Update, update};
pub(crate) use create::{Create, create};
pub(crate) use delete::{Delete, Ending, delete};
pub(crate) use list::{List, all};
pub(crate) use show::{Show, show};

use crate::{failure::Failure, site::Site};
use clap::Args;

/// Arguments that become what the API takes.
pub(crate) trait Request<T>: Args {
    /// Reads files, asks for secrets and turns names into ids.
    fn read(self, site: &Site) -> impl Future<Output = Result<T, Failure>>;
}

/// The key of a change.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Key {
    /// Makes a repeated command have one effect: give the same key again after a failure whose outcome you do not know
    #[arg(long, value_name = "KEY", help_heading = "Repeating")]
    idempotency_key: Option<String>,
}

impl Key {
    /// The given key, or a new one.
    pub(crate) fn get(&self) -> String {
        self.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
    }
}

/// Labels for something new.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Labels {
    /// A word to find it by; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}
impl Labels {
    /// As the API takes them.
    pub(crate) fn read(self) -> cirro_models::Labels {
        self.labels.into_iter().collect()
    }
}

/// Changes of labels.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LabelChanges {
    /// Sets a label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    set: Vec<(String, String)>,
    /// Removes a label; may be repeated
    #[arg(long = "no-label", value_name = "KEY")]
    remove: Vec<String>,
}
impl LabelChanges {
    /// As the API takes them.
    pub(crate) fn read(self) -> std::collections::BTreeMap<String, Option<String>> {
        let removed = self.remove.into_iter().map(|key| (key, None));
        removed.chain(self.set.into_iter().map(|(key, value)| (key, Some(value)))).collect()
    }
}

/// Whether something may be deleted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Protection {
    /// Refuse to delete it from now on
    #[arg(long, conflicts_with = "no_protect")]
    protect: bool,
    /// Let it be deleted again
    #[arg(long)]
    no_protect: bool,
}
impl Protection {
    /// As the API takes it: absent where nothing is said.
    pub(crate) fn read(&self) -> Option<bool> {
        (self.protect || self.no_protect).then_some(self.protect)
    }
}

/// The label that listed things must have.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Labelled {
    /// Only those with this label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) label: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "give it as key=value".to_owned())
}

/// A text that can be removed again: an empty one removes it.
#[allow(clippy::option_option, reason = "keep, clear and set are the three values of a patch")]
pub(crate) fn clearable(text: Option<String>) -> Option<Option<String>> {
    text.map(|text| Some(text).filter(|text| !text.is_empty()))
}
