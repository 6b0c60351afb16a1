//! Nodes that are lost: only what was seen to be off is taken over from, and what comes back starts nothing twice.

use super::site::{Site, Tended, build, id, put, seen};
use async_trait::async_trait;
use cirro_compute::fence::{Fence, Patience, Power, Takeover};
use cirro_models::{
    Generation, Id, Result, Verbs,
    alert::Alert,
    compute::{Instance, Node, instance::InstanceStatus as S, node::NodeStatus, report::NodeReport},
    storage::{Attachment, Volume},
};
use cirro_server::testkit::{Backend, eventually};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// A power strip that does what it is told once it is let.
pub(super) struct Strip {
    works: bool,
    pub(super) let_go: Semaphore,
    ordered: Mutex<Vec<String>>,
}

impl Strip {
    pub(super) fn new(works: bool, at_once: bool) -> Arc<Self> {
        let let_go = Semaphore::new(if at_once { Semaphore::MAX_PERMITS } else { 0 });
        Arc::new(Self { works, let_go, ordered: Mutex::default() })
    }
    pub(super) fn ordered(&self) -> Vec<String> {
        self.ordered.lock().clone()
    }
}

#[async_trait]
impl Fence for Strip {
    async fn off(&self, node: &Node) -> Result<()> {
        self.ordered.lock().push(node.name.to_string());
        let _ = self.let_go.acquire().await;
        Ok(())
    }
    async fn power(&self, _: &Node) -> Result<Power> {
        Ok(if self.works { Power::Off } else { Power::Other })
    }
}

pub(super) async fn site(backend: Backend, strip: &Arc<Strip>) -> Site {
    Site::with(backend, takeover(strip)).await
}

/// With this strip; a node may be silent for 2 s, and at one thing for 5 minutes.
pub(super) fn takeover(strip: &Arc<Strip>) -> Takeover {
    let fence: Arc<dyn Fence> = strip.clone();
    Takeover { fence: Some(fence), patience: Patience::of(Duration::from_secs(2)) }
}

impl Site {
    /// An instance that runs on this node, and what becomes of it.
    pub(super) async fn runs_on(&self, node: Id<Node>, name: &str, on_node_loss: &str) -> Id<Instance> {
        for other in self.nodes().await.into_iter().filter(|other| other.id != node) {
            self.turn(other.id, "drain").await;
        }
        let mut wish = self.wish(name);
        wish["on_node_loss"] = on_node_loss.into();
        let made = id(&self.member("POST", "instance", wish).await.good()).parse().unwrap();
        assert_eq!(self.instance(made).await.node_id, Some(node));
        self.report(node, NodeReport { instances: vec![seen(made, 1, S::Running)], ..self.saw() }).await;
        for other in self.nodes().await {
            self.turn(other.id, "active").await;
        }
        made
    }
    pub(super) async fn turn(&self, node: Id<Node>, mode: &str) {
        self.operator("PATCH", &format!("node/{node}"), json!({"mode": mode})).await.good();
    }
    async fn nodes(&self) -> Vec<Node> {
        Node::list(&self.compute.own_context(), &Default::default(), &cirro_models::Page::first(100))
            .await
            .unwrap()
            .items
    }
    pub(super) async fn node_is(&self, node: Id<Node>) -> NodeStatus {
        Node::get(&self.compute.own_context(), node).await.unwrap().status
    }
    /// Waits, while these nodes go on reporting.
    pub(super) async fn until<T>(&self, alive: &[Id<Node>], what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        eventually(what, async || {
            for node in alive {
                self.report(*node, self.saw()).await;
            }
            look().await
        })
        .await
    }
    pub(super) async fn becomes(&self, alive: &[Id<Node>], node: Id<Node>, status: NodeStatus) {
        self.until(alive, "the node's status", async || (self.node_is(node).await == status).then_some(())).await;
    }
}

