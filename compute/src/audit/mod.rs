//! What compute holds that has no owner, or does not agree with what it was made from.

mod checks;
mod clock;
mod elsewhere;
mod held;
mod usage;

use checks::CHECKS;
use cirro_models::{
    Context, Result,
    finding::{Finding, Kind},
};
use cirro_server::{OwnerContext, audit::find_all};
use usage::USAGES;

/// Every kind of finding that compute may tell.
pub fn kinds() -> Vec<Kind> {
    let stated = CHECKS.iter().map(|check| check.kind).chain(USAGES.iter().map(|usage| usage.kind));
    let held = [held::GUEST_MISSING, held::GUEST_UNKNOWN, held::FILES_LEFT];
    stated.chain([clock::OVERDUE]).chain(held).chain([elsewhere::IMAGE_GONE, elsewhere::PROJECT_GONE]).collect()
}

/// What compute finds at this moment.
pub(crate) async fn walk(ctx: Context) -> Result<Vec<Finding>> {
    let database = ctx.database()?;
    let own = database.snapshot(|c| {
        let mut found = find_all(c, CHECKS, USAGES)?;
        found.extend(clock::overdue(c)?);
        found.extend(held::find(c)?);
        Ok((found, elsewhere::named(c)?))
    });
    let (mut found, named) = own.await?;
    found.extend(elsewhere::find(&ctx, named).await?);
    Ok(found)
}
