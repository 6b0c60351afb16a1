//! API keys that are shown where tokens are, in the process that holds identity: `cirro up`.

use super::site::{Site, id, key};
use cirro_models::{Timestamp, compute::Instance};
use cirro_server::testkit::{Actors, Backend, Server, Told, eventually};
use diesel::RunQueryDsl;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

/// Identity and compute in one process, as a script calls them.
struct Up {
    site: Site,
    server: Server,
    home: String,
}

impl Up {
    async fn start(backend: Backend) -> Self {
        let site = Site::new(backend).await;
        let mut actors = Actors::new();
        actors.verifier = site.verifier.clone();
        let server = Server::start(vec![site.identity.clone(), site.compute.clone()], &actors).await;
        let home = site.project_id("default").await;
        Self { site, server, home }
    }
    async fn call(&self, key: &str, method: &str, path: &str) -> Told {
        let bearer = format!("Bearer {key}");
        self.server.send(method, path, &[("authorization", &bearer)], "").await
    }
    async fn status(&self, key: &str, path: &str) -> u16 {
        self.call(key, "GET", path).await.status
    }
    /// How many tokens were given.
    async fn tokens(&self) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let count = "SELECT count(*) AS n FROM request WHERE operation = 'create' AND model = 'token'";
        let read = move |c: &mut _| Ok(diesel::sql_query(count).get_result::<Count>(c).unwrap().n);
        self.site.databases[0].database.read(read).await.unwrap()
    }
}

const INSTANCES: &str = "/compute/v1/instance";
const ME: &str = "/identity/v1/user/me";

#[tokio::test]
async fn a_key_is_taken_by_every_service_and_its_token_is_got_once() {
    for backend in Backend::BOTH {
        let up = Up::start(backend).await;
        let ann = up.site.person("ann", "member", "default").await;
        let (name, secret) = up.site.key(&ann.login, "ci", "member", &up.home).await;
        let before = up.tokens().await;
        let paths = [INSTANCES, ME].repeat(10);
        let statuses = join_all(paths.into_iter().map(|path| up.status(&secret, path))).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert_eq!(up.tokens().await, before + 1, "in both services, by twenty that came together");
        let me = up.call(&secret, "GET", ME).await.good();
        assert_eq!(me["subject"], format!("key:{name}:{}", ann.id));

        // which ends, and is got anew before
        up.site.verifier.clock().advance(std::time::Duration::from_secs(571));
        assert_eq!(up.status(&secret, INSTANCES).await, 200);
        assert_eq!(up.tokens().await, before + 2);
        // what the key is exchanged for by hand is the same
        let told = up.call(&secret, "POST", "/identity/v1/token").await;
        assert_eq!(told.status, 400, "the body is JSON: {}", told.text);
        let bearer = format!("Bearer {secret}");
        let by_hand = up.server.send("POST", "/identity/v1/token", &[("authorization", &bearer)], "{}").await.good();
        assert_eq!(by_hand["subject"], format!("key:{name}:{}", ann.id));
        up.site.login(&name, &secret, None).await;
        // as they were told by earlier releases
        up.site.login(&name, secret.rsplit_once(&format!("{name}_")).unwrap().1, None).await;
    }
}

#[tokio::test]
async fn a_key_can_do_what_its_scope_says_and_follows_its_users_rights() {
    for backend in Backend::BOTH {
        let up = Up::start(backend).await;
        let ann = up.site.person("ann", "member", "default").await;
        let other = up.site.new_project("other").await;
        let wish = |name: &str| json!({"name": name, "flavor_id": Uuid::now_v7(), "image_id": Uuid::now_v7()});
        Site::put::<Instance>(&up.site.compute, &up.home, wish("ours")).await;
        Site::put::<Instance>(&up.site.compute, &other, wish("theirs")).await;
        let (_, member) = up.site.key(&ann.login, "member", "member", &up.home).await;
        let (_, viewer) = up.site.key(&ann.login, "viewer", "viewer", &up.home).await;
        let seen = up.call(&viewer, "GET", INSTANCES).await.good();
        assert_eq!((seen["items"].as_array().unwrap().len(), &seen["items"][0]["name"]), (1, &json!("ours")));
        let path = format!("{INSTANCES}/{}", id(&seen["items"][0]));
        up.call(&viewer, "DELETE", &path).await.problem(403);
        up.call(&member, "POST", "/identity/v1/apikey").await.problem(400);
        let bearer = format!("Bearer {member}");
        let more = key("more", "viewer", &up.home).to_string();
        up.server.send("POST", "/identity/v1/apikey", &[("authorization", &bearer)], more).await.problem(403);

        // she is only a viewer from now on: that ends the key's token, and not the key
        let operator = up.site.operator().await;
        up.site.grant(&operator, &ann.id, "viewer", Some(&up.home)).await.good();
        up.site.call(&operator, "DELETE", &format!("grant/{}", ann.grant), Value::Null).await.good();
        assert_eq!(up.status(&member, &path).await, 200);
        up.call(&member, "DELETE", &path).await.problem(403);
    }
}

#[tokio::test]
async fn a_key_that_was_deleted_has_expired_or_is_made_up_is_refused_as_a_bad_token_is() {
    for backend in Backend::BOTH {
        let up = Up::start(backend).await;
        let operator = up.site.operator().await;
        let (name, deleted) = up.site.key(&operator, "one", "member", &up.home).await;
        let (_, kept) = up.site.key(&operator, "two", "member", &up.home).await;
        let mut shortly = key("three", "viewer", &up.home);
        shortly["expires_at"] = json!(Timestamp::now().plus_seconds(3));
        let shortly = up.site.call(&operator, "POST", "apikey", shortly).await.good()["secret"].clone();
        for secret in [&deleted, &kept, shortly.as_str().unwrap()] {
            assert_eq!(up.status(secret, INSTANCES).await, 200);
        }
        up.site.call(&operator, "DELETE", &format!("apikey/{name}"), Value::Null).await;
        for path in [INSTANCES, ME] {
            let problem = up.call(&deleted, "GET", path).await.problem(401);
            assert!(problem.detail.contains("cirro key create"), "{}", problem.detail);
        }
        assert_eq!(up.status(&kept, INSTANCES).await, 200);
        let made_up = format!("cirro_key_{name}_{}", "x".repeat(32));
        up.call(&made_up, "GET", INSTANCES).await.problem(401);
        // its token does not outlive it
        eventually("the key ends", async || {
            (up.status(shortly.as_str().unwrap(), INSTANCES).await == 401).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn only_services_say_where_a_key_was_shown() {
    let up = Up::start(Backend::Sqlite).await;
    let (_, secret) = up.site.key(&up.site.operator().await, "ci", "member", &up.home).await;
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str())];
    let told = up.server.send("POST", "/identity/v1/token", &headers, r#"{"from": "10.0.0.1"}"#).await;
    assert_eq!(told.problem(422).field.as_deref(), Some("from"));
}
