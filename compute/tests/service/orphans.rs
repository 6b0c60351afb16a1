//! The audit: one of each kind is seeded and found by its code and its thing; where all is well nothing is.

use super::site::{Site, id};
use cirro_compute::audit::kinds;
use cirro_models::{
    Generation, GiB, Id, MiB, Vcpus,
    compute::{
        Instance,
        instance::InstanceStatus as S,
        report::{GoneInstance, Holdings, NodeReport, UnclaimedSeen},
    },
    finding::Findings,
};
use cirro_server::testkit::{Backend, Pen};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Writes what compute would not, at a site.
struct Hand<'s> {
    site: &'s Site,
    pen: Pen,
}

impl Hand<'_> {
    fn id(&self, id: impl Into<Uuid>) -> String {
        self.pen.id(id)
    }
    async fn write(&self, sql: String) {
        self.pen.write(&sql).await;
    }
    /// Sets something of an instance.
    async fn set(&self, instance: Id<Instance>, what: &str) {
        self.write(format!("UPDATE instance SET {what} WHERE id = {}", self.id(instance.uuid()))).await;
    }
    async fn delete(&self, table: &str, column: &str, id: impl Into<Uuid>) {
        self.write(format!("DELETE FROM {table} WHERE {column} = {}", self.id(id))).await;
    }
}

/// What is found: code and id of each.
pub(super) async fn found(site: &Site) -> BTreeSet<(String, Uuid)> {
    let told: Findings = serde_json::from_value(site.operator("GET", "audit", Value::Null).await.good()).unwrap();
    assert_eq!(told.more, Vec::<String>::new());
    told.items.into_iter().map(|finding| (finding.code, finding.id)).collect()
}

fn unclaimed(id: Id<Instance>, project: Uuid, name: &str) -> UnclaimedSeen {
    UnclaimedSeen {
        id,
        generation: Generation::new(1),
        name: name.to_owned(),
        project_id: Some(project),
        vcpus: Vcpus::new(1),
        memory_mib: MiB::new(64),
        disk_gib: GiB::new(1),
        image_id: Some(Uuid::now_v7()),
        running: true,
    }
}

impl Site {
    /// A plan of two instances.
    async fn two(&self, name: &str, intent: &str) -> Uuid {
        let template = json!({"flavor_id": self.small, "image_id": self.image});
        let wish =
            json!({"name": name, "intent": intent, "groups": [{"name": name, "count": 2, "template": template}]});
        id(&self.member("POST", "launchplan", wish).await.good()).parse().unwrap()
    }
}

#[tokio::test]
async fn where_things_come_and_go_nothing_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        assert_eq!(found(&site).await, BTreeSet::new());
        let web = site.running("web").await;
        site.two("held", "hold").await;
        site.two("launched", "launch").await;
        site.member("POST", "instanceaction", json!({"instance_id": web, "kind": "reboot"})).await.good();
        site.member("POST", "consolelog", json!({"instance_id": web})).await.good();
        let holdings = Some(Holdings { guests: vec![web], files: vec![] });
        site.report(site.node, NodeReport { holdings, ..site.saw() }).await;
        assert_eq!(found(&site).await, BTreeSet::new());
        site.member("DELETE", &format!("instance/{web}"), Value::Null).await.good();
        assert_eq!(found(&site).await, BTreeSet::new(), "on its way");
        let gone = vec![GoneInstance { id: web, generation: Generation::new(2) }];
        site.report(site.node, NodeReport { gone, ..site.saw() }).await;
        assert!(!site.exists(web).await);
        assert_eq!(found(&site).await, BTreeSet::new(), "what the node told before holds no more");
        let denied = site.member("GET", "audit", Value::Null).await;
        assert!(denied.problem(403).detail.contains("operator"), "{}", denied.text);
        assert_eq!(site.operator("GET", "audit?dry=1", Value::Null).await.status, 422);
    }
}

