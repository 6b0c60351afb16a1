//! Many instances by one request: what is taken and refused, held, begun in turn, and taken back.

use super::site::{Site, id, put, seen};
use cirro_models::{
    Id, Page, Timestamp, Verbs,
    compute::{
        Instance, LaunchPlan, Node,
        instance::{InstanceFilter, InstanceStatus as S},
        launch_plan::PlanStatus,
        report::{GoneInstance, NodeReport},
    },
    storage::{Attachment, Volume},
};
use cirro_server::{
    OwnerContext,
    testkit::{Backend, eventually},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Site {
    pub(super) fn group(&self, name: &str, count: i64) -> Value {
        json!({"name": name, "count": count, "template": {"flavor_id": self.small, "image_id": self.image}})
    }
    pub(super) async fn plan(&self, id: &str) -> LaunchPlan {
        LaunchPlan::get(&self.compute.own_context(), id.parse().unwrap()).await.unwrap()
    }
    /// A plan's instances in the order of their ids.
    pub(super) async fn planned(&self, plan: &str) -> Vec<Instance> {
        let filter = InstanceFilter { plan_id: Some(plan.parse().unwrap()), ..InstanceFilter::default() };
        let mut rows =
            Instance::list(&self.compute.own_context(), &filter, &Page::first(Page::MAX)).await.unwrap().items;
        rows.sort_by_key(|row| row.id.uuid());
        rows
    }
    pub(super) async fn nothing_is_taken(&self) {
        assert_eq!((self.used().await, self.claims().await), ([0, 0, 0], 0));
        assert_eq!(self.count("SELECT count(*) AS n FROM instance").await, 0);
    }
}

#[tokio::test]
async fn a_plan_makes_numbered_instances_with_a_place_and_its_reasons() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.new_node("two", 8, 8192, 100).await;
        let wish = json!({"name": "shop", "groups": [site.group("web", 3), site.group("db", 1)], "user_data": "#cloud-config\n"});
        let told = site.member("POST", "launchplan", wish).await;
        assert_eq!(told.status, 202, "{}", told.text);
        let made = told.json();
        assert!(!told.text.contains("cloud-config"), "{}", told.text);
        assert_eq!((&made["status"], &made["outlook"]["placed"]), (&"launching".into(), &4.into()));
        assert_eq!(made["outlook"]["nodes"], 2);
        assert_eq!(made["outlook"]["quota"], json!({"instances": 4, "vcpus": 4, "memory_mib": 1024}));
        let rows = site.planned(&id(&made)).await;
        let names: Vec<_> = rows.iter().map(|row| row.name.to_string()).collect();
        assert_eq!(names, ["web-0001", "web-0002", "web-0003", "db-0001"]);
        assert!(rows.iter().all(|row| row.node_id.is_some() && row.status == S::Pending));
        let placement = rows[0].placement.as_ref().unwrap();
        assert_eq!((placement.considered.get(), placement.runner_up.is_some()), (2, true));
        assert_eq!((site.used().await, site.claims().await), ([4, 4, 1024], 4));
        assert_eq!(site.count("SELECT count(*) AS n FROM launch WHERE user_data IS NOT NULL").await, 4);
        assert_eq!(site.count("SELECT count(*) AS n FROM plan_secret").await, 0);
    }
}

