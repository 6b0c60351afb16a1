//! Who may give whom which role, and what ends when it is taken away.

use super::site::{Site, id};
use cirro_server::testkit::Backend;
use futures_util::future::join;
use serde_json::{Value, json};

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (home, other) = (site.project_id("default").await, site.new_project("other").await);
        let chief = site.person("chief", "admin", "default").await;
        let ann = site.person("ann", "member", "default").await;
        let eve = site.person("eve", "viewer", "default").await;
        for (by, role, project, status) in [
            (&chief, "admin", Some(&home), 201),
            (&chief, "member", Some(&other), 403),
            (&chief, "operator", None, 403),
            (&chief, "operator", Some(&home), 422),
            (&chief, "viewer", None, 403),
            (&chief, "chief", Some(&home), 422),
            (&ann, "viewer", Some(&home), 403),
            (&ann, "member", Some(&home), 403),
            (&eve, "viewer", Some(&home), 403),
        ] {
            let told = site.grant(&by.login, &eve.id, role, project.map(String::as_str)).await;
            assert_eq!(told.status, status, "{} grants {role} on {project:?}: {}", by.name, told.text);
        }
        let operator = site.operator().await;
        for (field, user, project) in [("user_id", &home, &home), ("project_id", &eve.id, &ann.id)] {
            let problem = site.grant(&operator, user, "viewer", Some(project)).await.problem(422);
            assert_eq!(problem.field.as_deref(), Some(field));
        }
        site.grant(&operator, &eve.id, "operator", None).await.good();
        site.grant(&operator, &eve.id, "operator", None).await.problem(409);
    }
}

#[tokio::test]
async fn an_admin_takes_away_only_what_is_their_projects() {
    let site = Site::new(Backend::Sqlite).await;
    site.new_project("other").await;
    let chief = site.person("chief", "admin", "default").await;
    let ann = site.person("ann", "member", "default").await;
    let zoe = site.person("zoe", "member", "other").await;
    let operator = site.operator().await;
    let site_grant = id(&site.grant(&operator, &ann.id, "operator", None).await.good());
    let ann_login = site.login("ann", "ann's password", Some("default")).await;
    for grant in [&zoe.grant, &site_grant] {
        let path = format!("grant/{grant}");
        site.call(&chief.login, "GET", &path, Value::Null).await.problem(404);
        site.call(&chief.login, "DELETE", &path, Value::Null).await.problem(404);
    }
    assert!(site.is_good(&zoe.login).await && site.is_good(&ann_login).await);
    let path = format!("grant/{}", ann.grant);
    site.call(&zoe.login, "DELETE", &path, Value::Null).await.problem(404);
    assert_eq!(site.call(&chief.login, "DELETE", &path, Value::Null).await.status, 204);
    site.call(&chief.login, "DELETE", &path, Value::Null).await.problem(404);
}

#[tokio::test]
async fn a_grant_that_is_taken_away_ends_what_was_derived_from_it_at_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let chief = site.person("chief", "admin", "default").await;
        let ann = site.person("ann", "member", "default").await;
        assert!(site.is_good(&ann.login).await);
        let path = format!("grant/{}", ann.grant);
        assert_eq!(site.call(&chief.login, "DELETE", &path, Value::Null).await.status, 204);
        assert!(!site.is_good(&ann.login).await);
        let next = site.renew(&ann.login.refresh).await.good();
        assert_eq!((&next["project_id"], &next["role"]), (&Value::Null, &Value::Null));
        site.ask("ann", "ann's password", Some("default")).await.problem(403);
    }
}

#[tokio::test]
async fn the_last_operator_stays() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let me = site.call(&operator, "GET", "user/me", Value::Null).await.good();
        let (user, grants) = (format!("user/{}", id(&me["user"])), me["grants"].as_array().unwrap().clone());
        let grant = grants.iter().find(|grant| grant["role"] == "operator").map(|grant| format!("grant/{}", id(grant)));
        let grant = grant.unwrap();
        for (method, path, body) in [
            ("DELETE", &grant, Value::Null),
            ("DELETE", &user, Value::Null),
            ("PATCH", &user, json!({"enabled": false})),
        ] {
            let problem = site.call(&operator, method, path, body).await.problem(409);
            assert!(problem.detail.contains("operator"), "{}", problem.detail);
        }
        // a disabled deputy is none
        let deputy = site.person("deputy", "viewer", "default").await;
        site.grant(&operator, &deputy.id, "operator", None).await.good();
        let path = format!("user/{}", deputy.id);
        site.call(&operator, "PATCH", &path, json!({"enabled": false})).await.good();
        site.call(&operator, "DELETE", &grant, Value::Null).await.problem(409);
        site.call(&operator, "PATCH", &path, json!({"enabled": true})).await.good();
        assert_eq!(site.call(&operator, "DELETE", &grant, Value::Null).await.status, 204);
        assert!(!site.is_good(&operator).await);
    }
}

#[tokio::test]
async fn two_operators_who_remove_each_other_at_the_same_moment_leave_one() {
    for backend in Backend::BOTH {
        for _ in 0..5 {
            let site = Site::new(backend).await;
            let operator = site.operator().await;
            let mut logins = Vec::new();
            for name in ["ann", "ben"] {
                let person = site.person(name, "viewer", "default").await;
                site.grant(&operator, &person.id, "operator", None).await.good();
                logins.push((site.login(name, &super::site::password_of(name), None).await, person.id));
            }
            let me = operator.claims()["sub"].as_str().unwrap().replace("user:", "");
            site.call(&logins[0].0, "DELETE", &format!("user/{me}"), Value::Null).await.good();
            let remove = |by: usize, of: usize| {
                let path = format!("user/{}", logins[of].1);
                let logins = &logins;
                let site = &site;
                async move { site.call(&logins[by].0, "DELETE", &path, Value::Null).await.status }
            };
            let ends = join(remove(0, 1), remove(1, 0)).await;
            let gone = [ends.0, ends.1].iter().filter(|status| **status == 204).count();
            assert_eq!(gone, 1, "{ends:?}");
        }
    }
}
