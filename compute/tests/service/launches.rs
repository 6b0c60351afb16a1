//! What it takes to launch an instance.

use super::site::{Site, id};
use cirro_models::images::machine_image::ImageStatus;
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

#[tokio::test]
async fn an_instance_is_accepted_with_its_place_its_charge_and_its_claim() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let told = site.member("POST", "instance", site.wish("web1")).await;
        assert_eq!(told.status, 202, "{}", told.text);
        let made = told.json();
        assert_eq!(told.header("location"), format!("/compute/v1/instance/{}", id(&made)));
        assert_eq!(made["links"]["self"], told.header("location"));
        assert_eq!((&made["status"], &made["power"]), (&"pending".into(), &"running".into()));
        assert_eq!((&made["generation"], &made["observed_generation"]), (&1.into(), &0.into()));
        assert_eq!(made["node_id"], site.node.to_string());
        assert_eq!((&made["vcpus"], &made["memory_mib"], &made["disk_gib"]), (&1.into(), &256.into(), &2.into()));
        assert!(made["status_deadline"].is_string(), "a state that should pass has a deadline");
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1));
        let read =
            site.call(&site.actors.viewer(), "GET", &format!("instance/{}", id(&made)), Value::Null).await.good();
        assert_eq!(read["name"], "web1");
        let off = json!({"name": "off", "flavor_id": site.small, "image_id": site.image, "power": "stopped"});
        assert_eq!(site.member("POST", "instance", off).await.good()["power"], "stopped");
    }
}

#[tokio::test]
async fn an_image_must_be_the_projects_or_public_and_ready_and_fit() {
    let site = Site::new(Backend::Sqlite).await;
    let (ours, theirs) = (site.actors.project, site.actors.elsewhere);
    let foreign = site.image("foreign", theirs, |_| ()).await;
    let public = site.image("public", theirs, |image| image.public = true).await;
    let awaited = site.image("awaited", ours, |image| image.status = ImageStatus::Awaiting).await;
    let nameless = site.image("nameless", ours, |image| image.sha256 = None).await;
    let big =
        site.image("big", ours, |image| image.virtual_bytes = Some(cirro_models::Bytes::new((2 << 30) + 1))).await;
    let just = site.image("just", ours, |image| image.virtual_bytes = Some(cirro_models::Bytes::new(2 << 30))).await;
    let unknown = Uuid::now_v7();
    for (image, status, field, remedy) in [
        (foreign.to_string(), 422, "image_id", "not found"),
        (unknown.to_string(), 422, "image_id", "not found"),
        (awaited.to_string(), 409, "", "upload"),
        (nameless.to_string(), 409, "", "upload"),
        (big.to_string(), 422, "flavor_id", "larger flavor"),
        (public.to_string(), 202, "", ""),
        (just.to_string(), 202, "", ""),
    ] {
        let wish = json!({"name": format!("i{image}"), "flavor_id": site.small, "image_id": image});
        let told = site.member("POST", "instance", wish).await;
        assert_eq!(told.status, status, "{}", told.text);
        if status != 202 {
            let problem = told.problem(status);
            assert_eq!(problem.field.unwrap_or_default(), field, "{}", problem.detail);
            assert!(problem.detail.contains(remedy), "{}", problem.detail);
        }
    }
    // an operator reads every image, but reading is not using
    let wish = json!({"name": "sneaky", "flavor_id": site.small, "image_id": foreign});
    let problem = site.operator("POST", "instance", wish).await.problem(422);
    assert_eq!(problem.field.as_deref(), Some("image_id"));
    let wish = json!({"name": "none", "flavor_id": unknown, "image_id": site.image});
    assert_eq!(site.member("POST", "instance", wish).await.problem(422).field.as_deref(), Some("flavor_id"));
    assert_eq!((site.used().await, site.claims().await), ([2, 2, 512], 2), "what was refused left something");
}

#[tokio::test]
async fn ssh_keys_must_be_the_projects() {
    let site = Site::new(Backend::Sqlite).await;
    let line = format!("ssh-ed25519 {} ann@desk", "A".repeat(68));
    let key = |name: &str| json!({"name": name, "public_key": line});
    let ours = id(&site.member("POST", "sshkey", key("ours")).await.good());
    let theirs = id(&site.call(&site.actors.outsider(), "POST", "sshkey", key("theirs")).await.good());
    for (keys, status) in [(vec![&ours], 202), (vec![&ours, &theirs], 422), (vec![&theirs], 422)] {
        let mut wish = site.wish(&format!("i{}", Uuid::now_v7()));
        wish["ssh_key_ids"] = json!(keys);
        let told = site.member("POST", "instance", wish).await;
        assert_eq!(told.status, status, "{}", told.text);
        if status == 422 {
            let problem = told.problem(422);
            assert_eq!(problem.field.as_deref(), Some("ssh_key_ids"));
            assert!(problem.detail.contains(&theirs));
        }
    }
    assert_eq!(site.assignment(site.node, "").await.instances[0].ssh_keys, [line]);
}

#[tokio::test]
async fn one_key_is_one_instance_one_claim_and_one_charge() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, wish) = (site.actors.member(), site.wish("web1"));
        let at_once = join_all((0..10).map(|_| site.keyed(&member, "POST", "instance", &wish, "launch web1"))).await;
        let ids: BTreeSet<String> = at_once.iter().map(|told| id(&told.good())).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let later = site.keyed(&member, "POST", "instance", &wish, "launch web1").await;
        assert_eq!((later.status, ids.contains(&id(&later.json()))), (202, true));
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1));
        site.keyed(&member, "POST", "instance", &site.wish("web2"), "launch web1").await.problem(409);
        // the key is the member's own
        site.keyed(&site.actors.admin(), "POST", "instance", &wish, "launch web1").await.problem(409);
    }
}

#[tokio::test]
async fn one_key_wins_the_last_room_of_a_node_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let whole = site.flavor("whole", 8, 1024, 10).await;
        let wish = json!({"name": "only", "flavor_id": whole, "image_id": site.image});
        let member = site.actors.member();
        let at_once = join_all((0..6).map(|_| site.keyed(&member, "POST", "instance", &wish, "the last room"))).await;
        let ids: BTreeSet<String> = at_once.iter().map(|told| id(&told.good())).collect();
        assert_eq!((ids.len(), site.claims().await), (1, 1));
    }
}

#[tokio::test]
async fn a_name_is_taken_once_in_a_project_and_free_when_its_instance_is_deleted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let first = site.launch("web1").await;
        let problem = site.member("POST", "instance", site.wish("web1")).await.problem(409);
        assert!(problem.detail.contains("name") && problem.detail.contains("choose another"), "{}", problem.detail);
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1), "a refused one was charged");

        let second = site.launch("web2").await;
        site.member("PATCH", &format!("instance/{second}"), json!({"name": "web1"})).await.problem(409);
        assert_eq!(site.member("DELETE", &format!("instance/{first}"), Value::Null).await.status, 202);
        assert_ne!(site.launch("web1").await, first);
        let theirs = site.image("theirs", site.actors.elsewhere, |_| ()).await;
        let wish = json!({"name": "web1", "flavor_id": site.small, "image_id": theirs});
        assert_eq!(site.call(&site.actors.outsider(), "POST", "instance", wish).await.status, 202);
    }
}