#[tokio::test]
async fn what_contradicts_itself_collides_or_never_fits_is_refused_and_nothing_is_made() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let huge = site.flavor("huge", 64, 256, 2).await;
        let relation = |kind: &str, groups: &[&str]| json!({"kind": kind, "groups": groups});
        let together = relation("same_node", &["web", "db"]);
        let cases = [
            (json!([site.group("web", 0)]), Value::Null, 422, "give 1 to"),
            (json!([site.group("web", 10_000_000)]), Value::Null, 422, "give 1 to"),
            (json!([]), Value::Null, 422, "0 groups"),
            (json!([site.group("web", 1), site.group("web", 2)]), Value::Null, 422, "collide"),
            (json!([site.group("web", 2)]), json!([relation("same_node", &["db"])]), 422, "does not have"),
            (json!([site.group("web", 2)]), json!([relation("spread", &["web"])]), 422, "node label"),
            (
                json!([site.group("web", 1), site.group("db", 1)]),
                json!([together, relation("different_node", &["db", "web"])]),
                422,
                "groups web and db",
            ),
            (
                json!([{"name": "web", "count": 1, "template": {"flavor_id": huge, "image_id": site.image}}]),
                Value::Null,
                409,
                "vCPUs",
            ),
            (json!([site.group("web", 9)]), json!([relation("different_node", &["web"])]), 409, "relationship"),
            (json!([site.group("web", 21)]), Value::Null, 409, "quota"),
        ];
        for (groups, relationships, status, word) in cases {
            let mut wish = json!({"name": "x", "groups": groups});
            if !relationships.is_null() {
                wish["relationships"] = relationships;
            }
            let problem = site.member("POST", "launchplan", wish.clone()).await.problem(status);
            assert!(problem.detail.contains(word), "{wish}: {}", problem.detail);
        }
        assert_eq!(site.count("SELECT count(*) AS n FROM launchplan").await, 0);
        site.nothing_is_taken().await;
        let unknown = json!({"name": "x", "groups": [{"name": "web", "count": 1, "template": {"flavor_id": Id::<Node>::new(), "image_id": site.image}}]});
        assert_eq!(site.member("POST", "launchplan", unknown).await.problem(422).field.as_deref(), Some("flavor_id"));
        let over = Timestamp::now().plus_seconds(-1).to_string();
        let late = json!({"name": "x", "groups": [site.group("web", 1)], "expires_at": over});
        assert_eq!(site.member("POST", "launchplan", late).await.problem(422).field.as_deref(), Some("expires_at"));
        site.launch("web-0002").await;
        let wish = json!({"name": "x", "groups": [site.group("web", 3)]});
        let problem = site.member("POST", "launchplan", wish).await.problem(409);
        assert!(problem.detail.contains("web-0002"), "{}", problem.detail);
    }
}

#[tokio::test]
async fn without_all_or_nothing_as_many_as_fit_are_made_and_the_rest_is_told() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        // the node has 8 processors, the quota 16
        let wish = json!({"name": "most", "groups": [site.group("web", 12)], "all_or_nothing": false});
        let made = site.member("POST", "launchplan", wish).await.good();
        assert_eq!(made["outlook"]["placed"], 8);
        let short = &made["outlook"]["short"][0];
        assert_eq!((&short["group"], &short["count"]), (&"web".into(), &4.into()));
        assert!(short["detail"].as_str().unwrap().contains("room for 8 of 12"), "{short}");
        assert_eq!(site.used().await, [8, 8, 2048]);

        site.limit(|project| project.max_instances = cirro_models::Count::new(9)).await;
        site.new_node("two", 8, 8192, 100).await;
        let wish = json!({"name": "more", "groups": [site.group("db", 3)], "all_or_nothing": false});
        let made = site.member("POST", "launchplan", wish).await.good();
        assert_eq!((&made["outlook"]["placed"], &made["outlook"]["short"][0]["count"]), (&1.into(), &2.into()));
        assert!(made["outlook"]["short"][0]["detail"].as_str().unwrap().contains("instances"), "{made}");
    }
}