#[tokio::test]
async fn one_of_each_kind_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.limit(|project| {
            (project.max_vcpus, project.max_instances) = (Vcpus::new(100), cirro_models::Count::new(100));
        })
        .await;
        site.new_node("two", 64, 65536, 1000).await;
        let hand = Hand { site: &site, pen: Pen::of(&site.compute) };
        let mut seeded: BTreeSet<(&str, Uuid)> = BTreeSet::new();
        seed_claims(&hand, &mut seeded).await;
        seed_launches(&hand, &mut seeded).await;
        seed_removals(&hand, &mut seeded).await;
        seed_nodes(&hand, &mut seeded).await;
        seed_elsewhere(&hand, &mut seeded).await;
        let found = found(&site).await;
        for (code, id) in &seeded {
            assert!(found.contains(&((*code).to_owned(), *id)), "{code} of {id} is not in {found:#?}");
        }
        let all: BTreeSet<&str> = kinds().iter().map(|kind| kind.code).collect();
        assert_eq!(seeded.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), all, "a kind is not seeded");
    }
}

async fn seed_claims(hand: &Hand<'_>, seeded: &mut BTreeSet<(&'static str, Uuid)>) {
    let (site, nowhere) = (hand.site, Uuid::now_v7());
    let orphan = site.launch("orphan").await;
    hand.delete("instance", "id", orphan.uuid()).await;
    seeded.insert(("compute.claim-without-instance", orphan.uuid()));
    seeded.insert(("compute.launch-without-instance", orphan.uuid()));
    seeded.insert(("compute.usage-differs", site.actors.project.uuid()));
    let held = site.two("held", "hold").await;
    hand.write(format!("UPDATE launchplan SET status = 'expired' WHERE id = {}", hand.id(held))).await;
    seeded.insert(("compute.claim-without-plan", Uuid::from_u128(held.as_u128() + 1)));
    for (name, code, change) in [
        ("unplaced", "compute.claim-without-node", format!("node_id = {}", hand.id(nowhere))),
        ("moved", "compute.claim-elsewhere", format!("node_id = {}", hand.id(nowhere))),
        ("grown", "compute.claim-differs", "vcpus = vcpus + 1".to_owned()),
    ] {
        let instance = site.launch(name).await;
        hand.write(format!("UPDATE claim SET {change} WHERE instance_id = {}", hand.id(instance.uuid()))).await;
        seeded.insert((code, instance.uuid()));
    }
    let roomless = site.launch("roomless").await;
    hand.delete("claim", "instance_id", roomless.uuid()).await;
    seeded.insert(("compute.instance-without-claim", roomless.uuid()));
}

async fn seed_launches(hand: &Hand<'_>, seeded: &mut BTreeSet<(&'static str, Uuid)>) {
    let (site, nowhere) = (hand.site, Uuid::now_v7());
    let [lost, unstarted, planless, late] = [
        site.launch("lost").await,
        site.launch("unstarted").await,
        site.launch("planless").await,
        site.launch("late").await,
    ];
    hand.set(lost, &format!("node_id = {}", hand.id(nowhere))).await;
    seeded.insert(("compute.instance-without-node", lost.uuid()));
    hand.delete("launch", "instance_id", unstarted.uuid()).await;
    seeded.insert(("compute.instance-without-launch", unstarted.uuid()));
    hand.set(planless, &format!("plan_id = {}", hand.id(nowhere))).await;
    seeded.insert(("compute.instance-without-plan", planless.uuid()));
    hand.set(late, &format!("status_deadline = {}", hand.pen.past())).await;
    seeded.insert(("compute.status-overdue", late.uuid()));
    let undone = site.two("undone", "launch").await;
    hand.write(format!("UPDATE launchplan SET status = 'undone' WHERE id = {}", hand.id(undone))).await;
    seeded.insert(("compute.instance-of-undone-plan", Uuid::from_u128(undone.as_u128() + 1)));
    hand.write(format!("INSERT INTO plan_secret (plan_id, user_data) VALUES ({}, 'secret')", hand.id(nowhere))).await;
    seeded.insert(("compute.plan-secret-left", nowhere));
    hand.write(format!(
        "INSERT INTO plan_launch (plan_id, group_index, image, ssh_keys, created_by) VALUES ({}, 0, '{{}}', '[]', 'x')",
        hand.id(nowhere)
    ))
    .await;
    seeded.insert(("compute.plan-launch-left", nowhere));
    let robbed = site.two("robbed", "hold").await;
    hand.write(format!("UPDATE launchplan SET status = 'halted' WHERE id = {}", hand.id(robbed))).await;
    seeded.insert(("compute.plan-launch-lost", robbed));
}

