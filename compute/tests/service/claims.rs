//! What nodes have room for.

use super::site::Site;
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn a_refusal_says_why_and_what_would_help() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let node = format!("node/{}", site.node);
        let many = site.flavor("many", 9, 256, 2).await;
        let large = site.flavor("large", 1, 8000, 2).await;
        let wide = site.flavor("wide", 1, 256, 101).await;
        site.launch("first").await;
        site.limit(|project| project.max_memory_mib = cirro_models::MiB::new(100_000)).await;
        for (flavor, reason, fix) in [
            (many, "1 of 1 nodes: has too few free vCPUs", "7 vCPUs"),
            (large, "1 of 1 nodes: has too little free memory", "7936 MiB"),
            (wide, "1 of 1 nodes: has too little free disk", "98 GiB"),
        ] {
            let wish = json!({"name": "second", "flavor_id": flavor, "image_id": site.image});
            let problem = site.member("POST", "instance", wish).await.problem(409);
            assert_eq!(problem.kind_of_problem, "urn:cirro:problem:no-capacity");
            assert_eq!(problem.reasons, [reason]);
            assert!(problem.detail.contains(fix) && problem.detail.contains("smaller flavor"), "{}", problem.detail);
            assert!(!format!("{problem:?}").contains(&site.node.to_string()), "nodes are an operator's to know");
        }
        site.operator("PATCH", &node, json!({"mode": "drain"})).await.good();
        let problem = site.member("POST", "instance", site.wish("second")).await.problem(409);
        assert_eq!(problem.reasons, ["1 of 1 nodes: takes no new instances"]);
        assert!(problem.detail.contains("cirro node return"), "{}", problem.detail);
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1), "a refusal left something");
    }
}

#[tokio::test]
async fn a_node_that_has_not_reported_takes_nothing() {
    let site = Site::new(Backend::Sqlite).await;
    site.operator("PATCH", &format!("node/{}", site.node), json!({"mode": "drain"})).await.good();
    let new = json!({"name": "new", "vcpus": 8, "memory_mib": 8192, "disk_gib": 100});
    let made = site.operator("POST", "node", new).await.good();
    assert_eq!(made["status"], "joining");
    let problem = site.member("POST", "instance", site.wish("web1")).await.problem(409);
    assert!(problem.reasons.contains(&"1 of 2 nodes: has not reported yet".to_owned()), "{:?}", problem.reasons);
}

#[tokio::test]
async fn thirty_at_once_take_no_more_than_a_node_has() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.limit(|project| project.max_instances = cirro_models::Count::new(100)).await;
        site.limit(|project| project.max_vcpus = cirro_models::Vcpus::new(100)).await;
        let wishes: Vec<Value> = (0..30).map(|n| site.wish(&format!("web{n}"))).collect();
        let answers = join_all(wishes.into_iter().map(|wish| site.member("POST", "instance", wish))).await;
        assert_eq!(answers.iter().filter(|told| told.status == 202).count(), 8);
        for told in answers.iter().filter(|told| told.status != 202) {
            assert_eq!(told.problem(409).kind_of_problem, "urn:cirro:problem:no-capacity");
        }
        assert_eq!((site.used().await, site.claims().await), ([8, 8, 8 * 256], 8));
    }
}

#[tokio::test]
async fn instances_spread_over_nodes_and_a_node_that_holds_some_stays() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let (a, b) = (site.launch("a").await, site.launch("b").await);
        let nodes = [site.instance(a).await.node_id.unwrap(), site.instance(b).await.node_id.unwrap()];
        assert!(nodes.contains(&site.node) && nodes.contains(&two), "{nodes:?}");
        let problem = site.operator("DELETE", &format!("node/{two}"), Value::Null).await.problem(409);
        assert!(problem.detail.contains("two") && problem.detail.contains("delete them first"), "{}", problem.detail);
        let empty = site.new_node("three", 8, 8192, 100).await;
        assert_eq!(site.operator("DELETE", &format!("node/{empty}"), Value::Null).await.status, 204);
    }
}