#[tokio::test]
async fn a_preview_takes_nothing_and_launching_it_does_what_it_showed_or_says_what_changed() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let wish = |name: &str| json!({"name": name, "groups": [site.group(name, 4)], "intent": "preview"});
        let seen = site.member("POST", "launchplan", wish("a")).await.good();
        assert_eq!((&seen["status"], seen["outlook"]["places"].as_array().unwrap().len()), (&"previewed".into(), 4));
        site.nothing_is_taken().await;
        let path = format!("launchplan/{}", id(&seen));
        let launched = site.member("PATCH", &path, json!({"intent": "launch"})).await.good();
        assert_eq!(launched["status"], "launching");
        let rows = site.planned(&id(&seen)).await;
        let places = seen["outlook"]["places"].as_array().unwrap();
        for (row, place) in rows.iter().zip(places) {
            assert_eq!(
                (row.name.to_string(), row.node_id.unwrap().to_string()),
                (place["name"].as_str().unwrap().to_owned(), place["node_id"].as_str().unwrap().to_owned())
            );
        }

        let seen = site.member("POST", "launchplan", wish("b")).await.good();
        site.operator("PATCH", &format!("node/{two}"), json!({"mode": "drain"})).await.good();
        let path = format!("launchplan/{}", id(&seen));
        let problem = site.member("PATCH", &path, json!({"intent": "launch"})).await.problem(409);
        assert!(problem.detail.contains("another node"), "{}", problem.detail);
        assert_eq!(site.plan(&id(&seen)).await.status, PlanStatus::Previewed);
        assert_eq!(site.used().await[0], 4);
        site.member("DELETE", &path, Value::Null).await;
        site.member("GET", &path, Value::Null).await.problem(404);
    }
}

#[tokio::test]
async fn a_preview_tells_only_the_bytes_that_nodes_have_not_fetched_yet() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.running("first").await;
        site.new_node("two", 8, 8192, 100).await;
        let bytes = async |name: &str| {
            let apart = json!([{"kind": "different_node", "groups": [name]}]);
            let wish =
                json!({"name": name, "groups": [site.group(name, 2)], "intent": "preview", "relationships": apart});
            let seen = site.member("POST", "launchplan", wish).await.good();
            assert_eq!(seen["outlook"]["nodes"], 2, "{seen}");
            seen["outlook"]["image_bytes"].as_i64().unwrap()
        };
        let one_node = bytes("web").await;
        assert!(one_node > 0);
        site.operator("PATCH", &format!("node/{}", site.node), json!({"mode": "drain"})).await.good();
        site.new_node("three", 8, 8192, 100).await;
        assert_eq!(bytes("db").await, 2 * one_node, "neither of them has the image");
    }
}

#[tokio::test]
async fn held_room_counts_is_launched_exactly_and_comes_back_when_its_time_is_over() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let hold =
            |name: &str| json!({"name": name, "groups": [site.group(name, 5)], "intent": "hold", "user_data": "s"});
        let held = site.member("POST", "launchplan", hold("a")).await.good();
        assert!(held["held_until"].is_string() && held["status"] == "held", "{held}");
        assert_eq!((site.used().await, site.claims().await), ([5, 5, 1280], 5));
        assert_eq!(site.count("SELECT count(*) AS n FROM instance").await, 0);
        // three processors are left
        assert_eq!(site.member("POST", "launchplan", hold("b")).await.status, 409);
        let path = format!("launchplan/{}", id(&held));
        assert_eq!(site.member("PATCH", &path, json!({"intent": "launch"})).await.good()["status"], "launching");
        assert_eq!(
            (site.planned(&id(&held)).await.len(), site.used().await, site.claims().await),
            (5, [5, 5, 1280], 5)
        );
        assert_eq!(site.count("SELECT count(*) AS n FROM launch WHERE user_data = 's'").await, 5);
        assert_eq!(site.count("SELECT count(*) AS n FROM claim WHERE held_by IS NOT NULL").await, 0);
        assert_eq!(site.count("SELECT count(*) AS n FROM plan_secret").await, 0);

        let wish = json!({"name": "c", "groups": [site.group("c", 2)], "intent": "hold"});
        let held = id(&site.member("POST", "launchplan", wish).await.good());
        let plan: Id<LaunchPlan> = held.parse().unwrap();
        let past = move |tx: &mut cirro_server::Tx<'_>| {
            tx.change::<LaunchPlan>(plan, |plan| plan.held_until = Some(Timestamp::now().plus_seconds(-1)))
        };
        site.compute.own_context().write(past).await.unwrap();
        let _tended = site.tended();
        eventually("the room is given back", async || {
            (site.plan(&held).await.status == PlanStatus::Expired).then_some(())
        })
        .await;
        assert_eq!((site.used().await[0], site.claims().await), (5, 5));
    }
}

