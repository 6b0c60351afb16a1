//! Why an instance is not on a node: by the scheduler's own rules, as if it had no place yet.

use super::site::{Site, id};
use cirro_models::{
    Id,
    compute::{Instance, Node, why_not::WhyNot},
};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

impl Site {
    async fn why_not(&self, instance: Id<Instance>, node: Id<Node>) -> WhyNot {
        let path = format!("whynot/{instance}?node_id={node}");
        serde_json::from_value(self.operator("GET", &path, Value::Null).await.good()).unwrap()
    }
}

#[tokio::test]
async fn a_node_is_judged_as_if_the_instance_had_no_place() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let web = site.launch("web").await;
        let own = site.why_not(web, site.node).await;
        assert_eq!((own.placed_on, own.refusal, own.free.vcpus), (Some(site.node), None, 8));
        assert_eq!(own.score, own.own_score);
        // 7/8 of the processors stay free
        assert_eq!((own.score, own.need.memory_mib), (Some(875), 256));
        assert_eq!(own.placement.unwrap().considered.get(), 1);

        let tight = site.new_node("tight", 8, 128, 100).await;
        let told = site.why_not(web, tight).await;
        assert_eq!((told.refusal.as_deref(), told.score), (Some("has too little free memory"), None));
        assert_eq!((told.free.memory_mib, told.own_score), (128, Some(875)));
        let large = site.new_node("large", 64, 65536, 1000).await;
        assert!(site.why_not(web, large).await.score > Some(875));
        site.operator("PATCH", &format!("node/{large}"), json!({"mode": "drain"})).await.good();
        assert_eq!(site.why_not(web, large).await.refusal.as_deref(), Some("takes no new instances"));
    }
}

#[tokio::test]
async fn a_relationship_of_its_plan_counts() {
    let site = Site::new(Backend::Sqlite).await;
    let two = site.new_node("two", 8, 8192, 100).await;
    let template = json!({"flavor_id": site.small, "image_id": site.image});
    let wish = json!({"name": "pair", "groups": [{"name": "web", "count": 2, "template": template}],
        "relationships": [{"kind": "different_node", "groups": ["web"], "required": true}]});
    let plan = id(&site.member("POST", "launchplan", wish).await.good());
    let listed = site.member("GET", &format!("instance?plan_id={plan}"), Value::Null).await.good();
    let instances: Vec<Id<Instance>> =
        listed["items"].as_array().unwrap().iter().map(|row| id(row).parse().unwrap()).collect();
    for instance in instances {
        let own = site.instance(instance).await.node_id.unwrap();
        let other = if own == two { site.node } else { two };
        let told = site.why_not(instance, other).await;
        assert_eq!(told.refusal.as_deref(), Some("holds instances that must be on different nodes"));
        assert_eq!(site.why_not(instance, own).await.refusal, None);
    }
}

#[tokio::test]
async fn only_an_operator_is_told_and_what_is_not_there_is_missing() {
    let site = Site::new(Backend::Sqlite).await;
    let web = site.launch("web").await;
    let ask = |by, path: String| {
        let site = &site;
        async move { site.call(&by, "GET", &path, Value::Null).await }
    };
    let (operator, member) = (site.actors.operator(), site.actors.member());
    ask(member, format!("whynot/{web}?node_id={}", site.node)).await.problem(403);
    let missing = Id::<Node>::new();
    assert!(ask(operator, format!("whynot/{web}?node_id={missing}")).await.problem(404).detail.contains("node"));
    ask(site.actors.operator(), format!("whynot/{}?node_id={}", Id::<Instance>::new(), site.node)).await.problem(404);
    ask(site.actors.operator(), format!("whynot/{web}")).await.problem(422);
}
