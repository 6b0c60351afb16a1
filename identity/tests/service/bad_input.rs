//! What can't be used is answered with a problem that names it and says what to send instead; the goldens are what a
//! caller reads.

use super::site::Site;
use cirro_server::testkit::{Backend, Told};
use serde_json::{Value, json};
use std::fmt::Write;

/// A problem as a caller reads it, without what differs from run to run.
fn shown(what: &str, told: &Told) -> String {
    assert!((400..500).contains(&told.status), "{what}: {} {}", told.status, told.text);
    let problem = told.problem(told.status);
    assert_eq!(problem.request_id.as_deref(), Some(told.header("x-request-id")), "{what}");
    let field = problem.field.or(problem.kind).unwrap_or_default();
    let kind = problem.kind_of_problem.trim_start_matches(cirro_models::problem::TYPE_PREFIX);
    format!("{what}\n    {} {kind} {field}\n    {}\n", told.status, problem.detail)
}

#[tokio::test]
async fn bodies_that_can_not_be_used() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = format!("Bearer {}", site.operator().await.token);
    let long = "x".repeat(64);
    let project = site.project_id("default").await;
    let mut text = String::new();
    for (what, path, body) in [
        ("nothing", "user", String::new()),
        ("no JSON", "user", "{\"name\": ".to_owned()),
        ("JSON and more", "user", "{\"name\": \"ann\"} {}".to_owned()),
        ("a list", "user", "[]".to_owned()),
        ("an unknown field", "user", json!({"name": "ann", "pasword": "12345678"}).to_string()),
        ("a field that is the server's", "user", json!({"name": "ann", "id": project}).to_string()),
        ("a missing field", "user", json!({"full_name": "Ann"}).to_string()),
        ("a wrong type", "user", json!({"name": 7}).to_string()),
        ("an overlong name", "user", json!({"name": long}).to_string()),
        ("an unusable name", "user", json!({"name": "-ann"}).to_string()),
        ("a short password", "user", json!({"name": "ann", "password": "1234567"}).to_string()),
        ("an overlong text", "user", json!({"name": "ann", "full_name": "x".repeat(5000)}).to_string()),
        ("a NUL", "user", json!({"name": "ann", "full_name": "a\u{0}b"}).to_string()),
        ("a bad label", "user", json!({"name": "ann", "labels": {"no key!": "x"}}).to_string()),
        ("a negative size", "project", json!({"name": "p", "max_vcpus": -1}).to_string()),
        ("an enormous size", "project", json!({"name": "p", "max_memory_mib": i64::MAX}).to_string()),
        ("a fraction", "project", json!({"name": "p", "max_vcpus": 1.5}).to_string()),
        ("an unknown word", "grant", json!({"user_id": project, "project_id": project, "role": "membr"}).to_string()),
        ("no id", "grant", json!({"user_id": "ann", "project_id": project, "role": "member"}).to_string()),
        (
            "no time",
            "apikey",
            json!({"name": "k", "project_id": project, "role": "viewer", "expires_at": "tomorrow"}).to_string(),
        ),
        ("a large body", "user", json!({"name": "ann", "full_name": "x".repeat(1024 * 1024)}).to_string()),
    ] {
        let headers = [("authorization", operator.as_str())];
        let told = site.server.send("POST", &format!("/identity/v1/{path}"), &headers, body).await;
        let _ = writeln!(text, "{}", shown(what, &told).replace(&project, "PROJECT"));
    }
    insta::assert_snapshot!(text);
    let users = site.call(&site.operator().await, "GET", "user", Value::Null).await.good();
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "something half-made was left");
}

#[tokio::test]
async fn requests_that_can_not_be_used() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = format!("Bearer {}", site.operator().await.token);
    let mut text = String::new();
    let unknown = "01900000-0000-7000-8000-0000000000ff";
    let own = site.operator().await.claims()["sub"].as_str().unwrap().replace("user:", "");
    for (what, method, path, header, body) in [
        ("an unknown id", "GET", format!("user/{unknown}"), None, String::new()),
        ("what is no id", "GET", "user/ann".to_owned(), None, String::new()),
        ("an unknown id to delete", "DELETE", format!("grant/{unknown}"), None, String::new()),
        ("an unknown path", "GET", "users".to_owned(), None, String::new()),
        ("a method that is none", "POST", format!("user/{unknown}"), None, "{}".to_owned()),
        ("an unknown filter", "GET", "user?nme=ann".to_owned(), None, String::new()),
        ("an unusable filter", "GET", "user?enabled=perhaps".to_owned(), None, String::new()),
        ("an unknown word", "GET", "grant?role=boss".to_owned(), None, String::new()),
        ("too much at once", "GET", "user?limit=1001".to_owned(), None, String::new()),
        ("no number", "GET", "user?limit=many".to_owned(), None, String::new()),
        ("no place in a list", "GET", "user?after=x".to_owned(), None, String::new()),
        ("too many ids", "POST", "user/batch".to_owned(), None, json!({"ids": vec![unknown; 1001]}).to_string()),
        (
            "a key that is too long",
            "POST",
            "user".to_owned(),
            Some(("idempotency-key", "k".repeat(256))),
            json!({"name": "x"}).to_string(),
        ),
        ("a tag that is none", "PATCH", format!("user/{own}"), Some(("if-match", "new".to_owned())), "{}".to_owned()),
        (
            "a whole row with too much",
            "PUT",
            format!("user/{own}"),
            None,
            json!({"version": 1, "password": "12345678"}).to_string(),
        ),
        (
            "a whole row with another id",
            "PUT",
            format!("user/{own}"),
            None,
            json!({"version": 1, "id": unknown}).to_string(),
        ),
        ("a whole row without its version", "PUT", format!("user/{own}"), None, json!({"full_name": "A"}).to_string()),
        ("what can't be cleared", "PATCH", format!("user/{own}"), None, json!({"name": null}).to_string()),
        (
            "a time limit that is none",
            "GET",
            "user".to_owned(),
            Some(("x-cirro-timeout-ms", "soon".to_owned())),
            String::new(),
        ),
        ("changes of nothing", "GET", "change?model=users".to_owned(), None, String::new()),
        ("a login without proof", "POST", "token".to_owned(), None, "{}".to_owned()),
        ("a login with too much", "POST", "token".to_owned(), None, json!({"projct": "default"}).to_string()),
    ] {
        let mut headers = vec![("authorization", operator.as_str())];
        headers.extend(header.as_ref().map(|(name, value)| (*name, value.as_str())));
        let told = site.server.send(method, &format!("/identity/v1/{path}"), &headers, body).await;
        let _ = writeln!(text, "{}", shown(what, &told).replace(&own, "USER"));
    }
    insta::assert_snapshot!(text);
}