#[tokio::test]
async fn as_many_as_may_be_on_their_way_begin_and_failures_stop_the_rest() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let wish = json!({"name": "slow", "groups": [site.group("web", 6)], "max_in_flight": 2, "max_failures": 1});
        let plan = id(&site.member("POST", "launchplan", wish).await.good());
        let begun = async || site.planned(&plan).await.iter().filter(|row| row.node_id.is_some()).count();
        assert_eq!((begun().await, site.claims().await), (2, 6));
        assert_eq!(site.assignment(site.node, "").await.manifest.len(), 2, "the node hears of no others");
        let _tended = site.tended();
        let rows = site.planned(&plan).await;
        site.saw_as(rows[0].id, 1, S::Running).await;
        eventually("one more begins", async || (begun().await == 3).then_some(())).await;
        let progress = eventually("it is told", async || {
            site.plan(&plan)
                .await
                .progress
                .filter(|progress| progress.count("running") == 1 && progress.count("queued") == 3)
        })
        .await;
        assert_eq!((progress.count("placed"), progress.slowest[0].node_id), (2, site.node));

        let mut failed = seen(rows[1].id, 1, S::Failed);
        failed.reason = Some("the disk is full".to_owned());
        let running = seen(rows[2].id, 1, S::Running);
        site.report(site.node, NodeReport { instances: vec![failed, running], ..site.saw() }).await;
        let halted = eventually("no more begin", async || {
            Some(site.plan(&plan).await).filter(|plan| plan.status == PlanStatus::Halted)
        })
        .await;
        assert!(halted.status_reason.unwrap().contains("1 instances have failed"));
        let failures = &halted.progress.as_ref().unwrap().failures;
        assert!(failures[0].reason.starts_with("the disk is full; no other node") && failures[0].count == 1);
        assert_eq!(begun().await, 3);

        // who has looked into it goes on
        site.member("DELETE", &format!("instance/{}", rows[1].id), Value::Null).await.good();
        site.member("PATCH", &format!("launchplan/{plan}"), json!({"intent": "launch"})).await.good();
        eventually("the rest begins", async || (begun().await == 5).then_some(())).await;
    }
}

#[tokio::test]
async fn a_plan_is_launched_once_all_of_it_rests() {
    let site = Site::new(Backend::Sqlite).await;
    let plan =
        id(&site.member("POST", "launchplan", json!({"name": "x", "groups": [site.group("web", 2)]})).await.good());
    let _tended = site.tended();
    let rows = site.planned(&plan).await;
    let all = rows.iter().map(|row| seen(row.id, 1, S::Running)).collect();
    site.report(site.node, NodeReport { instances: all, ..site.saw() }).await;
    let done = eventually("all of it rests", async || {
        Some(site.plan(&plan).await).filter(|plan| plan.status == PlanStatus::Launched)
    })
    .await;
    assert_eq!(done.progress.unwrap().counts, [("running".to_owned(), 2)].into());
    let problem = site.member("DELETE", &format!("launchplan/{plan}"), Value::Null).await.problem(409);
    assert!(problem.detail.contains("undo"), "{}", problem.detail);
}

