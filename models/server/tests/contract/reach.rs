//! Whose rows a caller sees: the predicate on one row and the list's SQL are the same rule, on both databases.

use crate::{
    matrix::{new_badge, new_chart, new_harbour},
    models::{Badge, Boat, Chart, Harbour, new_boat},
    site::on_both,
};
use cirro_models::{Id, Meta, Model, Reach, model::Seed, sql::Table};
use proptest::{prelude::*, test_runner::TestRunner};
use std::collections::BTreeSet;
use uuid::Uuid;

/// One of few ids, so that rows and reaches often meet.
fn some_id() -> impl Strategy<Value = Uuid> {
    (1..4u128).prop_map(Uuid::from_u128)
}

fn some_reach() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Nothing),
        Just(Reach::All),
        Just(Reach::Public),
        some_id().prop_map(|id| Reach::Project(Id::from_uuid(id))),
        some_id().prop_map(|id| Reach::ProjectOrPublic(Id::from_uuid(id))),
        some_id().prop_map(Reach::Own),
        some_id().prop_map(Reach::Node),
    ]
}

/// What a row has that a reach asks for: project, user, node, whether it is public.
type Facts = (Uuid, Uuid, Option<Uuid>, bool);

fn some_rows() -> impl Strategy<Value = Vec<Facts>> {
    proptest::collection::vec((some_id(), some_id(), proptest::option::of(some_id()), any::<bool>()), 0..12)
}

fn built<M: Model>(new: M::New, (project, user, ..): Facts) -> M {
    let (id, project, user) = (Id::<M>::new().uuid(), Some(Id::from_uuid(project)), Some(Id::from_uuid(user)));
    M::build(new, Seed { id, project, user, meta: Meta::created("test") }).unwrap()
}

/// The rows that the list shows and those that the predicate lets through.
fn seen<M: Table>(tx: &mut cirro_server::Tx<'_>, rows: &[M], reach: &Reach) -> (BTreeSet<Uuid>, BTreeSet<Uuid>) {
    tx.insert_all(rows).unwrap();
    let listed = M::page(tx.connection(), &M::Filter::default(), reach, None, 1000).unwrap();
    let within = rows.iter().filter(|row| row.within(reach)).map(|row| row.id().uuid()).collect();
    (listed.iter().map(|row| row.id().uuid()).collect(), within)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_listed_exactly_when_it_is_within_reach() {
    on_both(|site| async move {
        let runtime = tokio::runtime::Handle::current();
        let property = move || {
            let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
            let run = TestRunner::new(config).run(&(some_rows(), some_reach()), |(facts, reach)| {
                let outcome = runtime.block_on(site.write(move |tx| {
                    let name = |n: usize| format!("n{n}");
                    let (mut harbours, mut boats, mut charts, mut badges) = (vec![], vec![], vec![], vec![]);
                    for (n, facts) in facts.iter().enumerate() {
                        harbours.push(built::<Harbour>(new_harbour(&name(n)), *facts));
                        let mut boat = built::<Boat>(new_boat(&name(n)), *facts);
                        boat.node_id = facts.2.map(Id::from_uuid);
                        boats.push(boat);
                        charts.push(built::<Chart>(new_chart(&name(n), facts.3), *facts));
                        badges.push(built::<Badge>(new_badge(&name(n)), *facts));
                    }
                    let seen = [
                        seen(tx, &harbours, &reach),
                        seen(tx, &boats, &reach),
                        seen(tx, &charts, &reach),
                        seen(tx, &badges, &reach),
                    ];
                    // nothing of it stays
                    Err::<(), _>(cirro_models::Error::conflict(serde_json::to_string(&seen).unwrap()))
                }));
                let Err(cirro_models::Error::Conflict { detail }) = outcome else { panic!("{outcome:?}") };
                let seen: Vec<(BTreeSet<Uuid>, BTreeSet<Uuid>)> = serde_json::from_str(&detail).unwrap();
                for (model, (listed, within)) in ["harbour", "boat", "chart", "badge"].iter().zip(seen) {
                    prop_assert_eq!(listed, within, "{} under {:?}", model, reach);
                }
                Ok(())
            });
            run.unwrap();
        };
        tokio::task::spawn_blocking(property).await.unwrap();
    })
    .await;
}
