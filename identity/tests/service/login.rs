//! Logging in with a password.

use super::site::{Site, password_of};
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::problem::Problem;
use cirro_server::{
    Database, Owner,
    testkit::{Actors, Backend, Server},
    token::Verifier,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn wrong_unknown_and_disabled_look_alike() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let ben = site.person("ben", "member", "default").await;
        let operator = site.operator().await;
        site.call(&operator, "PATCH", &format!("user/{}", ben.id), json!({"enabled": false})).await.good();
        let passwordless = json!({"name": "cleo"});
        site.call(&operator, "POST", "user", passwordless).await.good();

        let mut answers = Vec::new();
        for (name, password) in [
            (&*ann.name, "not her password"),
            ("zoe", "not her password"),
            ("no name at all!", "not her password"),
            (&*ben.name, &*password_of("ben")),
            ("cleo", ""),
            ("00000000-0000-7000-8000-000000000000", "not a key's secret"),
        ] {
            let problem = site.ask(name, password, None).await.problem(401);
            answers.push(Problem { request_id: None, ..problem });
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    }
}

#[tokio::test]
async fn ten_failures_close_an_account_for_a_while_and_no_other() {
    let site = Site::new(Backend::Sqlite).await;
    site.person("ann", "member", "default").await;
    site.person("ben", "member", "default").await;
    for _ in 0..10 {
        site.ask("ann", "a wrong guess", None).await.problem(401);
    }
    // even the right password, so that nobody learns which one it is
    let told = site.ask("ann", &password_of("ann"), None).await;
    let problem = told.problem(429);
    let wait: u32 = told.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(problem.retry_after_s, Some(wait));
    assert!(problem.detail.contains("ann") && problem.detail.contains("wait"), "{}", problem.detail);
    site.login("ben", &password_of("ben"), None).await;
}

#[tokio::test]
async fn guesses_at_the_same_moment_are_counted_before_they_are_judged() {
    let site = Site::new(Backend::Sqlite).await;
    let guesses = (0..40).map(|_| site.ask("zoe", "a wrong guess", None));
    let answers: Vec<u16> = join_all(guesses).await.iter().map(|told| told.status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 10, "{answers:?}");
    assert!(answers.iter().all(|status| [401, 429].contains(status)), "{answers:?}");
}

#[tokio::test]
async fn processes_of_one_database_count_failures_together_and_a_restart_forgets_none_of_the_closed() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let another = async || {
            let verifier = Arc::new(Verifier::default());
            let database = match backend {
                Backend::Postgres => Database::open(&site.databases[0].url, cirro_identity::MIGRATIONS).await.unwrap(),
                // which no other process may open
                Backend::Sqlite => site.databases[0].database.clone(),
            };
            let owner = cirro_identity::service(database, verifier.clone(), None).await.unwrap();
            let mut actors = Actors::new();
            actors.verifier = verifier;
            Server::start(Owner::mount_together(vec![owner]), &actors).await
        };
        let guess = async |server: &Server, secret: &str| {
            let proof = format!("Basic {}", STANDARD.encode(format!("{}:{secret}", ann.name)));
            server.send("POST", "/identity/v1/token", &[("authorization", &proof)], "{}").await.status
        };
        let second = another().await;
        let mut judged = 0;
        for n in 0..24 {
            let server = if n % 2 == 0 { &site.server } else { &second };
            judged += usize::from(guess(server, "a wrong guess").await == 401);
        }
        assert!((10..=11).contains(&judged), "{judged}");
        // one that has just started may be ahead of the others by a guess
        let restarted = another().await;
        guess(&restarted, "a wrong guess").await;
        for server in [&site.server, &second, &restarted] {
            assert_eq!(guess(server, &password_of("ann")).await, 429);
        }
    }
}

#[tokio::test]
async fn successes_do_not_close_an_account() {
    let site = Site::new(Backend::Sqlite).await;
    for _ in 0..12 {
        site.operator().await;
    }
}

#[tokio::test]
async fn a_token_says_who_where_and_for_how_long() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "member", "default").await;
    let project = site.project_id("default").await;
    let claims = ann.login.claims();
    assert_eq!(claims["sub"], format!("user:{}", ann.id));
    assert_eq!((&claims["project"], &claims["role"]), (&Value::from(&*project), &"member".into()));
    assert_eq!((&claims["operator"], &claims["scoped"]), (&false.into(), &false.into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(ann.login.told["expires_at"].as_str().unwrap().len(), "2026-01-01T00:00:00.000000Z".len());

    let keys = site.server.send("GET", "/identity/v1/jwks", &[], "").await.good();
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][0]["crv"]), (&"EdDSA".into(), &"Ed25519".into()));
    assert_eq!(keys["keys"][0].get("d"), None, "a private key is public");
    let told = site.ask("ann", &password_of("ann"), None).await;
    assert_eq!(told.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_project_is_chosen_by_name_by_id_or_because_it_is_the_only_one() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let (home, other) = (site.project_id("default").await, site.new_project("other").await);
        let foreign = site.new_project("foreign").await;
        let password = password_of("ann");
        assert_eq!(site.login("ann", &password, None).await.told["project_id"], home, "her only one");

        site.grant(&site.operator().await, &ann.id, "viewer", Some(&other)).await.good();
        site.grant(&site.operator().await, &ann.id, "admin", Some(&other)).await.good();
        assert_eq!(site.login("ann", &password, None).await.told["project_id"], Value::Null, "two are not one");
        for name in ["other", &other] {
            let told = site.login("ann", &password, Some(name)).await.told;
            assert_eq!((&told["project_id"], &told["role"]), (&other.clone().into(), &"admin".into()));
        }
        let answers: Vec<String> =
            join_all(["foreign", &foreign, "nowhere", "no name!"].map(|name| site.ask("ann", &password, Some(name))))
                .await
                .into_iter()
                .map(|told| told.problem(403).detail)
                .collect();
        assert!(answers.iter().all(|detail| detail.contains("grant")), "{answers:#?}");

        let there = site.login("admin", site.admin.password.expose(), Some("foreign")).await.told;
        assert_eq!(there["role"], "admin", "an operator may work anywhere");
    }
}
