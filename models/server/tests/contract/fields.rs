//! What a field's markers promise: defaults, keep/clear/set, filters, labels, pages; alike over all stores and databases.

use crate::{
    matrix::new_harbour,
    models::{Boat, BoatFilter, BoatPatch, Colour, Harbour, NewBoat, new_boat},
    record::Recording,
    site::{Site, Way, on_both, over_all},
};
use cirro_models::{Generation, Labels, MiB, Name, Page, Timestamp, Verbs, choice::Choice, identity::Secret};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

fn patch(json: serde_json::Value) -> BoatPatch {
    serde_json::from_value(json).unwrap()
}
fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn changes(site: Arc<Site>, way: Way) -> Recording {
    let mut record = Recording::default();
    let ctx = site.context(way, &site.actors.member());
    let harbour = site.make::<Harbour>(&site.actors.operator(), [new_harbour("north")]).await.remove(0);
    let full = NewBoat {
        harbour_id: Some(harbour.id),
        colour: Some(Colour::Red),
        note: Some("a note with \"quotes\", ümlauts and 🚤".to_owned()),
        crew: Some(vec!["Ann".to_owned(), String::new()]),
        load_mib: Some(MiB::new(1 << 30)),
        due_at: Some(Timestamp::from_micros(1_234_567_890_123_456)),
        afloat: Some(true),
        password: Some(Secret::new("long enough")),
        labels: labels(&[("a", "1"), ("b/c.d", "")]),
        ..new_boat("full")
    };
    let boat = Boat::create(&ctx, full.clone()).await;
    record.note("create with everything", &boat);
    record.note("create with nothing", &Boat::create(&ctx, new_boat("bare")).await);
    let id = boat.unwrap().model.id;
    for change in [
        json!({}),
        json!({ "note": "another" }),
        json!({ "note": "another" }),
        json!({ "note": null, "crew": null, "due_at": null }),
        json!({ "name": "renamed", "colour": "green", "load_mib": 0 }),
        json!({ "crew": [] }),
        json!({ "afloat": false }),
        json!({ "afloat": false, "password": "another one" }),
        json!({ "labels": { "a": null, "b/c.d": "2", "new": "x", "never": null } }),
        json!({ "labels": (0..32).map(|n| (format!("l{n}"), json!(""))).collect::<serde_json::Map<_, _>>() }),
        json!({ "note": "n\u{0}ul" }),
        json!({ "note": "x".repeat(5000) }),
        json!({ "colour": "grean" }),
        json!({ "password": "short" }),
        json!({ "labels": { "": "x" } }),
        json!({ "labels": { "k": "x".repeat(256) } }),
        json!({ "crew": ["n\u{0}ul"] }),
        json!({ "name": "bare" }),
    ] {
        record.note(format!("patch {change}"), &Boat::update(&ctx, id, patch(change)).await);
        record.note("get", &Boat::get(&ctx, id).await);
    }
    let mut bad = full;
    bad.colour = Some(Colour::from_word("roze"));
    record.note("create with an unknown word", &Boat::create(&ctx, bad.clone()).await);
    bad.colour = None;
    bad.labels = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
    record.note("create with too many labels", &Boat::create(&ctx, bad.clone()).await);
    bad.labels = Labels::new();
    bad.harbour_id = Some(cirro_models::Id::from_uuid(uuid::Uuid::from_u128(7)));
    record.note("create in a harbour that does not exist", &Boat::create(&ctx, bad).await);
    record.note("rows", &Boat::list(&ctx, &BoatFilter::default(), &Page::default()).await);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_kept_cleared_and_set_alike() {
    let record = over_all(changes).await;
    let kinds: Vec<String> = record
        .lines()
        .iter()
        .map(|(call, answer)| {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            let error =
                answer["error"]["detail"].as_str().map(|detail| format!("{} {detail}", answer["error"]["status"]));
            let ok = || format!("ok, version {} generation {}", answer["version"], answer["generation"]);
            format!("{:.90} | {}", call, error.unwrap_or_else(ok))
        })
        .collect();
    insta::assert_snapshot!(kinds.join("\n"));
}

async fn lists(site: Arc<Site>, way: Way) -> Recording {
    let mut record = Recording::default();
    let member = site.actors.member();
    let ctx = site.context(way, &member);
    let harbour = site.make::<Harbour>(&site.actors.operator(), [new_harbour("north")]).await.remove(0);
    let boats = (0..7).map(|n| NewBoat {
        colour: Some(if n % 2 == 0 { Colour::Red } else { Colour::Green }),
        harbour_id: (n < 3).then_some(harbour.id),
        labels: labels(&[("n", &n.to_string()), ("odd", if n % 2 == 0 { "no" } else { "yes" })]),
        ..new_boat(&format!("b{n}"))
    });
    site.make::<Boat>(&member, boats).await;
    site.make::<Boat>(&site.actors.outsider(), [new_boat("b0")]).await;
    let filters = [
        BoatFilter { colour: Some(Colour::Red), ..BoatFilter::default() },
        BoatFilter { colour: Some(Colour::Red), harbour_id: Some(harbour.id), ..BoatFilter::default() },
        BoatFilter { name: Some(Name::parse("b0").unwrap()), ..BoatFilter::default() },
        BoatFilter { project_id: Some(site.actors.elsewhere), ..BoatFilter::default() },
        BoatFilter { label: Some("odd=yes".to_owned()), ..BoatFilter::default() },
        BoatFilter { label: Some("odd=maybe".to_owned()), ..BoatFilter::default() },
        BoatFilter { label: Some("odd".to_owned()), ..BoatFilter::default() },
        BoatFilter { label: Some("odd=\u{0}".to_owned()), ..BoatFilter::default() },
        BoatFilter { label: Some("a&b=c d%".to_owned()), ..BoatFilter::default() },
        BoatFilter { colour: Some(Colour::from_word("redd")), ..BoatFilter::default() },
        BoatFilter { node_id: Some(site.node()), ..BoatFilter::default() },
    ];
    for (n, filter) in filters.into_iter().enumerate() {
        record.note(format!("filter {n}"), &Boat::list(&ctx, &filter, &Page::default()).await);
    }
    for (limit, after) in [
        (Some(0), None),
        (Some(-1), None),
        (Some(1001), None),
        (Some(i64::MAX), None),
        (Some(2), None),
        (None, Some("garbage")),
        (None, Some("")),
    ] {
        let page = Page { limit, after: after.map(str::to_owned) };
        record.note(format!("{page:?}"), &Boat::list(&ctx, &BoatFilter::default(), &page).await);
    }
    let ids: Vec<_> = (0..1001).map(|_| cirro_models::Id::new()).collect();
    record.note("too many ids", &Boat::get_many(&ctx, &ids).await);
    record.note("no ids", &Boat::get_many(&ctx, &[]).await);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_and_bounded_alike() {
    let record = over_all(lists).await;
    let shown: Vec<String> = record
        .lines()
        .iter()
        .map(|(call, answer)| {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            let names = |items: &Vec<serde_json::Value>| {
                items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
            };
            let items = answer["items"]
                .as_array()
                .or(answer.as_array())
                .map(|items| format!("[{}] next: {}", names(items), !answer["next"].is_null()));
            let error = || format!("{}: {}", answer["error"]["field"], answer["error"]["detail"]);
            format!("{} | {}", call.replace("None", "-"), items.unwrap_or_else(error))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_miss_and_repeat_nothing_while_rows_are_added_and_removed() {
    on_both(|site| async move {
        for way in Way::ALL {
            let member = site.actors.member();
            let ctx = site.context(way, &member);
            let old = site.make::<Boat>(&member, (0..10).map(|n| new_boat(&format!("{way:?}-{n}")))).await;
            let filter = BoatFilter { colour: Some(Colour::Blue), ..BoatFilter::default() };
            let (mut page, mut seen) = (Page::first(3), Vec::new());
            for round in 0.. {
                let listing = Boat::list(&ctx, &filter, &page).await.unwrap();
                assert!(listing.items.len() <= 3);
                seen.extend(listing.items.iter().map(|boat| boat.id));
                if round < 3 {
                    site.make::<Boat>(&member, [new_boat(&format!("{way:?}-later-{round}"))]).await;
                    let cursor = listing.items[0].id;
                    Boat::delete(&site.context(Way::Local, &member), cursor).await.unwrap();
                }
                let Some(next) = listing.next else { break };
                page.after = Some(next);
            }
            let unique: BTreeSet<_> = seen.iter().collect();
            assert_eq!(unique.len(), seen.len(), "a row was listed twice");
            assert!(old.iter().all(|boat| unique.contains(&boat.id)), "a row that was there all along is missing");
            for boat in Boat::list(&ctx, &filter, &Page::default()).await.unwrap().items {
                Boat::delete(&ctx, boat.id).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_changed_wish_moves_the_generation_and_only_a_change_the_version() {
    on_both(|site| async move {
        let ctx = site.context(Way::Mounted, &site.actors.member());
        let boat = Boat::create(&ctx, new_boat("one")).await.unwrap().model;
        let after = |boat: &Boat| (boat.meta.version.get(), boat.generation.get());
        assert_eq!(after(&boat), (1, 1));
        let same = Boat::update(&ctx, boat.id, patch(json!({ "afloat": false }))).await.unwrap();
        assert_eq!(after(&same), (1, 1));
        let noted = Boat::update(&ctx, boat.id, patch(json!({ "note": "x" }))).await.unwrap();
        assert_eq!(after(&noted), (2, 1));
        let wished = Boat::update(&ctx, boat.id, patch(json!({ "afloat": true }))).await.unwrap();
        assert_eq!(after(&wished), (3, 2));
        assert_eq!(wished.observed_generation, Generation::default());
        assert!(wished.meta.updated_at >= boat.meta.updated_at);
        assert_eq!(wished.meta.created_at, boat.meta.created_at);
    })
    .await;
}
