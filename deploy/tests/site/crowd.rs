//! Many at once.

use crate::{
    books,
    kit::{LIMIT, Site, until},
};
use cirro_models::{
    Id, Page, Verbs,
    compute::{
        Instance,
        instance::{InstanceFilter, InstanceStatus, NewInstance},
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::collections::BTreeSet;

/// What the API is asked for: a tiny instance of this image, with this name.
pub fn tiny(site: &Site, image: &str) -> impl Fn(&str) -> NewInstance + use<> {
    let (image, flavor) = (image.to_owned(), site.id("flavor", "tiny"));
    move |name| serde_json::from_value(json!({"name": name, "image_id": image, "flavor_id": flavor})).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_instances_come_and_go() {
    const COUNT: usize = 200;
    // 64 processors each
    let mut site = Site::simulated(4);
    let image = site.image();
    let (session, tiny) = (site.session(), tiny(&site, &image));
    let ctx = session.context().await.unwrap();
    let create = |n: usize| Instance::create(&ctx, tiny(&format!("crowd-{n}")));
    let made: Vec<_> = stream::iter(0..COUNT).map(create).buffer_unordered(COUNT).try_collect().await.unwrap();
    let ids: BTreeSet<Id<Instance>> = made.iter().map(|made| made.id).collect();
    assert_eq!(ids.len(), COUNT);

    let running = InstanceFilter { status: Some(InstanceStatus::Running), ..InstanceFilter::default() };
    let addresses = listed(&session, &running, COUNT).await;
    assert_eq!(addresses.iter().map(|instance| instance.id).collect::<BTreeSet<_>>(), ids);
    assert!(addresses.iter().all(|instance| instance.address.is_some()));
    books::agree(&site, 200, 1, 96);
    let most =
        site.number("compute", "SELECT max(taken) FROM (SELECT sum(vcpus) AS taken FROM claim GROUP BY node_id)");
    assert!(most <= 64, "no node holds more than it has: {most}");

    let delete = |id: Id<Instance>| Instance::delete(&ctx, id);
    stream::iter(ids).map(delete).buffer_unordered(COUNT).try_collect::<Vec<_>>().await.unwrap();
    listed(&session, &InstanceFilter::default(), 0).await;
    until(LIMIT, "every row is gone", || (site.number("compute", "SELECT count(*) FROM instance") == 0).then_some(()));
    books::are_empty(&site);
    let log = site.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

/// The instances that the filter finds, as soon as there are so many.
pub async fn listed(
    session: &cirro_client::Session,
    filter: &InstanceFilter,
    count: usize,
) -> Vec<cirro_models::compute::Instance> {
    let end = std::time::Instant::now() + LIMIT;
    let mut position = None;
    loop {
        let ctx = session.context().await.unwrap();
        let found = Instance::list(&ctx, filter, &Page::first(Page::MAX)).await.unwrap().items;
        if found.len() == count {
            return found;
        }
        assert!(std::time::Instant::now() < end, "not within {LIMIT:?}: {} of {count} instances", found.len());
        // the feed wakes it; what the feed has missed is seen after a second
        let wait = std::time::Duration::from_secs(1);
        position = Instance::watch(&ctx, position, wait).await.ok().map(|changes| changes.position);
    }
}
