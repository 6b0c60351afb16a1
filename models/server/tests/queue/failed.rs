//! Jobs that fail, and what becomes of them.

use crate::{
    jobs::{Endless, Fragile, Ring},
    scene::Scene,
};
use cirro_models::{
    alert::Alert,
    queue::{JobState, QueuedJob},
};
use cirro_server::testkit::{Backend, eventually};
use std::{sync::atomic::Ordering, time::Duration};

/// The job after this many attempts, waiting or dead.
async fn after(scene: &Scene, attempts: i64) -> QueuedJob {
    eventually(&format!("{attempts} attempts"), async || {
        let job = scene.jobs("").await.remove(0);
        (job.attempts == attempts && job.state != JobState::Running).then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_waits_longer_each_time_and_is_dead_in_the_end() {
    for backend in Backend::BOTH {
        for panics in [false, true] {
            let scene = Scene::open(backend).await;
            let raised = Alert::JobDead.raised();
            scene.world.broken.store(true, Ordering::SeqCst);
            let _process = scene.process(None, scene.pace()).await;
            scene.write(move |tx| tx.enqueue(&Fragile { panics })).await.unwrap();
            for attempt in [1, 2] {
                let failed = after(&scene, attempt).await;
                assert_eq!(failed.state, JobState::Waiting);
                let wait = failed.due_at.micros() - scene.clock.now().micros();
                let longest = 1_000_000 << (attempt - 1);
                assert!(wait <= longest, "{wait} µs after attempt {attempt}");
                // half of it at least, minus what has passed: more than the wait before could leave
                scene.clock.advance(Duration::from_micros(longest.unsigned_abs()));
            }
            let dead = after(&scene, 3).await;
            assert_eq!(dead.state, JobState::Dead);
            assert!(dead.ended_at.is_some());
            let why = dead.error.unwrap();
            assert!(
                why.contains(if panics {
                    "it panicked: look for its request id"
                } else {
                    "the vase is broken: glue it"
                }),
                "{why}"
            );
            assert!(Alert::JobDead.raised() > raised);
            // and it stays: nothing takes it
            scene.clock.advance(Duration::from_secs(7 * 86_400));
            let other = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
            eventually("others are done", async || scene.world.pulled.lock().contains_key(&other).then_some(())).await;
            assert_eq!(scene.world.attempts.load(Ordering::SeqCst), 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_given_its_time_is_stopped() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let _process = scene.process(None, scene.pace()).await;
        scene.write(|tx| tx.enqueue(&Endless)).await.unwrap();
        let dead = scene.all(JobState::Dead).await.remove(0);
        assert!(dead.error.unwrap().contains("it took longer than"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_nobody_can_read_is_no_end_of_the_others() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        for payload in ["{\"panics\": \"hush\"}", "no JSON: hush"] {
            let job = scene.write(|tx| tx.enqueue(&Fragile { panics: false })).await.unwrap();
            let hex = job.simple().to_string();
            let id = if backend == Backend::Sqlite { format!("x'{hex}'") } else { format!("'{hex}'") };
            scene.sql(format!("UPDATE job SET payload = '{payload}' WHERE id = {id}")).await;
        }
        let good = scene.write(|tx| tx.enqueue(&Fragile { panics: false })).await.unwrap();
        let _process = scene.process(None, scene.pace()).await;
        let dead = eventually("the poisoned ones are dead", async || {
            scene.clock.advance(Duration::from_secs(1));
            let dead = scene.jobs("?state=dead").await;
            (dead.len() == 2).then_some(dead)
        })
        .await;
        for job in dead {
            let why = job.error.unwrap();
            assert!(why.contains("its payload can't be read as fragile") && !why.contains("hush"), "{why}");
        }
        assert_eq!(scene.jobs("?state=done").await.iter().map(|job| job.id).collect::<Vec<_>>(), [good]);
        assert_eq!(scene.world.attempts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_no_release_knows_stays_and_is_told() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let raised = Alert::JobKindUnknown.raised();
        let strange = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
        scene.sql("UPDATE job SET kind = 'paint-ship'".to_owned()).await;
        let _process = scene.process(None, scene.pace()).await;
        eventually("it is told", async || (Alert::JobKindUnknown.raised() > raised).then_some(())).await;
        let known = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
        eventually("others are done", async || scene.world.pulled.lock().contains_key(&known).then_some(())).await;
        let waiting = scene.jobs("?state=waiting").await;
        let [job] = &waiting[..] else { panic!("{waiting:?}") };
        assert_eq!((job.id, job.kind.as_str(), job.attempts), (strange, "paint-ship", 0));
        let path = format!("/compute/v1/job/{strange}");
        scene.server.call(Some(&scene.actors.operator()), "DELETE", &path, None).await.good();
        assert_eq!(scene.jobs("?state=waiting").await, []);
    }
}
