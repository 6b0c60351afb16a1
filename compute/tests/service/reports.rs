//! What a node says is taken over as far as it may say it.

use super::site::{Site, seen};
use cirro_models::{
    Verbs,
    compute::{
        ConsoleLog, Node,
        instance::{InstanceStatus as S, Power},
        node::NodeStatus,
        report::{ConsoleRead, InstanceSeen, NodeReport, NodeSeen},
    },
};
use cirro_server::{
    OwnerContext,
    testkit::{Backend, eventually},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_report_that_was_overtaken_is_ignored() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.launch("web1").await;
        let (old, new) = (site.saw(), site.saw());
        let say = |report: NodeReport, state| NodeReport { instances: vec![seen(id, 1, state)], ..report };
        site.report(site.node, say(new.clone(), S::Running)).await;
        site.report(site.node, say(old, S::Building)).await;
        site.report(site.node, say(new, S::Stopped)).await;
        assert_eq!(site.instance(id).await.status, S::Running);
    }
}

#[tokio::test]
async fn a_heartbeat_that_says_nothing_new_costs_nothing_until_somebody_has_changed_the_node() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ctx = site.compute.own_context();
        let _tended = site.tended();
        let write = async |change: fn(&mut Node)| {
            ctx.write(move |tx| tx.change::<Node>(site.node, change)).await.unwrap();
        };
        site.report(site.node, site.saw()).await;
        let commits = site.databases[0].database.load().commits;
        for _ in 0..50 {
            site.report(site.node, site.saw()).await;
        }
        let more = site.databases[0].database.load().commits;
        assert!(more.count < commits.count + 50, "each beat was a transaction");

        write(|node| node.status = NodeStatus::Silent).await;
        eventually("the node is ready again", async || {
            site.report(site.node, site.saw()).await;
            (Node::get(&ctx, site.node).await.unwrap().status == NodeStatus::Ready).then_some(())
        })
        .await;
        let seen = NodeSeen { message: Some("the disk is nearly full".to_owned()), ..site.saw().node };
        site.report(site.node, NodeReport { node: seen.clone(), ..site.saw() }).await;
        assert_eq!(Node::get(&ctx, site.node).await.unwrap().message, seen.message);
        site.report(site.node, site.saw()).await;
        assert_eq!(Node::get(&ctx, site.node).await.unwrap().message, None);
    }
}

#[tokio::test]
async fn lies_about_other_nodes_instances_are_ignored() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        let other = site.new_node("two", 8, 8192, 100).await;
        let before = site.instance(id).await;
        for state in [S::Stopped, S::Failed, S::Rebooting] {
            let lie = InstanceSeen { powered_off_itself: true, ..seen(id, 1, state) };
            site.report(other, NodeReport { instances: vec![lie], ..site.saw() }).await;
        }
        assert_eq!(site.instance(id).await, before);
    }
}

#[tokio::test]
async fn a_node_that_has_seen_later_wishes_than_there_are_moves_the_wish_on_and_no_state() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.launch("web1").await;
        site.saw_as(id, 2_000_000_000, S::Running).await;
        let row = site.instance(id).await;
        assert_eq!((row.status, row.generation.get(), row.observed_generation.get()), (S::Pending, 1, 0), "a lie");
        // a database that was put back: what it wishes now has to be the newer wish
        site.saw_as(id, 7, S::Stopped).await;
        let row = site.instance(id).await;
        assert_eq!((row.status, row.generation.get()), (S::Pending, 8));
        assert_eq!(site.assignment(site.node, "").await.manifest[0].generation.get(), 8);
    }
}

#[tokio::test]
async fn what_was_seen_before_a_wish_does_not_undo_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        site.member("PATCH", &format!("instance/{id}"), json!({"power": "stopped"})).await.good();
        let late = InstanceSeen { address: Some("192.0.2.7".to_owned()), ..seen(id, 1, S::Running) };
        site.report(site.node, NodeReport { instances: vec![late], ..site.saw() }).await;
        let row = site.instance(id).await;
        assert_eq!((row.status, row.address.as_deref()), (S::Stopping, Some("192.0.2.7")));
        site.saw_as(id, 2, S::Stopped).await;
        // and a report about an older wish than the last one says nothing
        site.saw_as(id, 1, S::Running).await;
        assert_eq!(site.instance(id).await.status, S::Stopped);
    }
}

