//! Large plans: accepted as a whole, and made in batches.

use super::{
    orphans::found,
    site::{Site, Tended, id, seen},
};
use cirro_models::{
    Count, GiB, Id, MiB, Timestamp, Vcpus,
    compute::{
        Instance, Node,
        instance::InstanceStatus as S,
        launch_plan::PlanStatus,
        report::{GoneInstance, NodeReport},
    },
};
use cirro_server::testkit::{Backend, Pen, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ROWS: &str = "SELECT count(*) AS n FROM instance";
const HELD: &str = "SELECT count(*) AS n FROM claim WHERE held_by IS NOT NULL";
const KEPT: &str = "SELECT count(*) AS n FROM plan_launch";

impl Site {
    /// Room and quota for thousands.
    async fn grow(&self) {
        self.limit(|project| {
            (project.max_instances, project.max_vcpus) = (Count::new(10_000), Vcpus::new(10_000));
            project.max_memory_mib = MiB::new(10_000_000);
        })
        .await;
        self.new_node("big", 5000, 5_000_000, 50_000).await;
    }
    /// A plan of one group that is accepted.
    async fn accepted(&self, group: &str, count: i64, more: Value) -> String {
        let mut wish = json!({"name": group, "groups": [self.group(group, count)]});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = self.member("POST", "launchplan", wish).await;
        assert_eq!(told.status, 202, "{}", told.text);
        id(&told.json())
    }
    async fn wished(&self, plan: &str, intent: &str) -> Value {
        self.member("PATCH", &format!("launchplan/{plan}"), json!({"intent": intent})).await.good()
    }
    async fn counts_to(&self, what: &'static str, expected: i64) {
        eventually(what, async || (self.count(what).await == expected).then_some(())).await;
    }
    async fn plan_is(&self, plan: &str, status: PlanStatus) -> cirro_models::compute::LaunchPlan {
        eventually("its status", async || Some(self.plan(plan).await).filter(|plan| plan.status == status)).await
    }
    /// What is on its way on this node comes up.
    async fn all_run(&self, plan: &str, node: Id<Node>) {
        let here = self.planned(plan).await.into_iter().filter(|row| row.node_id == Some(node));
        let instances = here.map(|row| seen(row.id, row.generation.get(), S::Running)).collect();
        self.report(node, NodeReport { instances, ..self.saw() }).await;
    }
    /// What is being deleted on the only node is gone from it.
    async fn all_gone(&self, plan: &str) {
        let going = self.planned(plan).await.into_iter().filter(|row| row.meta.deleted_at.is_some());
        let gone = going.map(|row| GoneInstance { id: row.id, generation: row.generation }).collect();
        self.report(self.node, NodeReport { gone, ..self.saw() }).await;
    }
    async fn deleted(&self, instance: Id<Instance>) {
        self.member("DELETE", &format!("instance/{instance}"), Value::Null).await.good();
    }
    async fn nothing_is_left_over(&self) {
        assert_eq!(found(self).await, BTreeSet::new());
    }
    /// Sets something of rows behind compute's back.
    async fn set(&self, sql: &str) {
        Pen::of(&self.compute).write(sql).await;
    }
}

#[tokio::test]
async fn of_2500_a_thousand_are_made_at_once_and_the_rest_follows() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.grow().await;
        let plan = site.accepted("web", 2500, json!({"user_data": "secret"})).await;
        assert_eq!((site.count(ROWS).await, site.count(HELD).await, site.count(KEPT).await), (1000, 1500, 1));
        assert_eq!((site.claims().await, site.used().await[0]), (2500, 2500), "all of it is taken");
        site.nothing_is_left_over().await;
        let _tended = site.tended();
        site.counts_to(ROWS, 2500).await;
        site.counts_to(KEPT, 0).await;
        assert_eq!((site.count(HELD).await, site.claims().await, site.used().await[0]), (0, 2500, 2500));
        let launched = "SELECT count(*) AS n FROM launch WHERE user_data = 'secret'";
        assert_eq!(site.count(launched).await, 2500);
        assert_eq!(site.count("SELECT count(DISTINCT name) AS n FROM instance WHERE node_id IS NOT NULL").await, 2500);
        assert_eq!(site.plan(&plan).await.outlook.unwrap().placed, 2500);
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn a_held_plan_of_2500_is_launched_in_the_same_way() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.grow().await;
        let plan = site.accepted("web", 2500, json!({"intent": "hold", "user_data": "secret"})).await;
        assert_eq!((site.count(ROWS).await, site.count(HELD).await, site.count(KEPT).await), (0, 2500, 0));
        site.wished(&plan, "launch").await;
        assert_eq!((site.count(ROWS).await, site.count(HELD).await, site.count(KEPT).await), (1000, 1500, 1));
        assert_eq!(site.count("SELECT count(*) AS n FROM plan_secret").await, 0);
        let _tended = site.tended();
        site.counts_to(ROWS, 2500).await;
        site.counts_to(KEPT, 0).await;
        assert_eq!((site.claims().await, site.used().await[0]), (2500, 2500));
        let launched = "SELECT count(*) AS n FROM launch WHERE user_data = 'secret'";
        assert_eq!(site.count(launched).await, 2500);
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn each_is_written_once_by_who_asked_and_counted_until_all_rest() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let wish = json!({"name": "shop", "groups": [site.group("web", 3), site.group("db", 4)]});
        let plan = id(&site.member("POST", "launchplan", wish).await.good());
        assert_eq!(site.planned(&plan).await.len(), 2);
        let _tended = site.tended();
        let progress = eventually("it is counted", async || site.plan(&plan).await.progress).await;
        assert_eq!(progress.counts.values().sum::<i64>(), 7, "{progress:?}");
        assert_eq!(progress.count("gone"), 0);
        site.counts_to(ROWS, 7).await;
        let rows = site.planned(&plan).await;
        let names: Vec<_> = rows.iter().map(|row| row.name.to_string()).collect();
        assert_eq!(names, ["web-0001", "web-0002", "web-0003", "db-0001", "db-0002", "db-0003", "db-0004"]);
        for row in &rows {
            assert_eq!((row.node_id, row.meta.version.get()), (Some(site.node), 1), "{row:?}");
            assert_eq!(row.meta.created_by, rows[0].meta.created_by);
            assert!(row.placement.as_ref().is_some_and(|placement| placement.tried.is_empty()));
        }
        site.all_run(&plan, site.node).await;
        let launched = site.plan_is(&plan, PlanStatus::Launched).await;
        assert_eq!(launched.progress.unwrap().counts, [("running".to_owned(), 7)].into());
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn no_more_begin_than_may_be_on_their_way() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let plan = site.accepted("web", 8, json!({"max_in_flight": 3})).await;
        let _tended = site.tended();
        site.counts_to(ROWS, 8).await;
        let begun = async || site.planned(&plan).await.iter().filter(|row| row.node_id.is_some()).count();
        eventually("three begin", async || (begun().await == 3).then_some(())).await;
        site.all_run(&plan, site.node).await;
        eventually("three more begin", async || (begun().await == 6).then_some(())).await;
        site.all_run(&plan, site.node).await;
        eventually("the last begin", async || (begun().await == 8).then_some(())).await;
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn two_processes_make_nothing_twice_and_leave_nothing_out() {
    let site = Site::in_batches(Backend::Postgres, 1).await;
    site.grow().await;
    let (other, _server) = site.another_process().await;
    site.accepted("web", 60, json!({})).await;
    let _both = (site.tended(), Tended::by(&other));
    site.counts_to(ROWS, 60).await;
    site.counts_to(KEPT, 0).await;
    assert_eq!((site.claims().await, site.count(HELD).await, site.used().await[0]), (60, 0, 60));
    assert_eq!(site.count("SELECT count(*) AS n FROM launch").await, 60);
    site.nothing_is_left_over().await;
}

#[tokio::test]
async fn undone_on_the_way_it_makes_no_more_and_all_is_given_back() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let plan = site.accepted("web", 7, json!({})).await;
        site.wished(&plan, "undo").await;
        assert_eq!((site.claims().await, site.used().await, site.count(KEPT).await), (2, [2, 2, 512], 0));
        let _tended = site.tended();
        let going = "SELECT count(*) AS n FROM instance WHERE deleted_at IS NOT NULL";
        site.counts_to(going, 2).await;
        site.all_gone(&plan).await;
        let undone = site.plan_is(&plan, PlanStatus::Undone).await;
        assert_eq!(undone.progress.unwrap().counts, [("gone".to_owned(), 7)].into());
        site.nothing_is_taken().await;
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn its_end_gives_back_what_is_still_to_come_and_so_does_its_deletion() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let plan = site.accepted("web", 5, json!({})).await;
        for row in site.planned(&plan).await {
            site.deleted(row.id).await;
        }
        site.all_gone(&plan).await;
        assert_eq!((site.count(ROWS).await, site.claims().await), (0, 3));
        site.member("DELETE", &format!("launchplan/{plan}"), Value::Null).await;
        site.nothing_is_taken().await;
        site.nothing_is_left_over().await;

        let plan = site.accepted("db", 5, json!({"expires_at": Timestamp::now().plus_seconds(60).to_string()})).await;
        site.set(&format!("UPDATE launchplan SET max_failures = 1, expires_at = {}", Pen::of(&site.compute).past()))
            .await;
        // so that nothing more of it is made before its end is seen
        site.set("UPDATE instance SET status = 'failed', status_deadline = NULL").await;
        let _tended = site.tended();
        site.counts_to("SELECT count(*) AS n FROM instance WHERE deleted_at IS NOT NULL", 2).await;
        assert_eq!((site.claims().await, site.used().await[0], site.count(KEPT).await), (2, 0, 0));
        site.all_gone(&plan).await;
        site.plan_is(&plan, PlanStatus::Undone).await;
        site.nothing_is_taken().await;
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn names_of_what_is_still_to_come_are_refused_to_others() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let other = site.launch("other").await;
        let plan = site.accepted("web", 5, json!({})).await;
        let says = |told: cirro_server::testkit::Told| {
            let detail = told.problem(409).detail;
            assert!(detail.contains("plan web") && detail.contains("web-000"), "{detail}");
        };
        says(site.member("POST", "instance", site.wish("web-0005")).await);
        says(site.member("PATCH", &format!("instance/{other}"), json!({"name": "web-0003"})).await);
        let rival = json!({"name": "rival", "groups": [site.group("db", 1), site.group("web", 4)]});
        // of the first two there are instances
        assert!(site.member("POST", "launchplan", rival).await.problem(409).detail.contains("instance web-0001"));
        for row in site.planned(&plan).await {
            site.deleted(row.id).await;
        }
        says(site.member("POST", "launchplan", json!({"name": "rival", "groups": [site.group("web", 4)]})).await);
        // what it never held, and what it holds no more
        site.launch("web-0006").await;
        site.launch("web-0001").await;
        site.wished(&plan, "undo").await;
        site.launch("web-0005").await;
    }
}

