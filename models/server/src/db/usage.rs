//! What projects have in use, kept in the same transactions as the rows that use it.

use crate::db::{Tx, database_error, tables::quota_usage};
use cirro_models::{
    Error, Id, Result,
    identity::Project,
    sql::{Both, Column},
};
use diesel::prelude::*;

impl Tx<'_> {
    /// Takes `amount` of a resource for a project, unless that would be more than `limit`.
    pub fn charge(&mut self, project: Id<Project>, resource: &str, amount: i64, limit: i64) -> Result<()> {
        let used = self.used(project, resource)?;
        let refusal = |used| Error::Quota { resource: resource.to_owned(), limit, used, asked: amount };
        if used.saturating_add(amount) > limit {
            return Err(refusal(used));
        }
        self.add(project, resource, amount, Some(limit))?.then_some(()).ok_or_else(|| refusal(used))
    }
    /// Gives back what was charged.
    pub fn refund(&mut self, project: Id<Project>, resource: &str, amount: i64) -> Result<()> {
        self.add(project, resource, -amount, None).map(drop)
    }
    /// How much of a resource a project has in use.
    pub fn used(&mut self, project: Id<Project>, resource: &str) -> Result<i64> {
        let row = quota_usage::table.find((project.store(), resource)).select(quota_usage::used);
        Ok(row.first::<i64>(self.connection()).optional().map_err(database_error)?.unwrap_or(0))
    }
    /// One statement that checks and adds: two transactions at once can't both take the last of it.
    fn add(&mut self, project: Id<Project>, resource: &str, amount: i64, limit: Option<i64>) -> Result<bool> {
        let first =
            (quota_usage::project_id.eq(project.store()), quota_usage::resource.eq(resource), quota_usage::used.eq(0));
        let insert = diesel::insert_into(quota_usage::table).values(first);
        Both(insert.on_conflict((quota_usage::project_id, quota_usage::resource)).do_nothing())
            .execute(self.connection())
            .map_err(database_error)?;
        let room = limit.map_or(i64::MAX, |limit| limit - amount);
        let row = quota_usage::table.find((project.store(), resource)).filter(quota_usage::used.le(room));
        diesel::update(row)
            .set(quota_usage::used.eq(quota_usage::used + amount))
            .execute(self.connection())
            .map(|count| count == 1)
            .map_err(database_error)
    }
}
