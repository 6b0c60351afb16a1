//! What an Operator sees and does, and nobody else.

use crate::{
    jobs::{Count, Fragile},
    scene::Scene,
};
use cirro_models::queue::JobState;
use cirro_server::testkit::{Backend, Told, eventually};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};

async fn dead(scene: &Scene) -> String {
    scene.world.broken.store(true, Ordering::SeqCst);
    let id = scene.write(|tx| tx.enqueue(&Fragile { panics: false })).await.unwrap();
    eventually("it is dead", async || {
        scene.clock.advance(Duration::from_secs(1));
        scene.jobs("?state=dead").await.iter().any(|job| job.id == id).then_some(())
    })
    .await;
    format!("/compute/v1/job/{id}")
}

async fn keyed(scene: &Scene, method: &str, path: &str, key: &str, body: Value) -> Told {
    let bearer = format!("Bearer {}", scene.actors.operator().token.expose());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    scene.server.send(method, path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_is_requeued_once_for_each_key() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let process = scene.process(None, scene.pace()).await;
        let path = dead(&scene).await;
        process.kill().await;
        let wish = json!({ "state": "waiting" });
        let first = keyed(&scene, "PATCH", &path, "a", wish.clone()).await.good();
        assert_eq!((&first["state"], &first["attempts"]), (&json!("waiting"), &json!(0)));
        let refused = keyed(&scene, "PATCH", &path, "b", wish.clone()).await.problem(409);
        assert!(refused.detail.contains("is waiting, and only a dead job is requeued"), "{}", refused.detail);

        scene.world.broken.store(false, Ordering::SeqCst);
        let _process = scene.process(None, scene.pace()).await;
        assert_eq!(scene.all(JobState::Done).await[0].attempts, 1);
        assert_eq!(
            keyed(&scene, "PATCH", &path, "a", wish).await.good(),
            first,
            "the first answer, and no second effect"
        );
        scene.all(JobState::Done).await;
        assert_eq!(scene.world.attempts.load(Ordering::SeqCst), 4);
        let unasked = keyed(&scene, "DELETE", &path, "c", Value::Null).await.problem(409);
        assert!(unasked.detail.contains("is done, and only a dead job is dropped"), "{}", unasked.detail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_is_dropped_and_both_are_in_the_audit() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let _process = scene.process(None, scene.pace()).await;
        let path = dead(&scene).await;
        for _ in 0..2 {
            assert_eq!(keyed(&scene, "DELETE", &path, "a", Value::Null).await.status, 204);
        }
        keyed(&scene, "DELETE", &path, "b", Value::Null).await.problem(404);
        scene.server.call(Some(&scene.actors.admin()), "DELETE", &path, None).await.problem(403);
        let operator = scene.actors.operator();
        let audit = scene.server.call(Some(&operator), "GET", "/compute/v1/auditrecord?model=job", None).await.good();
        let told: Vec<_> = audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["operation"].clone(), item["status"].clone()))
            .collect();
        assert_eq!(told, [(json!("delete"), json!(204)), (json!("delete"), json!(403))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_an_operators_and_is_read_in_pages() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        for _ in 0..3 {
            scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        }
        let all = scene.jobs("?kind=count").await;
        let one = format!("/{}", all[0].id);
        for path in ["", "?state=dead", &one] {
            let path = format!("/compute/v1/job{path}");
            let refused = scene.server.call(Some(&scene.actors.admin()), "GET", &path, None).await.problem(403);
            assert!(refused.detail.contains("an operator's"), "{}", refused.detail);
        }
        let operator = scene.actors.operator();
        let get = async |query: &str| {
            scene.server.call(Some(&operator), "GET", &format!("/compute/v1/job{query}"), None).await
        };
        let page = get("?limit=2").await.good();
        let next = page["next"].as_str().unwrap();
        let rest = get(&format!("?limit=2&after={next}")).await.good();
        let ids =
            |page: &Value| page["items"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect::<Vec<_>>();
        assert_eq!([ids(&page), ids(&rest)].concat(), all.iter().map(|job| json!(job.id)).collect::<Vec<_>>());
        assert_eq!(rest["next"], Value::Null);
        assert_eq!(get(&one).await.good()["kind"], "count");
        get("/nothing").await.problem(404);
        assert!(get("?state=daed").await.problem(422).detail.contains("did you mean \"dead\""));
        let odd = json!({ "state": "done" });
        let refused = scene.server.call(Some(&operator), "PATCH", &format!("/compute/v1/job{one}"), Some(&odd)).await;
        assert!(refused.problem(422).detail.contains("requeued by making it \"waiting\""));
    }
}
