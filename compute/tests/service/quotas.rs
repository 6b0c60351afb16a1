//! What a project may have at most.

use super::site::{Site, id};
use cirro_models::{
    Count, Id, MiB, Vcpus,
    identity::{Project, Quota},
};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn each_resource_is_refused_with_its_numbers() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.launch("first").await;
        site.limit(|project| project.max_memory_mib = MiB::new(300)).await;
        let memory = site.member("POST", "instance", site.wish("second")).await.problem(409);
        site.limit(|project| project.max_vcpus = Vcpus::new(1)).await;
        let vcpus = site.member("POST", "instance", site.wish("second")).await.problem(409);
        site.limit(|project| project.max_instances = Count::new(1)).await;
        let instances = site.member("POST", "instance", site.wish("second")).await.problem(409);
        for (problem, resource, numbers) in
            [(memory, "memory_mib", [300, 256, 256]), (vcpus, "vcpus", [1, 1, 1]), (instances, "instances", [1, 1, 1])]
        {
            assert_eq!(problem.kind_of_problem, "urn:cirro:problem:quota-exceeded");
            assert_eq!(problem.resource.as_deref(), Some(resource));
            assert_eq!([problem.limit, problem.used, problem.asked], numbers.map(Some));
            assert!(problem.detail.contains(resource) && problem.detail.contains("delete something"));
        }
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1));
    }
}

#[tokio::test]
async fn thirty_at_once_get_exactly_what_the_limit_allows() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.limit(|project| project.max_instances = Count::new(7)).await;
        site.new_node("two", 64, 65536, 1000).await;
        let wishes: Vec<Value> = (0..30).map(|n| site.wish(&format!("web{n}"))).collect();
        let answers = join_all(wishes.into_iter().map(|wish| site.member("POST", "instance", wish))).await;
        let accepted = answers.iter().filter(|told| told.status == 202).count();
        assert_eq!(accepted, 7, "{:?}", answers.iter().map(|told| told.status).collect::<Vec<_>>());
        for told in answers.iter().filter(|told| told.status != 202) {
            assert_eq!(told.problem(409).resource.as_deref(), Some("instances"));
        }
        assert_eq!((site.used().await, site.claims().await), ([7, 7, 7 * 256], 7));
    }
}

#[tokio::test]
async fn two_hundred_writers_on_one_quota_and_one_node_leave_exact_sums() {
    const LIMIT: i64 = 40;
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.limit(|project| project.max_instances = Count::new(LIMIT)).await;
        site.limit(|project| project.max_vcpus = Vcpus::new(1000)).await;
        site.limit(|project| project.max_memory_mib = MiB::new(1_000_000)).await;
        let (wide, path) = (json!({"vcpus": 64, "memory_mib": 65536, "disk_gib": 1000}), format!("node/{}", site.node));
        site.operator("PATCH", &path, wide).await.good();
        let create = |n: usize| site.member("POST", "instance", site.wish(&format!("web{n}")));
        let answers = join_all((0..200).map(create)).await;
        let made: Vec<String> = answers.iter().filter(|told| told.status == 202).map(|told| id(&told.json())).collect();
        assert_eq!(made.len(), 40);
        assert!(answers.iter().all(|told| told.status == 202 || told.problem(409).resource.is_some()));

        // each is deleted by two, while as many others are wished for
        let paths: Vec<String> = made.iter().chain(&made).map(|id| format!("instance/{id}")).collect();
        let deletes = join_all(paths.iter().map(|path| site.member("DELETE", path, Value::Null)));
        let (deletes, creates) = tokio::join!(deletes, join_all((200..320).map(create)));
        assert!(deletes.iter().all(|told| told.status == 202));
        let again = creates.iter().filter(|told| told.status == 202).count();
        assert!(creates.iter().all(|told| told.status == 202 || told.problem(409).resource.is_some()));
        let live = i64::try_from(again).unwrap();
        assert!(live <= LIMIT, "{live}");
        // what is being deleted keeps its room until the node has confirmed, and nothing of the quota
        assert_eq!((site.used().await, site.claims().await), ([live, live, live * 256], LIMIT + live));
    }
}

#[tokio::test]
async fn what_is_deleted_is_given_back_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (first, _) = (site.launch("first").await, site.launch("second").await);
        let path = format!("instance/{first}");
        let at_once = join_all((0..8).map(|_| site.member("DELETE", &path, Value::Null))).await;
        assert!(
            at_once.iter().all(|told| told.status == 202),
            "{:?}",
            at_once.iter().map(|told| told.status).collect::<Vec<_>>()
        );
        assert_eq!(site.used().await, [1, 1, 256]);
    }
}

impl Site {
    /// What the service tells of our project: limit, used, reserved of instances, processors and memory.
    async fn told(&self) -> [[i64; 3]; 3] {
        let path = format!("quota/{}", self.actors.project);
        let told = self.member("GET", &path, Value::Null).await.good();
        let quota: Quota = serde_json::from_value(told).unwrap();
        assert_eq!(quota.project_id, self.actors.project);
        let names: Vec<_> = quota.items.iter().map(|share| share.resource.to_string()).collect();
        assert_eq!(names, ["instances", "vcpus", "memory_mib"]);
        std::array::from_fn(|n| [quota.items[n].limit, quota.items[n].used, quota.items[n].reserved])
    }
}

#[tokio::test]
async fn what_exists_is_used_and_what_a_plan_holds_is_reserved() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        assert_eq!(site.told().await, [[20, 0, 0], [16, 0, 0], [8192, 0, 0]]);
        let first = site.launch("first").await;
        let group = json!({"name": "web", "count": 3, "template": {"flavor_id": site.small, "image_id": site.image}});
        let plan = json!({"name": "web", "groups": [group], "intent": "hold"});
        let plan = id(&site.member("POST", "launchplan", plan).await.good());
        assert_eq!(site.told().await, [[20, 1, 3], [16, 1, 3], [8192, 256, 768]]);
        site.member("PATCH", &format!("launchplan/{plan}"), json!({"intent": "launch"})).await.good();
        assert_eq!(site.told().await, [[20, 4, 0], [16, 4, 0], [8192, 1024, 0]]);

        // lowered below what is used: what is there stays, and nothing new fits
        site.limit(|project| project.max_instances = Count::new(2)).await;
        assert_eq!(site.told().await[0], [2, 4, 0]);
        let problem = site.member("POST", "instance", site.wish("second")).await.problem(409);
        assert_eq!([problem.limit, problem.used, problem.asked], [2, 4, 1].map(Some));
        site.member("DELETE", &format!("instance/{first}"), Value::Null).await.good();
        assert_eq!(site.told().await, [[2, 3, 0], [16, 3, 0], [8192, 768, 0]]);
    }
}

#[tokio::test]
async fn only_who_may_read_a_project_is_told_how_it_stands() {
    let site = Site::new(Backend::Sqlite).await;
    let path = format!("quota/{}", site.actors.project);
    for actor in [site.actors.viewer(), site.actors.member(), site.actors.admin(), site.actors.operator()] {
        assert_eq!(site.call(&actor, "GET", &path, Value::Null).await.status, 200);
    }
    for actor in [site.actors.outsider(), site.actors.node_of(site.node)] {
        let hidden = site.call(&actor, "GET", &path, Value::Null).await.problem(404);
        let missing = format!("quota/{}", Id::<Project>::new());
        let none = site.call(&actor, "GET", &missing, Value::Null).await.problem(404);
        assert_eq!(hidden.kind_of_problem, none.kind_of_problem, "it is told apart from one that does not exist");
    }
    site.operator("GET", "quota/nonsense", Value::Null).await.problem(404);
}
