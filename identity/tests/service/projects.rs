//! A project stays while it owns something, and ends what was derived from it.

use super::site::{Site, id};
use cirro_models::{compute::Instance, images::MachineImage, storage::Volume};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_project_that_owns_something_stays() {
    for (what, service) in [("instances", "compute"), ("volumes", "storage"), ("images", "images")] {
        let site = Site::new(Backend::Sqlite).await;
        let (full, empty) = (site.new_project("full").await, site.new_project("empty").await);
        match service {
            "compute" => {
                let new = json!({"name": "a", "flavor_id": Uuid::now_v7(), "image_id": Uuid::now_v7()});
                Site::put::<Instance>(&site.compute, &full, new).await;
            }
            "storage" => Site::put::<Volume>(&site.storage, &full, json!({"name": "a", "size_gib": 1})).await,
            _ => Site::put::<MachineImage>(&site.images, &full, json!({"name": "a"})).await,
        }
        let operator = site.operator().await;
        let problem = site.call(&operator, "DELETE", &format!("project/{full}"), Value::Null).await.problem(409);
        assert!(problem.detail.contains(what) && problem.detail.contains("full"), "{}", problem.detail);
        site.call(&operator, "GET", &format!("project/{full}"), Value::Null).await.good();
        assert_eq!(site.call(&operator, "DELETE", &format!("project/{empty}"), Value::Null).await.status, 204);
    }
}

#[tokio::test]
async fn a_deleted_project_ends_the_grants_keys_and_tokens_that_it_gave() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let project = site.new_project("short-lived").await;
        let ann = site.person("ann", "admin", "short-lived").await;
        let ben = site.person("ben", "member", "default").await;
        let (name, secret) = site.key(&ann.login, "ci", "member", &project).await;
        let script = site.login(&name, &secret, None).await;
        let operator = site.operator().await;
        // a key of an operator who was granted nothing there
        let (of_operator, operators) = site.key(&operator, "ci", "member", &project).await;
        let second = site.login(&of_operator, &operators, None).await;

        assert_eq!(site.call(&operator, "DELETE", &format!("project/{project}"), Value::Null).await.status, 204);
        for login in [&ann.login, &script, &second] {
            assert!(!site.is_good(login).await, "a token outlived its project");
        }
        assert!(site.is_good(&ben.login).await && site.is_good(&operator).await);
        site.ask(&name, &secret, None).await.problem(401);
        site.ask(&of_operator, &operators, None).await.problem(401);
        site.call(&operator, "GET", &format!("grant/{}", ann.grant), Value::Null).await.problem(404);
        assert_eq!(site.login("ann", "ann's password", None).await.told["project_id"], Value::Null);
    }
}

#[tokio::test]
async fn limits_are_an_operators() {
    let site = Site::new(Backend::Sqlite).await;
    let chief = site.person("chief", "admin", "default").await;
    let path = format!("project/{}", site.project_id("default").await);
    let project = site.call(&chief.login, "GET", &path, Value::Null).await.good();
    assert!(project["max_instances"].as_i64().unwrap() > 0, "quotas are finite unless somebody says otherwise");
    site.call(&chief.login, "PATCH", &path, json!({"max_instances": 5})).await.problem(403);
    let operator = site.operator().await;
    assert_eq!(site.call(&operator, "PATCH", &path, json!({"max_instances": 5})).await.good()["max_instances"], 5);
    let other = site.new_project("other").await;
    site.call(&chief.login, "GET", &format!("project/{other}"), Value::Null).await.problem(404);
    let seen = site.call(&chief.login, "GET", "project", Value::Null).await.good();
    assert_eq!(seen["items"].as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [id(&project)]);
}
