//! Keys and flavors.

use super::site::{Site, id};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

#[tokio::test]
async fn ssh_keys_are_public_ones_of_a_project() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let body = "A".repeat(68);
        let made = site
            .member("POST", "sshkey", json!({"name": "ann", "public_key": format!("ssh-ed25519 {body} ann@desk\n")}))
            .await
            .good();
        assert_eq!(made["public_key"], format!("ssh-ed25519 {body} ann@desk"));
        let path = format!("sshkey/{}", id(&made));
        site.call(&site.actors.outsider(), "GET", &path, Value::Null).await.problem(404);
        site.call(&site.actors.viewer(), "DELETE", &path, Value::Null).await.problem(403);
        for (wrong, remedy) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc", "private key"),
            ("hello", ".pub file"),
            (&*format!("ssh-ed25519 {body}\nssh-ed25519 {body}"), "one line"),
            (&*format!("ssh-dss {body}"), ".pub file"),
        ] {
            let problem =
                site.member("POST", "sshkey", json!({"name": "wrong", "public_key": wrong})).await.problem(422);
            assert_eq!(problem.field.as_deref(), Some("public_key"));
            assert!(problem.detail.contains(remedy), "{}", problem.detail);
            assert!(!problem.detail.contains("abc"), "a private key was repeated");
        }
        assert_eq!(site.member("DELETE", &path, Value::Null).await.status, 204);
    }
}

#[tokio::test]
async fn a_flavor_is_large_enough_for_a_guest_and_stays_as_it_is() {
    let site = Site::new(Backend::Sqlite).await;
    for (field, value) in [("vcpus", 0), ("memory_mib", 31), ("disk_gib", 0)] {
        let mut new = json!({"name": "nano", "vcpus": 1, "memory_mib": 64, "disk_gib": 1});
        new[field] = value.into();
        assert_eq!(site.operator("POST", "flavor", new).await.problem(422).field.as_deref(), Some(field));
    }
    let path = format!("flavor/{}", site.small);
    assert_eq!(
        site.operator("PATCH", &path, json!({"memory_mib": 1})).await.problem(422).field.as_deref(),
        Some("memory_mib")
    );
    site.operator("PATCH", &path, json!({"name": "little"})).await.good();
    let seen = site.call(&site.actors.stranger(), "GET", &path, Value::Null).await.good();
    assert_eq!(seen["name"], "little");
}
