//! The audit: one of each kind is seeded and found by its code and its thing; where all is well nothing is.

use super::site::{Login, Site, id};
use cirro_identity::audit::kinds;
use cirro_models::finding::Findings;
use cirro_server::testkit::{Backend, Pen};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What is found: code and id of each.
async fn found(site: &Site, by: &Login) -> BTreeSet<(String, Uuid)> {
    let told: Findings = serde_json::from_value(site.call(by, "GET", "audit", Value::Null).await.good()).unwrap();
    told.items.into_iter().map(|finding| (finding.code, finding.id)).collect()
}

/// A person of a project, with a place in a group and a key; and that group with a grant.
async fn crowd(site: &Site, name: &str, project: &str) -> [String; 5] {
    let operator = site.operator().await;
    let person = site.person(name, "member", project).await;
    let group = id(&site.call(&operator, "POST", "group", json!({"name": format!("{name}s")})).await.good());
    let member = json!({"group_id": group, "user_id": person.id});
    let member = id(&site.call(&operator, "POST", "groupmember", member).await.good());
    let (key, _) = site.key(&person.login, name, "viewer", &site.project_id(project).await).await;
    [person.id, person.grant, group, member, key]
}

#[tokio::test]
async fn where_people_come_and_go_nothing_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        assert_eq!(found(&site, &operator).await, BTreeSet::new());
        let project = site.new_project("web").await;
        let [ann, _, group, ..] = crowd(&site, "ann", "web").await;
        let token = id(&site.call(&operator, "POST", "jointoken", json!({"name": "n1"})).await.good());
        assert_eq!(found(&site, &operator).await, BTreeSet::new());
        for path in [
            format!("group/{group}"),
            format!("user/{ann}"),
            format!("project/{project}"),
            format!("jointoken/{token}"),
        ] {
            assert_eq!(site.call(&operator, "DELETE", &path, Value::Null).await.status, 204, "{path}");
        }
        assert_eq!(found(&site, &operator).await, BTreeSet::new());
        let bob = site.person("bob", "admin", "default").await;
        site.call(&bob.login, "GET", "audit", Value::Null).await.problem(403);
    }
}

#[tokio::test]
async fn one_of_each_kind_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (operator, pen) = (site.operator().await, Pen::of(&site.identity));
        let (one, other) = (site.new_project("one").await, site.new_project("other").await);
        let [ann, grant, _, member, key] = crowd(&site, "ann", "one").await;
        let [_, lost_grant, group, groupless, lost_key] = crowd(&site, "bob", "other").await;
        let (keyless, token) = (Uuid::now_v7(), Uuid::now_v7());
        let gone =
            |table: &str, id: &str| format!("DELETE FROM {table} WHERE id = {}", pen.id(id.parse::<Uuid>().unwrap()));
        for sql in [
            gone("\"user\"", &ann),
            gone("\"group\"", &group),
            gone("project", &other),
            format!("INSERT INTO secret_hash (owner, hash, expires_us) VALUES ('key:{keyless}', 'x', 1)"),
            format!("INSERT INTO join_claim (token_id, key_hash, offer) VALUES ({}, 'x', 'x')", pen.id(token)),
            // the operator's token is verified by the public half
            "DELETE FROM signing_key".to_owned(),
        ] {
            pen.write(&sql).await;
        }
        drop(one);
        let seeded = [
            ("identity.grant-without-holder", &grant),
            ("identity.password-without-user", &ann),
            ("identity.member-without-user", &member),
            ("identity.key-without-user", &key),
            ("identity.grant-without-project", &lost_grant),
            ("identity.key-without-project", &lost_key),
            ("identity.member-without-group", &groupless),
            ("identity.secret-without-owner", &keyless.to_string()),
            ("identity.joining-without-token", &token.to_string()),
        ];
        let mut found = found(&site, &operator).await;
        for (code, id) in seeded {
            let one = (code.to_owned(), id.parse().unwrap());
            assert!(found.remove(&one), "{code} of {id} is not in {found:#?}");
        }
        // the secrets of what was deleted by hand, and the key that signs
        found.retain(|(code, _)| code != "identity.secret-without-owner");
        let left: Vec<_> = found.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(left, ["identity.key-without-private-half"]);
        let codes: BTreeSet<&str> = seeded.iter().map(|(code, _)| *code).chain(left).collect();
        assert_eq!(codes, kinds().iter().map(|kind| kind.code).collect(), "a kind is not seeded");
    }
}
