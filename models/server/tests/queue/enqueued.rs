//! Jobs and their causes.

use crate::{
    jobs::{Count, Ring, Tell},
    scene::Scene,
};
use cirro_models::{Error, Timestamp, queue::JobState};
use cirro_server::{OwnerContext, db::RequestNote, testkit::Backend};
use std::sync::Arc;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_that_is_taken_back_leaves_no_job() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let refused = scene.write(|tx| {
            tx.enqueue(&Count)?;
            Err::<(), _>(Error::conflict("after all not"))
        });
        assert!(refused.await.is_err());
        assert_eq!(scene.jobs("").await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_one_job() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let id = Uuid::now_v7();
        assert!(scene.write(move |tx| tx.enqueue_as(id, &Count)).await.unwrap());
        let _process = scene.process(None, scene.pace()).await;
        scene.all(JobState::Done).await;
        assert!(!scene.write(move |tx| tx.enqueue_as(id, &Count)).await.unwrap());
        assert_eq!((scene.jobs("").await.len(), scene.count().await), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_goes_on_in_the_project_and_under_the_id_of_its_cause() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        // none but the commit wakes it
        let pace = cirro_server::queue::Pace { look: std::time::Duration::from_secs(3600), ..scene.pace() };
        let _process = scene.process(None, pace).await;
        let ctx = scene.actors.member().inside(&scene.service);
        let note = RequestNote::new(&ctx, "create", "boat", "", &[]);
        let ctx = ctx.answering(Arc::new(note));
        ctx.write(|tx| tx.enqueue(&Tell)).await.unwrap();
        let job = scene.all(JobState::Done).await.remove(0);
        let expected = (Some(scene.actors.project), ctx.request_id().to_owned());
        assert_eq!((job.project_id, job.request_id), expected);
        assert_eq!(scene.world.told.lock().take(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_forgotten_after_a_day_and_what_is_dead_is_not() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        scene.write(|tx| tx.enqueue(&Count)).await.unwrap();
        let process = scene.process(None, scene.pace()).await;
        scene.all(JobState::Done).await;
        process.kill().await;
        let dead = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
        scene.sql("UPDATE job SET state = 'dead', ended_at = 1 WHERE state = 'waiting'".to_owned()).await;
        let waiting = scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
        let by = scene.service.own_context();
        let forget = async |now| scene.service.database().forget(by.subject(), now).await.unwrap();
        forget(Timestamp::now()).await;
        assert_eq!(scene.jobs("").await.len(), 3);
        forget(Timestamp::now().plus_seconds(25 * 3600)).await;
        assert_eq!(scene.jobs("").await.iter().map(|job| job.id).collect::<Vec<_>>(), [dead, waiting]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_nobody_empties_takes_no_more() {
    for backend in Backend::BOTH {
        let scene = Scene::open(backend).await;
        let id = if backend == Backend::Sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
        scene
            .sql(format!(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 9999) \
                 INSERT INTO job (id, kind, payload, request_id, state, attempts, due, enqueued_at) \
                 SELECT {id}, 'ring', 'null', 'x', 'waiting', 0, 0, 0 FROM n"
            ))
            .await;
        scene.write(|tx| tx.enqueue(&Ring)).await.unwrap();
        let refused = scene.write(|tx| tx.enqueue(&Ring)).await;
        assert!(
            matches!(&refused, Err(Error::Unavailable { detail, .. }) if detail.contains("cirro site queue")),
            "{refused:?}"
        );
    }
}
