//! Who may do what: every verb by everybody on every scope, the same over all stores and both databases.

use crate::{
    models::{Badge, Boat, Chart, Harbour, NewBadge, NewBoat, NewChart, NewHarbour, new_boat},
    record::{Recording, Shown},
    site::{Site, Way, over_all},
};
use cirro_models::{Id, Labels, Model, Name, Page, Verbs, permission::Operation, sql::Table};
use cirro_server::testkit::Actor;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
pub(crate) fn new_harbour(text: &str) -> NewHarbour {
    NewHarbour { name: name(text), open: None, labels: Labels::new() }
}
pub(crate) fn new_chart(text: &str, public: bool) -> NewChart {
    NewChart { name: name(text), public: Some(public), labels: Labels::new() }
}
pub(crate) fn new_badge(text: &str) -> NewBadge {
    NewBadge { name: name(text), labels: Labels::new() }
}
fn labelled(text: &str) -> NewBoat {
    NewBoat { labels: Labels::from([("made".to_owned(), text.to_owned())]), ..new_boat(text) }
}

/// Every verb on one model by everybody, on rows that `maker` has made.
async fn verbs<M: Table + Shown>(
    record: &mut Recording,
    (site, way): (&Site, Way),
    what: &str,
    maker: &Actor,
    new: impl Fn(&str) -> M::New + Copy,
) {
    let made: Vec<M> = site.make(maker, [new("first"), new("second")]).await;
    if M::PATH == Boat::PATH {
        let (node, first) = (site.node(), Id::<Boat>::from_uuid(made[0].id().uuid()));
        site.write(move |tx| tx.change::<Boat>(first, |boat| boat.node_id = Some(node))).await.unwrap();
    }
    let missing = Id::<M>::from_uuid(uuid::Uuid::from_u128(7));
    let patch: M::Patch = serde_json::from_value(json!({ "labels": { "seen": "yes" } })).unwrap();
    for (who, ctx) in site.everybody(way) {
        let call = |verb: &str| format!("{what} {verb} {who}");
        record.note(call("get"), &M::get(&ctx, made[0].id()).await);
        record.note(call("get missing"), &M::get(&ctx, missing).await);
        let ids = [made[1].id(), missing, made[0].id()];
        record.note(call("get_many"), &M::get_many(&ctx, &ids).await);
        record.note(call("list"), &M::list(&ctx, &M::Filter::default(), &Page::default()).await);
        let own: Vec<M> = site.make(maker, [new(&format!("for-{who}"))]).await;
        let after = site.settled().await;
        record.note(call("update"), &M::update(&ctx, own[0].id(), patch.clone()).await);
        record.note(call("save unchanged"), &own[0].save(&ctx).await);
        record.note(call("delete"), &M::delete(&ctx, own[0].id()).await);
        record.note(call("delete again"), &M::delete(&ctx, own[0].id()).await);
        site.settled().await;
        record.note(call("watch"), &M::watch(&ctx, Some(after), Duration::ZERO).await);
        record.note(call("create"), &M::create(&ctx, new(&format!("by-{who}"))).await);
        record.note(call("create twice"), &M::create(&ctx, new(&format!("by-{who}"))).await);
    }
}

/// Everything above.
async fn everything(site: Arc<Site>, way: Way) -> Recording {
    let (operator, member, at) = (site.actors.operator(), site.actors.member(), (&*site, way));
    let mut record = Recording::default();
    verbs::<Harbour>(&mut record, at, "harbour", &operator, new_harbour).await;
    verbs::<Boat>(&mut record, at, "boat", &member, labelled).await;
    verbs::<Chart>(&mut record, at, "chart", &member, |text| new_chart(text, false)).await;
    let public = |text: &str| new_chart(&format!("public-{text}"), true);
    verbs::<Chart>(&mut record, at, "public chart", &member, public).await;
    verbs::<Badge>(&mut record, at, "badge", &member, new_badge).await;
    record
}

/// A table of who got what, short enough to be read: `ok`, or the kind of error.
fn summary(record: &Recording) -> String {
    let mut table: Vec<(String, BTreeMap<String, Vec<String>>)> = Vec::new();
    for (call, answer) in record.lines() {
        let (what, who) = call.rsplit_once(' ').unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let items =
            answer.as_array().or_else(|| answer["items"].as_array()).map(|items| format!("{} rows", items.len()));
        let kind = answer["error"]["type"].as_str().map(|kind| kind.replace("urn:cirro:problem:", ""));
        if !table.iter().any(|(call, _)| call == what) {
            table.push((what.to_owned(), BTreeMap::new()));
        }
        let line = table.iter_mut().find(|(call, _)| call == what).unwrap();
        line.1.entry(kind.or(items).unwrap_or_else(|| "ok".to_owned())).or_default().push(who.to_owned());
    }
    let line = |(call, answers): (String, BTreeMap<String, Vec<String>>)| {
        let answers: Vec<_> = answers.iter().map(|(answer, who)| format!("{answer}: {}", who.join(" "))).collect();
        format!("{call} | {}", answers.join(" | "))
    };
    table.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_answered_alike_over_all_stores_and_databases() {
    let record = over_all(everything).await;
    insta::assert_snapshot!(summary(&record));
}

#[test]
fn the_permission_table_is_what_the_models_say() {
    use cirro_models::permission::Right;
    assert_eq!(Harbour::RIGHTS.of(Operation::Create), Right::Operator);
    assert_eq!(Chart::RIGHTS.of(Operation::Delete), Right::Admin);
    assert_eq!(Badge::RIGHTS.of(Operation::Update), Right::Nobody);
}