#[tokio::test]
async fn halted_it_makes_no_more_until_it_is_launched_again() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let plan = site.accepted("web", 6, json!({"max_failures": 1})).await;
        let first = site.planned(&plan).await.remove(0).id;
        site.set("UPDATE instance SET status_deadline = NULL, status = CASE WHEN name = 'web-0001' THEN 'failed' ELSE 'running' END")
            .await;
        let tended = site.tended();
        let halted = site.plan_is(&plan, PlanStatus::Halted).await;
        let progress = halted.progress.unwrap();
        assert_eq!((progress.count("queued"), progress.count("failed")), (4, 1), "{progress:?}");
        assert!(halted.status_reason.unwrap().contains("1 instances have failed"));
        assert_eq!((site.count(ROWS).await, site.count(HELD).await), (2, 4));
        drop(tended);
        site.nothing_is_left_over().await;

        site.deleted(first).await;
        site.all_gone(&plan).await;
        site.wished(&plan, "launch").await;
        let _tended = site.tended();
        site.counts_to(ROWS, 5).await;
        site.counts_to(KEPT, 0).await;
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn a_name_that_somebody_has_all_the_same_halts_it_and_is_told() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let other = site.launch("other").await;
        let plan = site.accepted("web", 6, json!({})).await;
        site.set("UPDATE instance SET name = 'web-0005' WHERE name = 'other'").await;
        let _tended = site.tended();
        let says_so = async || {
            let reason = async || Some(site.plan(&plan).await).filter(|plan| plan.status_reason.is_some());
            let stopped = eventually("it says so", reason).await;
            assert_eq!((stopped.status, site.planned(&plan).await.len()), (PlanStatus::Launching, 4));
        };
        says_so().await;
        let again = site.wished(&plan, "launch").await;
        assert_eq!((&again["status"], &again["status_reason"]), (&"launching".into(), &Value::Null), "it tries");
        says_so().await;
        site.all_run(&plan, site.node).await;
        let halted = site.plan_is(&plan, PlanStatus::Halted).await;
        let reason = halted.status_reason.unwrap();
        assert!(reason.contains("an instance web-0005 already") && reason.contains("undo"), "{reason}");
        assert_eq!(halted.progress.unwrap().count("queued"), 2);

        site.member("PATCH", &format!("instance/{other}"), json!({"name": "db"})).await.good();
        site.wished(&plan, "launch").await;
        site.counts_to(ROWS, 7).await;
        site.all_run(&plan, site.node).await;
        assert_eq!(site.plan_is(&plan, PlanStatus::Launched).await.status_reason, None);
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn what_was_to_come_to_a_node_that_takes_no_more_goes_elsewhere_or_says_why_not() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 2).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let plan = site.accepted("web", 10, json!({})).await;
        let begun = site.planned(&plan).await.iter().filter(|row| row.node_id == Some(two)).count();
        site.operator("PATCH", &format!("node/{two}"), json!({"mode": "drain"})).await.good();
        let _tended = site.tended();
        site.counts_to(ROWS, 10).await;
        // eight have room on the other one
        let failed = 2 - i64::try_from(begun).unwrap();
        site.counts_to("SELECT count(*) AS n FROM instance WHERE leaving_node_id IS NOT NULL", 0).await;
        let rows = site.planned(&plan).await;
        let on = |node| rows.iter().filter(|row| row.node_id == Some(node)).count();
        assert_eq!((on(two), on(site.node)), (begun, 8), "{rows:#?}");
        let ends: Vec<_> = rows.iter().filter(|row| row.status == S::Failed).collect();
        assert_eq!(i64::try_from(ends.len()).unwrap(), failed);
        for row in ends {
            let reason = row.status_reason.clone().unwrap();
            assert!(reason.starts_with("node two takes no new instances; no other node can take it"), "{reason}");
        }
        let moved = rows.iter().filter(|row| row.node_id == Some(site.node));
        let tried = moved.flat_map(|row| &row.placement.as_ref().unwrap().tried);
        assert!(tried.clone().all(|tried| tried.node_id == two) && tried.count() == 3, "{rows:#?}");
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn what_was_to_come_to_a_node_that_is_gone_goes_elsewhere() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 1).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let plan = site.accepted("web", 4, json!({})).await;
        site.set("UPDATE node SET status = 'fenced' WHERE name = 'two'").await;
        site.operator("PATCH", &format!("node/{two}"), json!({"mode": "gone"})).await.good();
        site.nothing_is_left_over().await;
        let begun = site.planned(&plan).await;
        let _tended = site.tended();
        site.counts_to(ROWS, 4).await;
        // one that had begun there has failed with it
        let pending = if begun[0].node_id == Some(site.node) { 4 } else { 3 };
        site.counts_to("SELECT count(*) AS n FROM instance WHERE status = 'pending' AND node_id IS NOT NULL", pending)
            .await;
        let rows = site.planned(&plan).await;
        assert!(rows.iter().all(|row| row.node_id.is_none_or(|node| node == site.node)), "{rows:#?}");
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn what_waits_for_its_turn_on_a_node_that_is_gone_goes_elsewhere() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let plan = site.accepted("web", 4, json!({"max_in_flight": 1})).await;
        let here = site.planned(&plan).await[0].node_id.unwrap();
        let (gone, name) = if here == two { (site.node, "one") } else { (two, "two") };
        site.set(&format!("UPDATE node SET status = 'fenced' WHERE name = '{name}'")).await;
        site.operator("PATCH", &format!("node/{gone}"), json!({"mode": "gone"})).await.good();
        site.nothing_is_left_over().await;
        let _tended = site.tended();
        eventually("all run on the other", async || {
            site.all_run(&plan, here).await;
            let rows = site.planned(&plan).await;
            rows.iter().all(|row| row.node_id == Some(here) && row.status == S::Running).then_some(())
        })
        .await;
        site.plan_is(&plan, PlanStatus::Launched).await;
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn what_comes_to_a_node_that_is_silent_says_that_it_waits_for_it() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 1).await;
        // it has never called, or it would soon be ready again
        let (vcpus, memory, disk) = (Vcpus::new(8), MiB::new(8192), GiB::new(100));
        let ctx = site.compute.own_context();
        let two = cirro_compute::defaults::node(&ctx, "two".parse().unwrap(), vcpus, memory, disk).await.unwrap();
        site.set("UPDATE node SET status = 'ready' WHERE name = 'two'").await;
        let plan = site.accepted("web", 4, json!({})).await;
        site.set("UPDATE node SET status = 'silent' WHERE name = 'two'").await;
        let _tended = site.tended();
        site.counts_to(ROWS, 4).await;
        let rows = site.planned(&plan).await;
        let waiting: Vec<_> = rows[1..].iter().filter(|row| row.node_id == Some(two)).collect();
        assert!(!waiting.is_empty() && rows.iter().all(|row| row.node_id.is_some()), "{rows:#?}");
        for row in waiting {
            assert_eq!(row.status_reason.as_deref(), Some("it waits for node two, which does not report"));
        }
        site.nothing_is_left_over().await;
    }
}

#[tokio::test]
async fn who_goes_elsewhere_keeps_apart_from_those_that_are_still_to_come() {
    for backend in Backend::BOTH {
        let site = Site::in_batches(backend, 1).await;
        site.new_node("two", 8, 8192, 100).await;
        let apart = json!([{"kind": "different_node", "groups": ["web"]}]);
        let plan = site.accepted("web", 2, json!({"relationships": apart, "policy": "best_fit"})).await;
        let three = site.new_node("three", 8, 8192, 100).await;
        site.set("UPDATE launchplan SET status = 'halted'").await;
        let first = site.planned(&plan).await.remove(0);
        let _tended = site.tended();
        site.could_not(first.id, "its disk is full").await;
        let waiting = site.waits(first.id).await;
        site.confirms_gone(first.node_id.unwrap(), first.id, waiting.generation).await;
        let next = eventually("it has a node", async || site.instance(first.id).await.node_id).await;
        assert_eq!(next, three, "the fuller one is for the other instance");
    }
}