#[tokio::test]
async fn a_guest_that_switched_itself_off_stays_off() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        let off = InstanceSeen { powered_off_itself: true, ..seen(id, 1, S::Stopped) };
        site.report(site.node, NodeReport { instances: vec![off.clone()], ..site.saw() }).await;
        let row = site.instance(id).await;
        assert_eq!((row.power, row.status, row.generation.get()), (Power::Stopped, S::Stopped, 2));
        assert_eq!(row.status_reason.as_deref(), Some("it was switched off from inside"));
        // said again, it is the same; and a start after it is not undone by the old news
        site.member("PATCH", &format!("instance/{id}"), json!({"power": "running"})).await.good();
        site.report(site.node, NodeReport { instances: vec![off], ..site.saw() }).await;
        let row = site.instance(id).await;
        assert_eq!((row.power, row.status, row.generation.get()), (Power::Running, S::Starting, 3));
    }
}

#[tokio::test]
async fn a_node_reports_itself_and_raises_no_capacity() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut report = serde_json::to_value(site.saw()).unwrap();
        report["node"]["message"] = format!("no network\u{1b}[2J{}", "x".repeat(5000)).into();
        report["node"]["vcpus"] = 1000.into();
        report["vcpus"] = 1000.into();
        let by = site.actors.node_of(site.node);
        site.call(&by, "POST", &format!("nodereport/{}", site.node), report).await;
        let node = Node::get(&site.compute.own_context(), site.node).await.unwrap();
        assert_eq!(node.vcpus.get(), 8);
        if let Some(message) = node.message {
            assert!(message.starts_with("no network[2J") && message.chars().count() == 1000, "{message}");
        }
    }
}

#[tokio::test]
async fn console_texts_come_once_bounded_and_escaped() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        let ask = || site.call_as_viewer(json!({"instance_id": id}));
        let told = ask().await;
        let log: ConsoleLog = serde_json::from_value(told).unwrap();
        let other = site.new_node("two", 8, 8192, 100).await;
        let read = |text: String| ConsoleRead { id: log.id, text: Some(text), error: None };
        site.report(other, NodeReport { console_logs: vec![read("a lie".to_owned())], ..site.saw() }).await;
        let text = format!("the beginning{}\u{1b}[31mlogin:\n\0", "é".repeat(ConsoleLog::MAX_TEXT / 2));
        site.report(site.node, NodeReport { console_logs: vec![read(text)], ..site.saw() }).await;
        site.report(site.node, NodeReport { console_logs: vec![read("too late".to_owned())], ..site.saw() }).await;

        let path = format!("consolelog/{}", log.id);
        let row = site.call(&site.actors.viewer(), "GET", &path, Value::Null).await.good();
        let text = row["text"].as_str().unwrap();
        assert_eq!((&row["status"], text.len() <= ConsoleLog::MAX_TEXT), (&"ready".into(), true));
        assert!(text.ends_with("\\u{1b}[31mlogin:\n\\u{0}"), "the end is what matters: {}", &text[text.len() - 40..]);
        assert!(text.len() > ConsoleLog::MAX_TEXT - 2);
        site.call(&site.actors.outsider(), "GET", &path, Value::Null).await.problem(404);

        // only the last few are kept
        for _ in 0..7 {
            ask().await;
        }
        let listed = site.member("GET", &format!("consolelog?instance_id={id}"), Value::Null).await.good();
        assert_eq!(listed["items"].as_array().unwrap().len(), 5);
        let failed = site.assignment(site.node, "").await.console_logs.remove(0);
        let error = ConsoleRead { id: failed.id, text: None, error: Some("the file is gone".to_owned()) };
        site.report(site.node, NodeReport { console_logs: vec![error], ..site.saw() }).await;
        let row = site.member("GET", &format!("consolelog/{}", failed.id), Value::Null).await.good();
        assert_eq!((&row["status"], &row["reason"]), (&"failed".into(), &"the file is gone".into()));
    }
}

impl Site {
    async fn call_as_viewer(&self, wish: Value) -> Value {
        self.call(&self.actors.viewer(), "POST", "consolelog", wish).await.good()
    }
}
