//! Leases: renewed while a worker lives, and worth nothing once another has the job.

use crate::{
    jobs::{Count, Step},
    scene::{LEASE, Scene},
};
use cirro_models::queue::JobState;
use cirro_server::{
    queue::Pace,
    testkit::{Backend, eventually},
};
use std::{sync::atomic::Ordering, time::Duration};

/// So rarely that it is never.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_stays_with_its_worker() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let slow = scene.process(Some(Step::Taken), scene.pace()).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        slow.part.stop().await;
        let _other = scene.process(None, scene.pace()).await;
        for _ in 0..5 {
            scene.clock.advance(LEASE * 2 / 3);
            // more is left of it than was before the clock was put forward
            let renewed = scene.clock.now().micros() + i64::try_from((LEASE / 2).as_micros()).unwrap();
            eventually("the lease is renewed", async || {
                (scene.jobs("").await[0].due_at.micros() > renewed).then_some(())
            })
            .await;
        }
        slow.part.go_on.notify_one();
        let done = scene.all(JobState::Done).await.remove(0);
        assert_eq!((done.attempts, scene.count().await), (1, 1));
        assert_eq!(scene.world.attempts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_has_no_effect_any_more() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        // it runs one at a time, or it would be its own successor
        let pace = Pace { renewal: NEVER, at_once: 1, ..scene.pace() };
        let still = scene.process(Some(Step::Taken), pace).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        still.part.stop().await;
        scene.clock.advance(LEASE + Duration::from_secs(1));
        let other = scene.process(None, scene.pace()).await;
        let done = scene.all(JobState::Done).await.remove(0);
        assert_eq!((done.attempts, scene.count().await), (2, 1));
        // it comes back, and what it does is refused with its lease: it is free for what is next
        still.part.go_on.notify_one();
        other.kill().await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        still.part.stop().await;
        still.part.go_on.notify_one();
        scene.all(JobState::Done).await;
        assert_eq!(scene.count().await, 2);
        assert_eq!(scene.jobs("").await[0], done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_stops() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let late = scene.process(Some(Step::Taken), Pace { at_once: 1, ..scene.pace() }).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        late.part.stop().await;
        // as if another one had taken and done it
        scene.sql("UPDATE job SET lease = NULL, state = 'done', ended_at = 1".to_owned()).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        // it runs one at a time, so it has let the other go
        late.part.stop().await;
        late.part.go_on.notify_one();
        scene.all(JobState::Done).await;
        assert_eq!(scene.count().await, 1);
    }
}