#[tokio::test]
async fn a_lost_node_is_fenced_and_only_what_is_to_be_recreated_goes_elsewhere() {
    for backend in Backend::BOTH {
        let strip = Strip::new(true, true);
        let site = site(backend, &strip).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let moves = site.runs_on(two, "moves", "recreate").await;
        let stays = site.runs_on(two, "stays", "stay").await;
        let held = site.runs_on(two, "held", "recreate").await;
        let volume: Volume = build(site.actors.project, json!({"name": "v", "size_gib": 1}));
        let attached = json!({"volume_id": volume.id, "instance_id": held});
        put(&site.storage, volume).await;
        put::<Attachment>(&site.storage, build(site.actors.project, attached)).await;
        let _tended = site.tended();

        site.becomes(&[site.node], two, NodeStatus::Fenced).await;
        assert_eq!(strip.ordered(), ["two"]);
        let row = site
            .until(&[site.node], "it has a node", async || {
                Some(site.instance(moves).await).filter(|row| row.node_id.is_some())
            })
            .await;
        assert_eq!((row.node_id, row.status, row.generation.get(), row.ran_at), (Some(site.node), S::Pending, 2, None));
        assert!(row.placement.unwrap().tried[0].reason.contains("two was lost"));
        for (id, why) in [(stays, "on_node_loss is stay"), (held, "a volume is attached")] {
            let row = site.instance(id).await;
            assert_eq!((row.node_id, row.status, row.status_deadline), (Some(two), S::Pending, None));
            let reason = row.status_reason.unwrap();
            assert!(reason.contains("waits for node two") && reason.contains(why), "{reason}");
        }
        assert_eq!((site.claimed_on(two).await, site.claimed_on(site.node).await), (2, 1));
        assert_eq!(site.used().await[0], 3);

        // it comes back: it is told what to remove, and to go on with the others
        let told = site.assignment(two, "").await;
        assert_eq!(told.tombstones.iter().map(|stone| stone.id).collect::<Vec<_>>(), [moves]);
        let mut manifest: Vec<_> = told.manifest.iter().map(|entry| entry.id).collect();
        manifest.sort_by_key(|id| id.uuid());
        assert_eq!(manifest, [stays, held]);
        let back = vec![seen(stays, 1, S::Running), seen(moves, 1, S::Running)];
        site.report(two, NodeReport { instances: back, ..site.saw() }).await;
        assert_eq!((site.node_is(two).await, site.instance(stays).await.status), (NodeStatus::Ready, S::Running));
        assert_eq!(site.instance(moves).await.status, S::Pending, "what runs there does not count");
        site.confirms_gone(two, moves, Generation::new(2)).await;
        assert!(site.assignment(two, "").await.tombstones.is_empty());
        let row = site.instance(moves).await;
        assert_eq!((row.node_id, site.claimed_on(site.node).await), (Some(site.node), 1), "its new place is untouched");
    }
}

#[tokio::test]
async fn a_machine_that_is_not_seen_to_be_off_keeps_everything() {
    for backend in Backend::BOTH {
        let strip = Strip::new(false, false);
        let site = site(backend, &strip).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let web = site.runs_on(two, "web", "recreate").await;
        let before = site.instance(web).await;
        let _tended = site.tended();
        site.becomes(&[site.node], two, NodeStatus::Fencing).await;
        // it was only cut off, and calls again while it is being switched off
        let by = site.actors.node_of(two);
        site.call(&by, "GET", &format!("nodeassignment/{two}"), Value::Null).await.problem(503);
        site.tell(&by, two, &site.saw()).await.problem(503);
        strip.let_go.add_permits(1);
        site.becomes(&[site.node], two, NodeStatus::Silent).await;
        assert_eq!(site.instance(web).await, before, "nothing was done to it");
        site.report(two, site.saw()).await;
        assert_eq!(site.node_is(two).await, NodeStatus::Ready);
        assert_eq!(site.assignment(two, "").await.manifest.len(), 1);
    }
}

#[tokio::test]
async fn when_many_are_silent_or_somebody_works_on_one_nothing_is_fenced() {
    let strip = Strip::new(true, true);
    let site = site(Backend::Sqlite, &strip).await;
    let mut silent = Vec::new();
    for name in ["two", "three"] {
        let node = site.new_node(name, 8, 8192, 100).await;
        site.runs_on(node, &format!("on-{name}"), "recreate").await;
        silent.push(node);
    }
    let rung = Alert::NodesSilentMany.raised();
    let _tended = site.tended();
    for node in &silent {
        site.becomes(&[site.node], *node, NodeStatus::Silent).await;
    }
    site.until(&[site.node], "the alert", async || (Alert::NodesSilentMany.raised() > rung + 3).then_some(())).await;
    // one of them is only being worked on: then one other alone is lost
    assert_eq!(strip.ordered(), Vec::<String>::new());
    site.turn(silent[0], "maintenance").await;
    site.becomes(&[site.node], silent[1], NodeStatus::Fenced).await;
    assert_eq!((strip.ordered(), site.node_is(silent[0]).await), (vec!["three".to_owned()], NodeStatus::Silent));
}

