//! Another flavor for an instance that is stopped, on the node where it is.

use super::site::Site;
use cirro_models::{
    Count, Id, Vcpus,
    compute::{Flavor, Instance, instance::InstanceStatus as S},
};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::{Value, json};

impl Site {
    /// An instance that is off; its generation is 2.
    async fn stopped(&self, name: &str) -> Id<Instance> {
        let id = self.running(name).await;
        self.member("PATCH", &format!("instance/{id}"), json!({"power": "stopped"})).await.good();
        self.saw_as(id, 2, S::Stopped).await;
        assert_eq!(self.instance(id).await.status, S::Stopped);
        id
    }
    async fn resize(&self, id: Id<Instance>, to: Id<Flavor>) -> cirro_server::testkit::Told {
        self.member("PATCH", &format!("instance/{id}"), json!({"flavor_id": to})).await
    }
    /// What is claimed: processors, MiB, GiB.
    async fn claimed(&self) -> [i64; 3] {
        [
            self.count("SELECT CAST(coalesce(sum(vcpus), 0) AS bigint) AS n FROM claim").await,
            self.count("SELECT CAST(coalesce(sum(memory_mib), 0) AS bigint) AS n FROM claim").await,
            self.count("SELECT CAST(coalesce(sum(disk_gib), 0) AS bigint) AS n FROM claim").await,
        ]
    }
}

#[tokio::test]
async fn a_stopped_instance_is_resized_with_its_quota_and_its_claim() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let web = site.stopped("web1").await;
        let (large, slim) = (site.flavor("large", 4, 1024, 10).await, site.flavor("slim", 2, 128, 10).await);
        let before = site.assignment(site.node, "").await.revision;
        let row = site.resize(web, large).await.good();
        assert_eq!(
            [&row["vcpus"], &row["memory_mib"], &row["disk_gib"], &row["generation"]],
            [4, 1024, 10, 3].map(|n| json!(n)).each_ref()
        );
        assert_eq!(
            (row["status"].as_str(), row["flavor_id"].as_str()),
            (Some("stopped"), Some(large.to_string().as_str()))
        );
        assert_eq!((site.used().await, site.claimed().await), ([1, 4, 1024], [4, 1024, 10]));
        let told = site.assignment(site.node, &format!("?since={before}&wait_ms=30000")).await;
        let spec = &told.instances[0];
        let told = [spec.vcpus.get(), spec.memory_mib.get(), spec.disk_gib.get(), spec.generation.get()];
        assert_eq!(told, [4, 1024, 10, 3], "its node was not told");

        // the same again changes nothing, and less is possible but for the disk
        assert_eq!(site.resize(web, large).await.good()["generation"], 3);
        site.resize(web, slim).await.good();
        assert_eq!((site.used().await, site.claimed().await), ([1, 2, 128], [2, 128, 10]));
        let problem = site.resize(web, site.small).await.problem(422);
        assert!(
            problem.field.as_deref() == Some("flavor_id") && problem.detail.contains("can only grow"),
            "{problem:?}"
        );
        assert_eq!(site.claimed().await, [2, 128, 10]);
        site.member("DELETE", &format!("instance/{web}"), Value::Null).await.good();
        assert_eq!(site.used().await, [0, 0, 0]);
    }
}

#[tokio::test]
async fn what_is_not_stopped_is_not_resized() {
    let site = Site::new(Backend::Sqlite).await;
    let large = site.flavor("large", 4, 1024, 10).await;
    let web = site.running("web1").await;
    let problem = site.resize(web, large).await.problem(409);
    assert!(
        problem.detail.contains("is running") && problem.detail.contains("cirro instance stop web1"),
        "{problem:?}"
    );
    site.member("PATCH", &format!("instance/{web}"), json!({"power": "stopped"})).await.good();
    assert!(site.resize(web, large).await.problem(409).detail.contains("is stopping"));
    site.resize(web, Id::new()).await.problem(422);
    assert_eq!((site.used().await, site.claimed().await), ([1, 1, 256], [1, 256, 2]));
}

#[tokio::test]
async fn a_refusal_says_by_how_much_it_does_not_fit_and_leaves_nothing() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.new_node("two", 64, 65536, 1000).await;
        // the node of this one has 8 processors
        let web = loop {
            let id = site.launch(&format!("web{}", site.claims().await)).await;
            if site.instance(id).await.node_id == Some(site.node) {
                break id;
            }
        };
        site.member("PATCH", &format!("instance/{web}"), json!({"power": "stopped"})).await.good();
        site.saw_as(web, 2, S::Stopped).await;
        let before = (site.used().await, site.claimed().await);
        let huge = site.flavor("huge", 11, 1024, 10).await;
        let problem = site.resize(web, huge).await.problem(409);
        assert_eq!(problem.kind_of_problem, "urn:cirro:problem:no-capacity");
        assert!(problem.detail.contains("its node lacks 3 vCPUs;"), "{}", problem.detail);
        assert_eq!((site.used().await, site.claimed().await), before);

        site.limit(|project| project.max_vcpus = Vcpus::new(5)).await;
        site.limit(|project| project.max_instances = Count::new(0)).await;
        let many = site.flavor("many", 8, 1024, 10).await;
        let problem = site.resize(web, many).await.problem(409);
        assert_eq!((problem.resource.as_deref(), problem.asked), (Some("vcpus"), Some(7)));
        assert_eq!((site.used().await, site.claimed().await), before);
        // a limit that is exceeded already refuses more, and never less
        let slim = site.flavor("slim", 1, 128, 2).await;
        site.resize(web, slim).await.good();
    }
}

#[tokio::test]
async fn of_many_at_once_as_many_grow_as_the_node_holds() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut all = Vec::new();
        for n in 0..4 {
            all.push(site.stopped(&format!("web{n}")).await);
        }
        // 8 processors, 4 of which are taken: room for two to grow by two
        let triple = site.flavor("triple", 3, 256, 2).await;
        let answers = join_all(all.iter().map(|id| site.resize(*id, triple))).await;
        let mut statuses: Vec<_> = answers.iter().map(|told| told.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 409, 409]);
        assert_eq!((site.used().await[1], site.claimed().await[0]), (8, 8));
    }
}
