//! Processes that are killed, wherever they are.

use crate::{
    jobs::{Count, Ring, Step, Tell},
    scene::{LEASE, Scene},
};
use cirro_models::queue::JobState;
use cirro_server::testkit::{Backend, eventually};
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn a_count_in_the_own_database_is_made_exactly_once() {
    for backend in Backend::BOTH {
        for (step, attempts) in [(Step::Taken, 2), (Step::Finished, 1)] {
            let scene = Scene::open(backend).await;
            let doomed = scene.process(Some(step), scene.pace()).await;
            scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
            doomed.part.stop().await;
            doomed.kill().await;
            let _other = scene.process(None, scene.pace()).await;
            expect_left_alone(&scene).await;
            scene.clock.advance(LEASE + Duration::from_secs(1));
            scene.all(JobState::Done).await;
            assert_eq!(scene.count().await, 1, "{step:?}");
            // one more is that which shows that the lease was respected
            assert_eq!(scene.world.attempts.load(Ordering::SeqCst), attempts + 1, "{step:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_elsewhere_is_repeated_under_the_same_id() {
    for backend in Backend::BOTH {
        for (step, pulls) in [(Step::Taken, 1), (Step::Done, 2)] {
            let scene = Scene::open(backend).await;
            let doomed = scene.process(Some(step), scene.pace()).await;
            let job = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
            doomed.part.stop().await;
            doomed.kill().await;
            let _other = scene.process(None, scene.pace()).await;
            expect_left_alone(&scene).await;
            scene.clock.advance(LEASE + Duration::from_secs(1));
            scene.all(JobState::Done).await;
            let pulled = scene.world.pulled.lock();
            assert_eq!(pulled.iter().map(|(id, pulls)| (*id, *pulls)).collect::<Vec<_>>(), [(job, pulls)], "{step:?}");
        }
    }
}

/// The other process looks for work, and takes what is new, but not what is leased.
async fn expect_left_alone(scene: &Scene) {
    let before = scene.world.attempts.load(Ordering::SeqCst);
    let new = scene.write(|tx| tx.enqueue(&Tell)).await.unwrap();
    eventually("the other process works", async || {
        scene.jobs("").await.iter().any(|job| job.id == new && job.state == JobState::Done).then_some(())
    })
    .await;
    assert_eq!(scene.world.attempts.load(Ordering::SeqCst), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_do_each_of_many_jobs_once() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let mut crew = Vec::new();
        for _ in 0..3 {
            crew.push(scene.process(None, scene.pace()).await);
        }
        for _ in 0..10 {
            scene.write(|tx| (0..20).try_for_each(|_| tx.enqueue(&Count).map(drop))).await.unwrap();
        }
        assert_eq!(scene.all(JobState::Done).await.len(), 200);
        assert_eq!((scene.count().await, scene.world.attempts.load(Ordering::SeqCst)), (200, 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_every_worker_is_given_up() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        for _ in 0..12 {
            let doomed = scene.process(Some(Step::Taken), scene.pace()).await;
            doomed.part.stop().await;
            doomed.kill().await;
            scene.clock.advance(LEASE + Duration::from_secs(1));
        }
        let _other = scene.process(None, scene.pace()).await;
        let dead = scene.all(JobState::Dead).await.remove(0);
        assert!(dead.error.unwrap().contains("the process that ran it ended"));
        assert_eq!((dead.attempts, scene.count().await), (12, 0));
    }
}
