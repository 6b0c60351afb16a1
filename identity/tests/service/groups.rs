//! Whoever is in a group has what it was granted, from when they join until they leave.

use super::site::{Site, id, password_of};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

async fn group(site: &Site, name: &str) -> String {
    id(&site.call(&site.operator().await, "POST", "group", json!({"name": name})).await.good())
}

/// Puts somebody into a group; the id of their place in it.
async fn join(site: &Site, group: &str, user: &str) -> String {
    let new = json!({"group_id": group, "user_id": user});
    id(&site.call(&site.operator().await, "POST", "groupmember", new).await.good())
}

fn grant(group: &str, role: &str, project: Option<&str>) -> Value {
    json!({"group_id": group, "role": role, "project_id": project})
}

#[tokio::test]
async fn members_have_what_the_group_was_granted_beside_their_own() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (home, other) = (site.project_id("default").await, site.new_project("other").await);
        let ann = site.person("ann", "viewer", "default").await;
        let operator = site.operator().await;
        let team = group(&site, "team").await;
        join(&site, &team, &ann.id).await;
        for (role, project) in [("member", &home), ("admin", &other)] {
            site.call(&operator, "POST", "grant", grant(&team, role, Some(project))).await.good();
        }
        let at = async |project: &str| site.login("ann", &password_of("ann"), Some(project)).await;
        let (here, there) = (at("default").await, at("other").await);
        assert_eq!((&here.told["role"], &there.told["role"]), (&"member".into(), &"admin".into()));
        let me = site.call(&here, "GET", "user/me", Value::Null).await.good();
        assert_eq!(me["grants"].as_array().unwrap().len(), 3);
        // what she holds by a group she may grant, and give a key
        site.grant(&there, &ann.id, "member", Some(&other)).await.good();
        site.grant(&here, &ann.id, "member", Some(&home)).await.problem(403);
        let (name, secret) = site.key(&there, "ci", "admin", &other).await;
        assert_eq!(site.login(&name, &secret, None).await.told["role"], "admin");
    }
}

#[tokio::test]
async fn leaving_a_group_or_its_end_ends_what_was_derived_from_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = site.new_project("other").await;
        let operator = site.operator().await;
        let (ann, ben) = (site.person("ann", "viewer", "default").await, site.person("ben", "viewer", "default").await);
        let at_other = async |name: &str| site.ask(name, &password_of(name), Some("other")).await;
        for way in ["leaves", "grant", "group", "project"] {
            let project = if way == "project" { site.new_project("brief").await } else { other.clone() };
            let name = if way == "project" { "brief" } else { "other" };
            let team = group(&site, way).await;
            let place = join(&site, &team, &ann.id).await;
            let granted = site.call(&operator, "POST", "grant", grant(&team, "admin", Some(&project))).await.good();
            let login = site.login("ann", &password_of("ann"), Some(name)).await;
            let (key, secret) = site.key(&login, way, "member", &project).await;
            let script = site.login(&key, &secret, None).await;
            let bystander = site.login("ben", &password_of("ben"), None).await;
            let path = match way {
                "leaves" => format!("groupmember/{place}"),
                "grant" => format!("grant/{}", id(&granted)),
                "group" => format!("group/{team}"),
                _ => format!("project/{project}"),
            };
            assert_eq!(site.call(&operator, "DELETE", &path, Value::Null).await.status, 204, "{way}");
            assert!(!site.is_good(&login).await && !site.is_good(&script).await, "{way}");
            assert!(site.is_good(&bystander).await, "{way}");
            at_other("ann").await.problem(403);
            if way == "group" {
                for gone in [format!("groupmember/{place}"), format!("grant/{}", id(&granted))] {
                    site.call(&operator, "GET", &gone, Value::Null).await.problem(404);
                }
            }
        }
        assert!(site.is_good(&site.login("ann", &password_of("ann"), None).await).await);
        drop(ben);
    }
}

