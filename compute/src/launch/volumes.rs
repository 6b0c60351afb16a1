//! Which instances have volumes: those are not taken away from where they are.

use cirro_models::{
    Context, Error, Id, Page, Result, Verbs,
    compute::Instance,
    storage::{Attachment, attachment::AttachmentFilter},
};
use futures_util::future::try_join_all;

/// Those of these instances that a volume is attached to, asked of storage at once. No more than a batch at a time: each is a
/// question of its own.
pub(crate) async fn used_by(ctx: &Context, instances: &[Id<Instance>]) -> Result<Vec<Id<Instance>>> {
    let attached = async |id: &Id<Instance>| {
        let filter = AttachmentFilter { instance_id: Some(*id), ..AttachmentFilter::default() };
        let page = Attachment::list(ctx, &filter, &Page::first(1)).await?;
        Ok::<_, Error>((!page.items.is_empty()).then_some(*id))
    };
    Ok(try_join_all(instances.iter().map(attached)).await?.into_iter().flatten().collect())
}