#[tokio::test]
async fn a_node_is_forgotten_only_when_it_is_certainly_gone() {
    for backend in Backend::BOTH {
        let strip = Strip::new(true, true);
        let site = site(backend, &strip).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let stays = site.runs_on(two, "stays", "stay").await;
        let moves = site.runs_on(two, "moves", "recreate").await;
        let going = site.runs_on(two, "going", "stay").await;
        site.member("DELETE", &format!("instance/{going}"), Value::Null).await.good();
        let path = format!("node/{two}");
        let gone = json!({"mode": "gone"});
        let destroyed = json!({"mode": "gone", "destroyed": "two"});
        let problem = site.operator("PATCH", &path, destroyed.clone()).await.problem(409);
        assert!(problem.detail.contains("it is not gone"), "{}", problem.detail);
        // the fence is busy with nothing: what stays is no reason to fence
        site.turn(two, "maintenance").await;
        let _tended = site.tended();
        site.becomes(&[site.node], two, NodeStatus::Silent).await;
        for refused in [gone, json!({"mode": "gone", "destroyed": "one"})] {
            let problem = site.operator("PATCH", &path, refused).await.problem(409);
            assert!(problem.detail.contains("--destroyed two"), "{}", problem.detail);
        }
        site.operator("PATCH", &path, destroyed).await.good();
        site.operator("GET", &path, Value::Null).await.problem(404);
        assert!(!site.exists(going).await);
        let row = site.instance(stays).await;
        assert_eq!((row.status, row.node_id), (S::Failed, None));
        assert!(row.status_reason.unwrap().contains("two is gone for ever"));
        let placed = async |id| {
            site.until(&[site.node], "it has a node", async || {
                Some(site.instance(id).await).filter(|row| row.node_id.is_some())
            })
            .await
        };
        assert_eq!(placed(moves).await.node_id, Some(site.node));
        assert_eq!((site.claims().await, site.used().await[0]), (1, 2));
        assert_eq!(site.count("SELECT count(*) AS n FROM tombstone").await, 0);
        site.member("PATCH", &format!("instance/{stays}"), json!({"power": "running"})).await.good();
        assert_eq!(placed(stays).await.node_id, Some(site.node));
        assert_eq!(site.claims().await, 2);
    }
}

#[tokio::test]
async fn two_processes_fence_a_node_once_and_take_it_over_once() {
    let strip = Strip::new(true, false);
    let site = site(Backend::Postgres, &strip).await;
    let (other, server) = site.another_process_with(takeover(&strip)).await;
    let two = site.new_node("two", 8, 8192, 100).await;
    let moves = site.runs_on(two, "moves", "recreate").await;
    let _both = [site.tended(), Tended::by(&other)];
    site.becomes(&[site.node], two, NodeStatus::Fencing).await;
    // the machine takes its time, and both processes go on looking at the node meanwhile
    let node = site.actors.node_of(site.node);
    for _ in 0..50 {
        site.report(site.node, site.saw()).await;
        let report = serde_json::to_value(site.saw()).unwrap();
        let path = format!("/compute/v1/nodereport/{}", site.node);
        assert_eq!(server.call(Some(&node), "POST", &path, Some(&report)).await.status, 204);
        assert_eq!((site.node_is(two).await, strip.ordered()), (NodeStatus::Fencing, vec!["two".to_owned()]));
    }
    strip.let_go.add_permits(1);
    site.becomes(&[site.node], two, NodeStatus::Fenced).await;
    let placed = site
        .until(&[site.node], "it has a node", async || {
            Some(site.instance(moves).await).filter(|row| row.node_id.is_some())
        })
        .await;
    assert_eq!((placed.node_id, placed.generation.get()), (Some(site.node), 2), "it has left once");
    assert_eq!(placed.placement.unwrap().tried.len(), 1);
    assert_eq!((site.claims().await, site.claimed_on(site.node).await, site.used().await[0]), (1, 1, 1));
    assert_eq!(strip.ordered(), ["two"]);
    assert_eq!(site.count("SELECT count(*) AS n FROM job WHERE state <> 'done'").await, 0);
}
