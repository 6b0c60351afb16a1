//! States that should pass end, with a reason that says what to do.

use super::site::{Site, put};
use cirro_models::{
    Id, Timestamp,
    compute::{Instance, instance::InstanceStatus as S},
};
use cirro_server::{
    OwnerContext,
    testkit::{Backend, eventually},
};
use serde_json::Value;

#[tokio::test]
async fn every_state_whose_time_is_over_ends_with_a_reason() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut waiting: Vec<(Id<Instance>, S)> = Vec::new();
        for state in [S::Pending, S::Building, S::Starting, S::Stopping, S::Rebooting] {
            let mut row: Instance = super::site::build(site.actors.project, site.wish(&format!("i-{state}")));
            (row.status, row.status_deadline) = (state.clone(), Some(Timestamp::now().plus_seconds(-1)));
            waiting.push((row.id, state));
            put(&site.compute, row).await;
        }
        let in_time = site.launch("in-time").await;
        let deleting = site.running("deleting").await;
        site.member("DELETE", &format!("instance/{deleting}"), Value::Null).await.good();
        let past = move |tx: &mut cirro_server::Tx<'_>| {
            tx.change::<Instance>(deleting, |row| row.status_deadline = Some(Timestamp::now().plus_seconds(-1)))
        };
        site.compute.own_context().write(past).await.unwrap();

        let compute = site.compute.clone();
        let work = tokio::spawn(async move { cirro_compute::tasks::run(|| compute.own_context()).await });
        for (id, state) in waiting {
            let row = eventually(&format!("{state} ends"), async || {
                Some(site.instance(id).await).filter(|row| row.status == S::Failed)
            })
            .await;
            let reason = row.status_reason.unwrap();
            assert!(["start", "stop --force"].iter().any(|remedy| reason.contains(remedy)), "{state}: {reason}");
            assert_eq!(row.status_deadline, None);
        }
        let row = eventually("the deletion says why", async || {
            Some(site.instance(deleting).await).filter(|row| row.status_reason.is_some())
        })
        .await;
        assert_eq!(row.status, S::Deleting, "a deletion goes on");
        assert!(row.status_deadline > Some(Timestamp::now()));
        assert_eq!(site.instance(in_time).await.status, S::Pending);
        work.abort();
    }
}
