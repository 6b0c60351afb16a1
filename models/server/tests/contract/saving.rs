//! PUT: whole rows, with the version they stand on; alike over all stores and databases.

use crate::{
    models::{Boat, Colour, NewBoat, new_boat},
    record::Recording,
    site::{Site, Way, over_all},
};
use cirro_models::{Error, Generation, Labels, Verbs};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The row as JSON with these fields put over it; `"-"` takes one away.
fn over(boat: &Boat, changes: &Value) -> Map<String, Value> {
    let Value::Object(mut whole) = serde_json::to_value(boat).unwrap() else { unreachable!("a row is an object") };
    for (field, value) in changes.as_object().unwrap() {
        if value == "-" {
            whole.remove(field);
        } else {
            whole.insert(field.clone(), value.clone());
        }
    }
    whole
}

async fn saves(site: Arc<Site>, way: Way) -> Recording {
    let mut record = Recording::default();
    let ctx = site.context(way, &site.actors.member());
    let store = ctx.stores().of::<Boat>().unwrap();
    let new = NewBoat {
        note: Some("kept".to_owned()),
        labels: Labels::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]),
        ..new_boat("one")
    };
    let mut boat = Boat::create(&ctx, new).await.unwrap().model;
    for changes in [
        json!({}),
        json!({ "version": 99 }),
        json!({ "version": "-" }),
        json!({ "links": { "self": "/x" } }),
        json!({ "note": "-", "labels": "-", "colour": "-", "name": "-" }),
        json!({ "note": "new" }),
        json!({ "note": "stale", "version": 1 }),
        json!({ "note": "no version", "version": "-" }),
        json!({ "note": null }),
        json!({ "note": null }),
        json!({ "labels": { "a": "1", "c": "3" } }),
        json!({ "labels": {} }),
        json!({ "labels": null }),
        json!({ "name": null }),
        json!({ "name": 7 }),
        json!({ "name": "" }),
        json!({ "colour": "grean" }),
        json!({ "load_mib": -1 }),
        json!({ "load_mib": 1.5 }),
        json!({ "version": "two", "note": "x" }),
        json!({ "dry_rnu": true }),
        json!({ "dry_rnu": null }),
        json!({ "password": "long enough" }),
        json!({ "status": "sailing" }),
        json!({ "node_id": site.node() }),
        json!({ "generation": 8 }),
        json!({ "id": cirro_models::Id::<Boat>::from_uuid(uuid::Uuid::from_u128(7)) }),
        json!({ "deleted_at": "2026-01-01T00:00:00Z" }),
        json!({ "created_by": "me" }),
        json!({ "harbour_id": cirro_models::Id::<Boat>::from_uuid(uuid::Uuid::from_u128(8)) }),
        json!({ "afloat": true }),
    ] {
        let saved = store.save(&ctx, boat.id, over(&boat, &changes), None).await;
        record.note(format!("put {changes}"), &saved);
        boat = Boat::get(&ctx, boat.id).await.unwrap();
        record.note("is now", &Ok::<_, Error>(boat.clone()));
    }
    for version in [1, 99, boat.meta.version.get()] {
        let saved =
            store.save(&ctx, boat.id, over(&boat, &json!({ "note": "matched" })), Some(Generation::new(version))).await;
        record.note(format!("put if version {version}"), &saved);
        let patch = serde_json::from_value(json!({ "note": "patched" })).unwrap();
        let patched = store.update(&ctx, boat.id, patch, Some(Generation::new(version))).await;
        record.note(format!("patch if version {version}"), &patched);
    }
    record.note(
        "put of what is not there",
        &store.save(&ctx, cirro_models::Id::from_uuid(uuid::Uuid::from_u128(9)), Map::new(), None).await,
    );
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_rows_are_saved_alike() {
    let record = over_all(saves).await;
    let shown: Vec<String> = record
        .lines()
        .iter()
        .filter(|(call, _)| call != "is now")
        .map(|(call, answer)| {
            let answer: Value = serde_json::from_str(answer).unwrap();
            let error = answer["error"]["detail"]
                .as_str()
                .map(|detail| format!("{} {}: {detail}", answer["error"]["status"], answer["error"]["field"]));
            let ok =
                || format!("ok, version {} note {} labels {}", answer["version"], answer["note"], answer["labels"]);
            format!("{call} | {}", error.unwrap_or_else(ok))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_saved_after_somebody_elses_change_is_stale_and_changes_nothing() {
    crate::site::on_both(|site| async move {
        for way in Way::ALL {
            let ctx = site.context(way, &site.actors.member());
            let mut mine = Boat::create(&ctx, new_boat(&format!("{way:?}"))).await.unwrap().model;
            let mut theirs = mine.clone();
            theirs.colour = Colour::Green;
            let theirs = theirs.save(&ctx).await.unwrap();
            mine.note = Some("lost?".to_owned());
            let refused = mine.save(&ctx).await;
            assert!(matches!(refused, Err(Error::Stale { version: 2, .. })), "{refused:?}");
            assert_eq!(Boat::get(&ctx, mine.id).await.unwrap(), theirs);
            // what is stored already may be saved again whatever its version
            let mut old = theirs.clone();
            old.meta.version = Generation::new(1);
            assert_eq!(old.save(&ctx).await.unwrap(), theirs);
        }
    })
    .await;
}
