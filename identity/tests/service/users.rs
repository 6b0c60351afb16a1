//! What people see of each other, and what they may change of themselves.

use super::site::{Site, id, password_of};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

#[tokio::test]
async fn people_see_themselves_and_nobody_else() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let chief = site.person("chief", "admin", "default").await;
        let ann = site.person("ann", "member", "default").await;
        for person in [&chief, &ann] {
            let seen = site.call(&person.login, "GET", "user", Value::Null).await.good();
            assert_eq!(seen["items"].as_array().unwrap().len(), 1);
            assert_eq!(seen["items"][0]["name"], person.name);
        }
        for (by, of) in [(&chief, &ann), (&ann, &chief)] {
            let path = format!("user/{}", of.id);
            site.call(&by.login, "GET", &path, Value::Null).await.problem(404);
            site.call(&by.login, "PATCH", &path, json!({"password": "another one"})).await.problem(404);
            site.call(&by.login, "DELETE", &path, Value::Null).await.problem(404);
        }
        let me = site.call(&ann.login, "GET", "user/me", Value::Null).await.good();
        assert_eq!((&me["user"]["name"], &me["project"]["name"]), (&"ann".into(), &"default".into()));
        assert_eq!((&me["role"], me["grants"].as_array().unwrap().len()), (&"member".into(), 1));
        let all = site.call(&site.operator().await, "GET", "user", Value::Null).await.good();
        assert_eq!(all["items"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn people_change_their_password_and_full_name_and_nothing_else() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let path = format!("user/{}", ann.id);
        let other = site.login("ann", &password_of("ann"), None).await;
        for wish in [json!({"name": "anna"}), json!({"enabled": false}), json!({"labels": {"a": "b"}})] {
            site.call(&ann.login, "PATCH", &path, wish).await.problem(403);
        }
        site.call(&ann.login, "DELETE", &path, Value::Null).await.problem(403);
        let named = site.call(&ann.login, "PATCH", &path, json!({"full_name": "Ann B."})).await.good();
        assert_eq!(named["full_name"], "Ann B.");

        let short = site.call(&ann.login, "PATCH", &path, json!({"password": "short"})).await.problem(422);
        assert_eq!(short.field.as_deref(), Some("password"));
        let changed = site.call(&ann.login, "PATCH", &path, json!({"password": "quite a new one"})).await.good();
        assert!(changed["version"].as_i64() > named["version"].as_i64(), "a new password is a visible change");
        for login in [&ann.login, &other] {
            assert!(!site.is_good(login).await, "a token outlived the password");
            site.renew(&login.refresh).await.problem(401);
        }
        site.ask("ann", &password_of("ann"), None).await.problem(401);
        site.login("ann", "quite a new one", None).await;
    }
}

#[tokio::test]
async fn a_password_is_changed_only_at_the_version_that_was_read() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let operator = format!("Bearer {}", site.operator().await.token);
        let path = format!("/identity/v1/user/{}", ann.id);
        let change = |tag: &'static str, body: Value| {
            let (headers, path) = ([("authorization", operator.as_str()), ("if-match", tag)], path.clone());
            let site = &site;
            async move { site.server.send("PATCH", &path, &headers, body.to_string()).await }
        };
        change("\"7\"", json!({"password": "not this one"})).await.problem(412);
        site.login("ann", &password_of("ann"), None).await;
        let good = change("\"1\"", json!({"password": "but this one", "full_name": "Ann B."})).await.good();
        assert_eq!((&good["version"], &good["full_name"]), (&2.into(), &"Ann B.".into()));
        site.login("ann", "but this one", None).await;
    }
}

#[tokio::test]
async fn disabling_or_deleting_somebody_ends_what_they_hold() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let ann = site.person("ann", "member", "default").await;
        let path = format!("user/{}", ann.id);
        site.call(&operator, "PATCH", &path, json!({"enabled": false})).await.good();
        assert!(!site.is_good(&ann.login).await);
        site.renew(&ann.login.refresh).await.problem(401);
        site.call(&operator, "PATCH", &path, json!({"enabled": true})).await.good();
        assert!(!site.is_good(&ann.login).await, "what has ended does not come back");
        let again = site.login("ann", &password_of("ann"), None).await;

        assert_eq!(site.call(&operator, "DELETE", &path, Value::Null).await.status, 204);
        assert!(!site.is_good(&again).await);
        site.ask("ann", &password_of("ann"), None).await.problem(401);
        site.call(&operator, "GET", &format!("grant/{}", ann.grant), Value::Null).await.problem(404);
        // the name is free, and nothing of the old one comes with it
        let new = json!({"name": "ann", "password": password_of("ann")});
        let new = site.call(&operator, "POST", "user", new).await.good();
        assert_ne!(id(&new), ann.id);
        assert_eq!(site.login("ann", &password_of("ann"), None).await.told["project_id"], Value::Null);
    }
}

#[tokio::test]
async fn two_people_have_two_names() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.person("ann", "member", "default").await;
        let problem = site.call(&site.operator().await, "POST", "user", json!({"name": "ann"})).await.problem(409);
        assert!(problem.detail.contains("name"), "{}", problem.detail);
    }
}
