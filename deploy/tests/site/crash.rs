//! A control plane that is killed in the middle of its work, and its callers, who repeat what they do not know.

use crate::{
    books,
    crowd::{listed, tiny},
    kit::Site,
};
use cirro_models::{
    Id, Verbs,
    compute::{
        Instance,
        instance::{InstanceFilter, InstanceStatus},
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

const COUNT: usize = 50;
/// Killed when so many have been answered.
const ANSWERED: usize = 15;
/// At a time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_among_fifty_creates_it_makes_fifty_instances() {
    let mut site = Site::simulated(2);
    let image = site.image();
    let tiny = tiny(&site, &image);
    let before = {
        let session = site.session();
        let ctx = session.context().await.unwrap();
        let create = |n: usize| {
            let ctx = ctx.clone().keyed(format!("crash-{n}"));
            let new = tiny(&format!("crash-{n}"));
            async move { (n, Instance::create(&ctx, new).await) }
        };
        let mut answers = stream::iter(0..COUNT).map(create).buffer_unordered(AT_ONCE);
        let mut before: BTreeMap<usize, Id<Instance>> = BTreeMap::new();
        let mut lost = 0;
        while let Some((n, answer)) = answers.next().await {
            match answer {
                Ok(made) => drop(before.insert(n, made.id)),
                Err(error) => {
                    assert!(matches!(error, cirro_models::Error::Unavailable { .. }), "{error:?}");
                    lost += 1;
                }
            }
            if before.len() == ANSWERED && lost == 0 {
                site.kill();
            }
        }
        assert!(before.len() >= ANSWERED && lost > 0, "{} answered, {lost} lost", before.len());
        before
    };

    site.start();
    let session = site.session();
    let ctx = session.context().await.unwrap();
    let create = |n: usize| {
        let ctx = ctx.clone().keyed(format!("crash-{n}"));
        let new = tiny(&format!("crash-{n}"));
        async move { Instance::create(&ctx, new).await.map(|made| (n, made.id)) }
    };
    let after: BTreeMap<usize, Id<Instance>> =
        stream::iter(0..COUNT).map(create).buffer_unordered(AT_ONCE).try_collect().await.unwrap();
    for (n, id) in before {
        assert_eq!(after[&n], id, "what was answered before the crash is what the repetition answers");
    }
    let running = InstanceFilter { status: Some(InstanceStatus::Running), ..InstanceFilter::default() };
    listed(&session, &running, COUNT).await;
    let all = listed(&session, &InstanceFilter::default(), COUNT).await;
    assert!(all.iter().all(|instance| after.values().any(|id| *id == instance.id)));
    books::agree(&site, 50, 1, 96);
}
