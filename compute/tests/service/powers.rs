//! What its owner wishes of an instance, and what becomes of the wish.

use super::site::{Site, seen};
use cirro_models::compute::{instance::InstanceStatus as S, report::NodeReport};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

#[tokio::test]
async fn a_wish_moves_the_generation_and_the_status() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        let path = format!("instance/{id}");
        let wish = async |body: Value| {
            let row = site.member("PATCH", &path, body).await.good();
            (row["generation"].as_i64().unwrap(), row["status"].as_str().unwrap().to_owned())
        };
        assert_eq!(wish(json!({"name": "web2"})).await, (1, "running".into()), "a name is no wish");
        assert_eq!(wish(json!({"power": "running"})).await, (1, "running".into()), "it runs already");
        assert_eq!(wish(json!({"power": "stopped"})).await, (2, "stopping".into()));
        assert_eq!(wish(json!({"power": "stopped"})).await, (2, "stopping".into()), "the same wish twice is one");
        assert!(site.instance(id).await.status_deadline.is_some());
        site.saw_as(id, 2, S::Stopped).await;
        assert_eq!(site.instance(id).await.status, S::Stopped);
        assert_eq!(site.instance(id).await.status_deadline, None, "what lasts has no deadline");
        assert_eq!(wish(json!({"power": "running"})).await, (3, "starting".into()));
        site.saw_as(id, 3, S::Running).await;
        assert_eq!(site.instance(id).await.status, S::Running);
    }
}

#[tokio::test]
async fn a_stop_that_takes_too_long_can_be_forced() {
    let site = Site::new(Backend::Sqlite).await;
    let id = site.running("web1").await;
    let path = format!("instance/{id}");
    site.member("PATCH", &path, json!({"power": "stopped"})).await.good();
    site.saw_as(id, 2, S::Stopping).await;
    let before = site.assignment(site.node, "").await.revision;
    let forced = site.member("PATCH", &path, json!({"power": "stopped", "force_stop": true})).await.good();
    assert_eq!((&forced["generation"], &forced["status"]), (&3.into(), &"stopping".into()));
    let told = site.assignment(site.node, &format!("?since={before}&wait_ms=30000")).await;
    assert_eq!((told.instances.len(), told.instances[0].force_stop), (1, true), "its node was not told");
}

#[tokio::test]
async fn a_wish_that_failed_can_be_uttered_again() {
    let site = Site::new(Backend::Sqlite).await;
    let id = site.running("web1").await;
    let failed = NodeReport {
        instances: vec![cirro_models::compute::report::InstanceSeen {
            reason: Some("the disk of the node is full".to_owned()),
            ..seen(id, 1, S::Failed)
        }],
        ..site.saw()
    };
    site.report(site.node, failed).await;
    let row = site.instance(id).await;
    assert_eq!((row.status, row.status_reason.as_deref()), (S::Failed, Some("the disk of the node is full")));
    let path = format!("instance/{id}");
    let again = site.member("PATCH", &path, json!({"power": "running"})).await.good();
    assert_eq!((&again["generation"], &again["status"]), (&2.into(), &"starting".into()));
    site.saw_as(id, 1, S::Failed).await;
    assert_eq!(site.instance(id).await.status, S::Starting, "an old failure undid a new wish");
}

#[tokio::test]
async fn an_action_is_for_a_running_instance_once_at_a_time() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.launch("web1").await;
        let reboot = json!({"instance_id": id, "kind": "reboot"});
        let problem = site.member("POST", "instanceaction", reboot.clone()).await.problem(409);
        assert!(problem.detail.contains("web1 is pending"), "{}", problem.detail);
        site.saw_as(id, 1, S::Running).await;
        let told = site.member("POST", "instanceaction", reboot.clone()).await;
        assert_eq!((told.status, told.json()["status"].as_str()), (202, Some("pending")));
        site.member("POST", "instanceaction", reboot.clone()).await.problem(409);
        let action = site.assignment(site.node, "").await.actions.remove(0);
        assert_eq!(action.instance_id, id);

        let done = cirro_models::compute::report::ActionDone { id: action.id, error: None };
        site.report(site.node, NodeReport { actions: vec![done], ..site.saw() }).await;
        let path = format!("instanceaction/{}", action.id);
        assert_eq!(site.member("GET", &path, Value::Null).await.good()["status"], "done");
        assert!(site.assignment(site.node, "").await.actions.is_empty());
        assert_eq!(site.member("POST", "instanceaction", reboot.clone()).await.status, 202);
        site.call(&site.actors.outsider(), "POST", "instanceaction", reboot).await.problem(404);
    }
}