#[tokio::test]
async fn groups_are_an_operators_and_nobody_sees_who_else_is_in_them() {
    let site = Site::new(Backend::Sqlite).await;
    let (team, home) = (group(&site, "team").await, site.project_id("default").await);
    let (chief, ann) = (site.person("chief", "admin", "default").await, site.person("ann", "member", "default").await);
    let place = join(&site, &team, &ann.id).await;
    for (method, path, body) in [
        ("POST", "group".to_owned(), json!({"name": "mine"})),
        ("PATCH", format!("group/{team}"), json!({"name": "mine"})),
        ("DELETE", format!("group/{team}"), Value::Null),
        ("POST", "groupmember".to_owned(), json!({"group_id": team, "user_id": chief.id})),
    ] {
        site.call(&chief.login, method, &path, body).await.problem(403);
    }
    site.call(&chief.login, "DELETE", &format!("groupmember/{place}"), Value::Null).await.problem(404);
    let seen = async |by| site.call(by, "GET", "groupmember", Value::Null).await.good()["items"].clone();
    assert_eq!(seen(&chief.login).await, json!([]));
    assert_eq!(id(&seen(&ann.login).await[0]), place);
    // an admin grants it what they hold, and no more
    site.call(&chief.login, "POST", "grant", grant(&team, "member", Some(&home))).await.good();
    site.call(&chief.login, "POST", "grant", grant(&team, "member", Some(&home))).await.problem(409);
    site.call(&chief.login, "POST", "grant", grant(&team, "operator", None)).await.problem(403);
    for (field, new) in [
        ("group_id", grant(&ann.id, "member", Some(&home))),
        ("user_id", json!({"role": "member", "project_id": home})),
        ("group_id", json!({"user_id": ann.id, "group_id": team, "role": "member", "project_id": home})),
    ] {
        let problem = site.call(&chief.login, "POST", "grant", new).await.problem(422);
        assert_eq!(problem.field.as_deref(), Some(field));
    }
    let operator = site.operator().await;
    for (field, group, user) in [("group_id", &home, &ann.id), ("user_id", &team, &home)] {
        let new = json!({"group_id": group, "user_id": user});
        let problem = site.call(&operator, "POST", "groupmember", new).await.problem(422);
        assert_eq!(problem.field.as_deref(), Some(field));
    }
    site.call(&operator, "POST", "groupmember", json!({"group_id": team, "user_id": ann.id})).await.problem(409);
    assert_eq!(site.call(&operator, "DELETE", &format!("user/{}", ann.id), Value::Null).await.status, 204);
    assert_eq!(seen(&operator).await, json!([]), "a place went with its user");
}

#[tokio::test]
async fn a_group_may_run_the_site_and_the_last_operator_in_it_stays() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let crew = group(&site, "crew").await;
        let ann = site.person("ann", "viewer", "default").await;
        let place = join(&site, &crew, &ann.id).await;
        let operator = site.operator().await;
        let crews = site.call(&operator, "POST", "grant", grant(&crew, "operator", None)).await.good();
        let login = site.login("ann", &password_of("ann"), None).await;
        assert_eq!(login.told["operator"], true);
        let me = site.call(&operator, "GET", "user/me", Value::Null).await.good();
        let own = me["grants"].as_array().unwrap().iter().find(|grant| grant["role"] == "operator").map(id).unwrap();
        assert_eq!(site.call(&login, "DELETE", &format!("grant/{own}"), Value::Null).await.status, 204);
        for (method, path, body) in [
            ("DELETE", format!("groupmember/{place}"), Value::Null),
            ("DELETE", format!("group/{crew}"), Value::Null),
            ("DELETE", format!("grant/{}", id(&crews)), Value::Null),
            ("DELETE", format!("user/{}", ann.id), Value::Null),
            ("PATCH", format!("user/{}", ann.id), json!({"enabled": false})),
        ] {
            let problem = site.call(&login, method, &path, body).await.problem(409);
            assert!(problem.detail.contains("operator"), "{method} {path}: {}", problem.detail);
        }
        assert!(site.is_good(&login).await);
    }
}
