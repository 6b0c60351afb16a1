//! The names of the things that rows refer to, so that a table says `small` where the API says an id.
//!
//! One batch read for each kind of thing, all at once; what can't be read keeps its id, because a table is no reason to
//! fail.

use crate::site::Site;
use cirro_models::{Model, Service};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The most ids of one batch read.
const BATCH: usize = 1000;

/// Names by id.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<Uuid, String>);

impl Names {
    /// The names of what these rows refer to.
    pub(crate) async fn of<M: Model>(site: &Site, rows: &[M]) -> Self {
        let refs = rows.iter().flat_map(Model::refs);
        Self::of_ids(site, refs.map(|(_, service, path, id)| (service, path, id))).await
    }
    /// The names of things that rows name in nested places: service, path and id of each.
    pub(crate) async fn of_ids(site: &Site, ids: impl Iterator<Item = (Service, &'static str, Uuid)>) -> Self {
        let mut wanted: BTreeMap<String, BTreeSet<Uuid>> = BTreeMap::new();
        for (service, path, id) in ids {
            wanted.entry(format!("/{}/v1/{path}/batch", service.name())).or_default().insert(id);
        }
        if wanted.is_empty() {
            return Self::default();
        }
        let Ok(ctx) = site.context().await else { return Self::default() };
        let mut calls = Vec::new();
        for (path, ids) in &wanted {
            let ids: Vec<_> = ids.iter().collect();
            for chunk in ids.chunks(BATCH) {
                let (ctx, body) = (&ctx, json!({ "ids": chunk }));
                calls.push(async move { site.http().json::<Value>(ctx, "POST", path, Some(&body)).await });
            }
        }
        let mut names = Self::default();
        for answer in join_all(calls).await.into_iter().flatten() {
            for item in answer["items"].as_array().into_iter().flatten() {
                if let (Some(id), Some(name)) = (item["id"].as_str(), item["name"].as_str())
                    && let Ok(id) = id.parse()
                {
                    names.learn(id, name);
                }
            }
        }
        names
    }
    /// Adds one.
    pub(crate) fn learn(&mut self, id: Uuid, name: &str) {
        self.0.insert(id, name.to_owned());
    }
    /// The name, or the id where there is none.
    pub(crate) fn name(&self, id: Uuid) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
    /// The same of something that may be absent.
    pub(crate) fn maybe(&self, id: Option<Uuid>) -> String {
        id.map(|id| self.name(id)).unwrap_or_default()
    }
    /// Name and id.
    pub(crate) fn with_id(&self, id: &str) -> String {
        match id.parse().ok().and_then(|id: Uuid| self.0.get(&id)) {
            Some(name) => format!("{name} ({id})"),
            None => id.to_owned(),
        }
    }
}
