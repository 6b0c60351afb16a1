//! The first start of a site, and what nodes log in with.

use super::site::{Site, secret};
use cirro_identity::bootstrap::{FirstAdmin, first_start, is_first_start, node_credential};
use cirro_models::{Id, compute::Node};
use cirro_server::testkit::Backend;
use serde_json::Value;

#[tokio::test]
async fn a_site_is_started_first_only_once() {
    for backend in Backend::BOTH {
        let site = Site::without_admin(backend).await;
        let ctx = site.identity.own_context();
        assert!(is_first_start(&ctx).await.unwrap());
        let (first, second) = (site.admin.clone(), FirstAdmin::generate().unwrap());
        assert!(first_start(&ctx, first).await.unwrap());
        assert!(!is_first_start(&ctx).await.unwrap());
        assert!(!first_start(&ctx, second.clone()).await.unwrap());

        assert_eq!(site.ask("admin", second.password.expose(), None).await.status, 401);
        let admin = site.operator().await;
        assert_eq!((&admin.told["operator"], &admin.told["role"]), (&true.into(), &"admin".into()));
        let users = site.call(&admin, "GET", "user", Value::Null).await.good();
        assert_eq!(users["items"].as_array().unwrap().len(), 1);
        let projects = site.call(&admin, "GET", "project", Value::Null).await.good();
        assert_eq!(projects["items"][0]["name"], "default");
    }
}

#[tokio::test]
async fn generated_passwords_differ_and_hide() {
    let (one, two) = (FirstAdmin::generate().unwrap(), FirstAdmin::generate().unwrap());
    assert_ne!(one.password, two.password);
    assert!(one.password.expose().len() >= 32);
    assert!(!format!("{one:?}").contains(one.password.expose()));
}

#[tokio::test]
async fn a_node_logs_in_with_its_newest_credential_and_is_nothing_but_that_node() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let node = Id::<Node>::new();
        let ctx = site.identity.own_context();
        let old = node_credential(&ctx, node).await.unwrap();
        let name = format!("node:{node}");
        assert_eq!(site.ask(&name, old.expose(), None).await.status, 200);
        let new = node_credential(&ctx, node).await.unwrap();
        assert_eq!(site.ask(&name, old.expose(), None).await.status, 401);

        let agent = site.login(&name, new.expose(), Some("default")).await;
        assert_eq!(agent.told["subject"], name);
        for right in ["project_id", "role", "refresh"] {
            assert_eq!(agent.told[right], Value::Null, "a node was given a {right}");
        }
        assert_eq!(agent.told["operator"], false);
        for path in ["user", "project", "grant", "apikey"] {
            let told = site.call(&agent, "GET", path, Value::Null).await.good();
            assert_eq!(told["items"], Value::Array(Vec::new()), "a node reads {path}");
        }
        let other = format!("node:{}", Id::<Node>::new());
        assert_eq!(site.ask(&other, secret("whatever it may be").expose(), None).await.status, 401);
    }
}