#[tokio::test]
async fn undo_removes_what_the_plan_made_and_keeps_what_somebody_has_changed() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = site.launch("other").await;
        let plan =
            id(&site.member("POST", "launchplan", json!({"name": "x", "groups": [site.group("web", 5)]})).await.good());
        let rows = site.planned(&plan).await;
        let all = rows.iter().map(|row| seen(row.id, 1, S::Running)).collect();
        site.report(site.node, NodeReport { instances: all, ..site.saw() }).await;
        site.member("PATCH", &format!("instance/{}", rows[1].id), json!({"protected": true})).await.good();
        let volume: Volume = super::site::build(site.actors.project, json!({"name": "v", "size_gib": 1}));
        let attached = json!({"volume_id": volume.id, "instance_id": rows[2].id});
        put(&site.storage, volume).await;
        put::<Attachment>(&site.storage, super::site::build(site.actors.project, attached)).await;

        site.member("PATCH", &format!("launchplan/{plan}"), json!({"intent": "undo"})).await.good();
        let _tended = site.tended();
        let going = eventually("the others go", async || {
            let rows = site.planned(&plan).await;
            let going: Vec<_> = rows.iter().filter(|row| row.meta.deleted_at.is_some()).map(|row| row.id).collect();
            (going.len() == 3).then_some(going)
        })
        .await;
        assert_eq!(going.iter().collect::<BTreeSet<_>>(), [&rows[0].id, &rows[3].id, &rows[4].id].into());
        let generation = cirro_models::Generation::new(2);
        let gone = going.iter().map(|id| GoneInstance { id: *id, generation }).collect();
        site.report(site.node, NodeReport { gone, ..site.saw() }).await;
        let undone = eventually("it is undone", async || {
            Some(site.plan(&plan).await).filter(|plan| plan.status == PlanStatus::Undone)
        })
        .await;
        let reason = undone.status_reason.unwrap();
        assert!(reason.contains("2 instances are kept") && reason.ends_with("and 1 of them are protected"), "{reason}");
        assert_eq!((site.used().await[0], site.claims().await), (3, 3));
        assert!(site.exists(other).await);
    }
}

#[tokio::test]
async fn what_has_an_end_is_taken_back_then() {
    let site = Site::new(Backend::Sqlite).await;
    let soon = Timestamp::now().plus_seconds(1).to_string();
    let wish = json!({"name": "x", "groups": [site.group("web", 2)], "max_in_flight": 1, "expires_at": soon});
    let plan = id(&site.member("POST", "launchplan", wish).await.good());
    let _tended = site.tended();
    eventually("its end comes", async || {
        let rows = site.planned(&plan).await;
        (rows.len() == 1 && rows[0].meta.deleted_at.is_some()).then_some(())
    })
    .await;
    assert_eq!(site.plan(&plan).await.status, PlanStatus::Undoing);
}

#[tokio::test]
async fn a_repeated_request_is_the_same_plan() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let wish = json!({"name": "x", "groups": [site.group("web", 3)]});
        let member = site.actors.member();
        let first = site.keyed(&member, "POST", "launchplan", &wish, "k1").await;
        let again = site.keyed(&member, "POST", "launchplan", &wish, "k1").await;
        assert_eq!((first.status, &first.text), (again.status, &again.text));
        assert_eq!(site.used().await[0], 3);
        let other = json!({"name": "x", "groups": [site.group("web", 4)]});
        site.keyed(&member, "POST", "launchplan", &other, "k1").await.problem(409);
    }
}

#[tokio::test]
async fn how_many_more_fit_is_told_and_as_many_do() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let path = format!("capacity/{}", site.small);
        let told = site.member("GET", &path, Value::Null).await.good();
        assert_eq!((&told["more"], &told["bound"]), (&8.into(), &"nodes".into()));
        assert_eq!(told["on_nodes"], Value::Null, "totals are for operators");
        assert_eq!(site.operator("GET", &path, Value::Null).await.good()["on_nodes"], 8);
        site.limit(|project| project.max_vcpus = cirro_models::Vcpus::new(5)).await;
        let told = site.member("GET", &path, Value::Null).await.good();
        assert_eq!((&told["more"], &told["bound"]), (&5.into(), &"quota".into()));
        site.member("POST", "launchplan", json!({"name": "x", "groups": [site.group("web", 5)]})).await.good();
        assert_eq!(site.member("GET", &path, Value::Null).await.good()["more"], 0);
        site.member("GET", &format!("capacity/{}", Id::<Node>::new()), Value::Null).await.problem(404);
    }
}
