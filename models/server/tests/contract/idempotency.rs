//! One key, one effect: over every store and both databases.

use crate::{
    matrix::{new_badge, new_chart},
    models::{Badge, Boat, BoatFilter, Chart, NewVoyage, Voyage, new_boat},
    site::{Way, on_both},
};
use cirro_models::{Context, Deleted, Error, Labels, Page, Role, Verbs, sql::AnyConnection};
use diesel::{RunQueryDsl, sql_query, sql_types::Text};
use futures_util::future::join_all;
use serde_json::json;

fn patch(note: &str) -> crate::models::BoatPatch {
    serde_json::from_value(json!({ "note": note })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_has_no_second_effect_and_the_first_answer() {
    on_both(|site| async move {
        for way in Way::ALL {
            let ctx = |key: &str| site.context(way, &site.actors.member()).keyed(format!("{way:?}-{key}"));
            let name = format!("{way:?}");
            let first = Boat::create(&ctx("create"), new_boat(&name)).await.unwrap();
            let later = Boat::update(&ctx("other"), first.id, patch("meanwhile")).await.unwrap();
            assert_eq!(Boat::create(&ctx("create"), new_boat(&name)).await.unwrap(), first);

            let updated = Boat::update(&ctx("update"), first.id, patch("once")).await.unwrap();
            assert_eq!(updated.meta.version.get(), 3);
            Boat::update(&ctx("again"), first.id, patch("twice")).await.unwrap();
            assert_eq!(Boat::update(&ctx("update"), first.id, patch("once")).await.unwrap(), updated);
            assert_eq!(Boat::get(&ctx("get"), first.id).await.unwrap().note.as_deref(), Some("twice"));

            let mut whole = Boat::get(&ctx("get"), first.id).await.unwrap();
            whole.note = Some("whole".to_owned());
            let saved = whole.save(&ctx("save")).await.unwrap();
            Boat::update(&ctx("a third time"), first.id, patch("thrice")).await.unwrap();
            assert_eq!(whole.save(&ctx("save")).await.unwrap(), saved, "not stale: it is what was answered then");

            assert_eq!(Boat::delete(&ctx("delete"), first.id).await.unwrap(), Deleted::Gone);
            assert_eq!(Boat::delete(&ctx("delete"), first.id).await.unwrap(), Deleted::Gone);
            assert!(matches!(Boat::delete(&ctx("delete more"), first.id).await, Err(Error::NotFound { .. })));
            assert_eq!(Boat::update(&ctx("update"), first.id, patch("once")).await.unwrap(), updated);
            assert_eq!(later.meta.version.get(), 2);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_one_body_of_one_caller_in_one_project_on_one_thing() {
    on_both(|site| async move {
        for way in Way::ALL {
            let member = site.actors.member();
            let ctx = || site.context(way, &member).keyed("the key");
            let name = format!("{way:?}");
            let one = Boat::create(&ctx(), new_boat(&name)).await.unwrap();
            let refused = Boat::create(&ctx(), new_boat("another")).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
            let two = site.make::<Boat>(&member, [new_boat(&format!("{way:?}-2"))]).await.remove(0);
            // other things that the same key is free for
            assert_eq!(Boat::update(&ctx(), one.id, patch("x")).await.unwrap().id, one.id);
            assert_eq!(Boat::update(&ctx(), two.id, patch("x")).await.unwrap().id, two.id);
            Chart::create(&ctx(), new_chart(&name, false)).await.unwrap();
            for other in [
                site.actors.admin(),
                site.actors.outsider(),
                site.actors.user(13, Some((site.actors.elsewhere, Role::Member)), false),
            ] {
                let ctx = site.context(way, &other).keyed("the key");
                let theirs = Boat::create(&ctx, new_boat(&format!("{way:?}-{}", other.claims.jti))).await.unwrap();
                assert_ne!(theirs.id, one.id);
            }
            for id in [one.id, two.id] {
                Boat::delete(&site.context(way, &member), id).await.unwrap();
            }
            site.compute.database().read(|c| Ok(sql_query("DELETE FROM request").execute(c).unwrap())).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_one_has_an_effect_and_all_get_its_answer() {
    on_both(|site| async move {
        for way in Way::ALL {
            let name = format!("{way:?}");
            let member = site.actors.member();
            let ctx = |key: &str| site.context(way, &member).keyed(format!("{way:?} {key}"));
            let tasks = (0..50).map(|_| {
                let (ctx, new) = (ctx("create"), new_boat(&name));
                tokio::spawn(async move { Boat::create(&ctx, new).await })
            });
            let answers: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect();
            assert!(answers.iter().all(|answer| *answer == answers[0]));
            let filter = BoatFilter { name: Some(answers[0].name.clone()), ..BoatFilter::default() };
            let rows = Boat::list(&ctx("list"), &filter, &Page::default()).await.unwrap().items;
            assert_eq!(rows.len(), 1);

            // a version that only the first can meet: the others were answered, not late
            let tasks = (0..50).map(|_| {
                let (ctx, mut boat) = (ctx("save"), rows[0].clone());
                boat.note = Some("saved".to_owned());
                tokio::spawn(async move { boat.save(&ctx).await })
            });
            for task in join_all(tasks).await {
                assert_eq!(task.unwrap().unwrap().meta.version.get(), 2);
            }
            let tasks = (0..50).map(|_| {
                let (ctx, id) = (ctx("delete"), rows[0].id);
                tokio::spawn(async move { Boat::delete(&ctx, id).await })
            });
            for task in join_all(tasks).await {
                assert_eq!(task.unwrap().unwrap(), Deleted::Gone);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_different_requests_under_one_key_one_wins() {
    on_both(|site| async move {
        let tasks = (0..50).map(|n| {
            let ctx = site.context(Way::Mounted, &site.actors.member()).keyed("shared");
            tokio::spawn(async move { Boat::create(&ctx, new_boat(&format!("b{n}"))).await })
        });
        let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|e| matches!(e, Error::Conflict { .. })));
        assert_eq!(site.count::<Boat>().await, 1);
    })
    .await;
}

#[derive(diesel::QueryableByName)]
struct Kept {
    #[diesel(sql_type = Text)]
    answer: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_told_once_is_told_again_under_its_key_only_and_kept_sealed() {
    on_both(|site| async move {
        for way in Way::ALL {
            let ctx = || site.context(way, &site.actors.member());
            let name = format!("{way:?}");
            let first = Badge::create(&ctx().keyed("k"), new_badge(&name)).await.unwrap();
            let secret = first.once["secret"].expose().to_owned();
            assert_eq!(secret, format!("secret of {}", first.id));
            assert_eq!(Badge::create(&ctx().keyed("k"), new_badge(&name)).await.unwrap(), first);
            let kept = |c: &mut AnyConnection| {
                sql_query("SELECT answer FROM request WHERE answer IS NOT NULL").load::<Kept>(c)
            };
            let kept = site.compute.database().read(move |c| Ok(kept(c).unwrap())).await.unwrap();
            assert!(!kept.is_empty() && kept.iter().all(|kept| !kept.answer.contains(&secret)));
            Badge::delete(&ctx(), first.id).await.unwrap();
            site.compute.database().read(|c| Ok(sql_query("DELETE FROM request").execute(c).unwrap())).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_taken_away_are_missed_by_a_repetition_too() {
    on_both(|site| async move {
        for way in Way::ALL {
            let then = site.actors.member();
            let now = site.actors.user(13, Some((site.actors.project, Role::Viewer)), false);
            let ctx = |key: &str| site.context(way, &then).keyed(format!("{way:?} {key}"));
            let ctx_now = |key: &str| site.context(way, &now).keyed(format!("{way:?} {key}"));
            let new = || new_boat(&format!("{way:?}"));
            let boat = Boat::create(&ctx("c"), new()).await.unwrap();
            Boat::update(&ctx("u"), boat.id, patch("x")).await.unwrap();
            let mut whole = Boat::get(&ctx("g"), boat.id).await.unwrap();
            whole.note = None;
            whole.save(&ctx("s")).await.unwrap();
            let forbidden = |what: &str, error: Option<Error>| {
                assert!(matches!(error, Some(Error::Forbidden { .. })), "{what} over {way:?}: {error:?}");
            };
            forbidden("create", Boat::create(&ctx_now("c"), new()).await.err());
            forbidden("update", Boat::update(&ctx_now("u"), boat.id, patch("x")).await.err());
            forbidden("save", whole.save(&ctx_now("s")).await.err());
            Boat::delete(&ctx("d"), boat.id).await.unwrap();
            forbidden("delete", Boat::delete(&ctx_now("d"), boat.id).await.err());
            forbidden("update of what is gone", Boat::update(&ctx_now("u"), boat.id, patch("x")).await.err());

            // an operator's reach into another project, then no longer an operator
            let operator = site.actors.operator();
            let common = site.actors.user(11, Some((site.actors.project, Role::Member)), false);
            let theirs = site.make::<Boat>(&site.actors.outsider(), [new()]).await.remove(0);
            let keyed = |ctx: Context| ctx.keyed(format!("{way:?} operator"));
            Boat::delete(&keyed(site.context(way, &operator)), theirs.id).await.unwrap();
            let refused = Boat::delete(&keyed(site.context(way, &common)), theirs.id).await;
            assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_request_have_keys_of_their_own_and_are_not_repeated() {
    on_both(|site| async move {
        let member = site.actors.member();
        let ways: [&dyn Fn() -> Context; 3] =
            [&|| member.inside(&site.identity), &|| member.inside(&site.alone), &|| site.context(Way::Bus, &member)];
        for (n, way) in ways.iter().enumerate() {
            let boat = site.make::<Boat>(&member, [new_boat("ship")]).await.remove(0);
            let rival = site.make::<Boat>(&member, [new_boat("ship-starboard")]).await.remove(0);
            let ctx = || way().keyed(format!("voyage {n}"));
            let new = || NewVoyage { boat_id: boat.id, labels: Labels::new() };
            // the first step is done, the second can't be
            let refused = Voyage::create(&ctx(), new()).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
            assert_eq!(site.count::<Boat>().await, 3);
            Boat::delete(&site.context(Way::Local, &member), rival.id).await.unwrap();
            let done = Voyage::create(&ctx(), new()).await.unwrap();
            assert_eq!(Voyage::create(&ctx(), new()).await.unwrap(), done);
            assert_eq!(site.count::<Boat>().await, 3, "a ship with one tender on each side");
            site.write(|tx| {
                for boat in tx.list::<Boat>(&BoatFilter::default(), 10)? {
                    tx.remove(&boat)?;
                }
                Ok(())
            })
            .await
            .unwrap();
            site.compute.database().read(|c| Ok(sql_query("DELETE FROM request").execute(c).unwrap())).await.unwrap();
        }
    })
    .await;
}
