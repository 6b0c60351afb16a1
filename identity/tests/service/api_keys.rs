//! Keys for scripts: told once, limited, and ended with what they were derived from.

use super::site::{Site, id, key, password_of};
use cirro_models::Timestamp;
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

#[tokio::test]
async fn the_secret_is_told_once_and_again_only_to_who_repeats_the_request() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let home = site.project_id("default").await;
        let new = key("ci", "member", &home);
        let made = site.keyed(&ann.login, "POST", "apikey", new.clone(), Some("first try")).await;
        assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
        let (made, path) = (made.json(), made.header("location").replace("/identity/v1/", ""));
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.len() >= 32);

        let again = site.keyed(&ann.login, "POST", "apikey", new.clone(), Some("first try")).await.good();
        assert_eq!((id(&again), &again["secret"]), (id(&made), &made["secret"]));
        site.keyed(&ann.login, "POST", "apikey", key("ci2", "viewer", &home), Some("first try")).await.problem(409);
        site.keyed(&ann.login, "POST", "apikey", new, Some("another try")).await.problem(409);
        for told in [
            site.call(&ann.login, "GET", &path, Value::Null).await,
            site.call(&ann.login, "GET", "apikey", Value::Null).await,
            site.call(&ann.login, "PATCH", &path, json!({"name": "ci-2"})).await,
            site.call(&ann.login, "DELETE", &path, Value::Null).await,
        ] {
            assert!(told.status < 300 && !told.text.contains(secret), "{} {}", told.status, told.text);
        }
    }
}

#[tokio::test]
async fn a_key_is_good_in_one_project_with_the_lesser_of_its_role_and_its_users() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let (home, other) = (site.project_id("default").await, site.new_project("other").await);
        let (name, secret) = site.key(&ann.login, "ci", "member", &home).await;
        let script = site.login(&name, &secret, Some("other")).await;
        assert_eq!((&script.told["project_id"], &script.told["role"]), (&home.clone().into(), &"member".into()));
        assert_eq!((&script.told["refresh"], &script.told["operator"]), (&Value::Null, &false.into()));
        assert_eq!(script.claims()["scoped"], true);

        let weak = site.key(&ann.login, "weak", "viewer", &home).await;
        assert_eq!(site.login(&weak.0, &weak.1, None).await.told["role"], "viewer");
        for (role, project, status) in
            [("admin", &home, 403), ("viewer", &other, 403), ("operator", &home, 422), ("chief", &home, 422)]
        {
            site.call(&ann.login, "POST", "apikey", key("more", role, project)).await.problem(status);
        }

        // she is only a viewer from now on, and so is her key
        let operator = site.operator().await;
        site.grant(&operator, &ann.id, "viewer", Some(&home)).await.good();
        site.call(&operator, "DELETE", &format!("grant/{}", ann.grant), Value::Null).await.good();
        assert!(!site.is_good(&script).await, "the key's token outlived the grant");
        assert_eq!(site.login(&name, &secret, None).await.told["role"], "viewer");
    }
}

#[tokio::test]
async fn a_key_makes_no_keys_grants_or_users_and_changes_none() {
    let site = Site::new(Backend::Sqlite).await;
    let home = site.project_id("default").await;
    let operator = site.operator().await;
    let (name, secret) = site.key(&operator, "ci", "admin", &home).await;
    let script = site.login(&name, &secret, None).await;
    let ann = site.person("ann", "viewer", "default").await;
    let me = operator.claims()["sub"].as_str().unwrap().replace("user:", "");
    for (method, path, body) in [
        ("POST", "apikey".to_owned(), key("more", "viewer", &home)),
        ("PATCH", format!("apikey/{name}"), json!({"name": "other"})),
        ("DELETE", format!("apikey/{name}"), Value::Null),
        ("POST", "grant".to_owned(), json!({"user_id": ann.id, "role": "member", "project_id": home})),
        ("DELETE", format!("grant/{}", ann.grant), Value::Null),
        ("POST", "user".to_owned(), json!({"name": "zoe"})),
        ("PATCH", format!("user/{me}"), json!({"password": "a new password"})),
        ("POST", "project".to_owned(), json!({"name": "more"})),
        ("DELETE", "token".to_owned(), Value::Null),
    ] {
        let told = site.call(&script, method, &path, body).await;
        assert_eq!(told.status, 403, "{method} {path}: {}", told.text);
    }
    assert!(site.is_good(&operator).await && site.is_good(&ann.login).await);
}

#[tokio::test]
async fn a_key_ends_in_time_and_not_too_late() {
    let site = Site::new(Backend::Sqlite).await;
    let home = site.project_id("default").await;
    let operator = site.operator().await;
    for seconds in [-1, 0, 400 * 24 * 3600] {
        let mut new = key("ci", "viewer", &home);
        new["expires_at"] = json!(Timestamp::now().plus_seconds(seconds));
        let problem = site.call(&operator, "POST", "apikey", new).await.problem(422);
        assert_eq!(problem.field.as_deref(), Some("expires_at"));
    }
    let mut new = key("ci", "viewer", &home);
    new["expires_at"] = json!(Timestamp::now().plus_seconds(2));
    let made = site.call(&operator, "POST", "apikey", new).await.good();
    let secret = made["secret"].as_str().unwrap();
    cirro_server::testkit::eventually("the key ends", async || {
        (site.ask(&id(&made), secret, None).await.status == 401).then_some(())
    })
    .await;
    let unknown = site.call(&operator, "POST", "apikey", key("ci", "viewer", &id(&made))).await.problem(422);
    assert_eq!(unknown.field.as_deref(), Some("project_id"), "an operator's key for a project that is none");
}

#[tokio::test]
async fn a_key_ends_when_it_is_deleted_and_when_its_user_is_disabled_or_deleted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let home = site.project_id("default").await;
        let operator = site.operator().await;
        let ann = site.person("ann", "member", "default").await;
        let (deleted, kept) =
            (site.key(&ann.login, "one", "member", &home).await, site.key(&ann.login, "two", "member", &home).await);
        let logins = [site.login(&deleted.0, &deleted.1, None).await, site.login(&kept.0, &kept.1, None).await];
        let path = format!("apikey/{}", deleted.0);
        assert_eq!(site.call(&ann.login, "DELETE", &path, Value::Null).await.status, 204);
        assert!(!site.is_good(&logins[0]).await);
        site.ask(&deleted.0, &deleted.1, None).await.problem(401);
        assert!(site.is_good(&logins[1]).await && site.is_good(&ann.login).await);

        let user = format!("user/{}", ann.id);
        site.call(&operator, "PATCH", &user, json!({"enabled": false})).await.good();
        assert!(!site.is_good(&logins[1]).await);
        site.ask(&kept.0, &kept.1, None).await.problem(401);
        site.call(&operator, "PATCH", &user, json!({"enabled": true})).await.good();
        let back = site.login(&kept.0, &kept.1, None).await;
        site.login("ann", &password_of("ann"), None).await;
        assert_eq!(site.call(&operator, "DELETE", &user, Value::Null).await.status, 204);
        assert!(!site.is_good(&back).await);
        site.ask(&kept.0, &kept.1, None).await.problem(401);
    }
}