async fn seed_removals(hand: &Hand<'_>, seeded: &mut BTreeSet<(&'static str, Uuid)>) {
    let (site, nowhere) = (hand.site, Uuid::now_v7());
    let [going, wanted] = [site.launch("going").await, site.launch("wanted").await];
    site.member("DELETE", &format!("instance/{going}"), Value::Null).await.good();
    hand.delete("tombstone", "instance_id", going.uuid()).await;
    seeded.insert(("compute.deleting-without-order", going.uuid()));
    let node = site.instance(wanted).await.node_id.unwrap();
    for (instance, node, code) in [
        (wanted.uuid(), node.uuid(), "compute.order-against-instance"),
        (nowhere, nowhere, "compute.order-without-node"),
    ] {
        let (id, node) = (hand.id(instance), hand.id(node));
        hand.write(format!(
            "INSERT INTO tombstone (instance_id, node_id, generation, epoch) VALUES ({id}, {node}, 1, 1)"
        ))
        .await;
        seeded.insert((code, instance));
    }
    let asked = site.launch("asked").await;
    hand.set(asked, "status = 'running'").await;
    let action = site.member("POST", "instanceaction", json!({"instance_id": asked, "kind": "reboot"})).await.good();
    let log = site.member("POST", "consolelog", json!({"instance_id": asked})).await.good();
    hand.delete("instance", "id", asked.uuid()).await;
    seeded.insert(("compute.action-without-instance", id(&action).parse().unwrap()));
    seeded.insert(("compute.console-log-without-instance", id(&log).parse().unwrap()));
}

async fn seed_nodes(hand: &Hand<'_>, seeded: &mut BTreeSet<(&'static str, Uuid)>) {
    let site = hand.site;
    let [one, other, absent] = [site.launch("one").await, site.launch("other").await, site.launch("absent").await];
    let here =
        format!("node_id = {}, status = 'running', generation = 1, observed_generation = 1", hand.id(site.node.uuid()));
    for instance in [one, other] {
        hand.set(instance, &format!("{here}, address = '10.0.0.9'")).await;
        seeded.insert(("compute.address-twice", instance.uuid()));
    }
    hand.set(absent, &format!("{here}, updated_at = {}", hand.pen.past())).await;
    seeded.insert(("compute.guest-missing", absent.uuid()));
    let [stranger, unknown, disk, lost] = [Id::new(), Id::new(), Id::new(), Id::new()];
    let project = site.actors.project.uuid();
    let guests = vec![unclaimed(stranger, project, "stranger"), unclaimed(lost, project, "lost-guest")];
    let holdings = Some(Holdings { guests: vec![one, other, stranger, unknown], files: vec![disk] });
    site.report(site.node, NodeReport { unclaimed: guests, holdings, ..site.saw() }).await;
    let away = format!("UPDATE unclaimedguest SET node_id = {}", hand.id(Uuid::now_v7()));
    hand.write(format!("{away} WHERE instance_id = {}", hand.id(lost.uuid()))).await;
    seeded.insert(("compute.guest-unclaimed", stranger.uuid()));
    seeded.insert(("compute.unclaimed-without-node", lost.uuid()));
    seeded.insert(("compute.guest-unknown", unknown.uuid()));
    seeded.insert(("compute.files-left", disk.uuid()));
}

async fn seed_elsewhere(hand: &Hand<'_>, seeded: &mut BTreeSet<(&'static str, Uuid)>) {
    let (site, image, project) = (hand.site, Uuid::now_v7(), Uuid::now_v7());
    let (imageless, homeless) = (site.launch("imageless").await, site.launch("homeless").await);
    assert_eq!(site.instance(imageless).await.status, S::Pending);
    hand.set(imageless, &format!("image_id = {}", hand.id(image))).await;
    hand.set(homeless, &format!("project_id = {}", hand.id(project))).await;
    seeded.insert(("compute.image-gone", image));
    // at last: nothing new comes to a node without room
    let full = site.instance(imageless).await.node_id.unwrap();
    hand.write(format!("UPDATE node SET vcpus = 1 WHERE id = {}", hand.id(full.uuid()))).await;
    seeded.insert(("compute.node-overfull", full.uuid()));
    seeded.insert(("compute.project-gone", project));
}
