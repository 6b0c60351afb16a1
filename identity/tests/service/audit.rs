//! What was done is told to operators, all of it, and to nobody else; and nobody changes it.

use super::site::{Login, Site, id, key, password_of};
use cirro_models::Timestamp;
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::{Value, json};

async fn records(site: &Site, by: &Login, query: &str) -> Vec<Value> {
    let told = site.call(by, "GET", &format!("auditrecord?limit=1000&{query}"), Value::Null).await.good();
    told["items"].as_array().unwrap().clone()
}

/// Principal, operation, model and status of each.
fn short(records: &[Value]) -> Vec<String> {
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("-").to_owned();
    let line = |record: &Value| {
        format!("{} {} {}", text(record, "operation"), text(record, "model"), record["status"].as_i64().unwrap())
    };
    records.iter().map(line).collect()
}

#[tokio::test]
async fn every_change_and_every_refusal_is_told_with_who_did_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let ann = site.person("ann", "member", "default").await;
        let home = site.project_id("default").await;
        let began = Timestamp::now();
        let ann_is = format!("principal=user:{}&since={began}", ann.id);

        let path = format!("user/{}", ann.id);
        site.call(&ann.login, "PATCH", &path, json!({"full_name": "Ann B."})).await.good();
        let made = site.call(&ann.login, "POST", "apikey", key("ci", "viewer", &home)).await.good();
        let script = site.login(&id(&made), made["secret"].as_str().unwrap(), None).await;
        for (method, path, body) in [
            ("POST", "project", json!({"name": "more"})),
            ("PATCH", &*path, json!({"enabled": false})),
            ("DELETE", &*path, Value::Null),
            ("DELETE", &*format!("grant/{}", ann.grant), Value::Null),
        ] {
            site.call(&ann.login, method, path, body).await.problem(403);
        }
        let second = site.login("ann", &password_of("ann"), None).await;
        for path in ["token/this", "token"] {
            let by = if path == "token" { &ann.login } else { &second };
            assert_eq!(site.call(by, "DELETE", path, Value::Null).await.status, 204);
        }
        let told = records(&site, &operator, &ann_is).await;
        assert_eq!(
            short(&told),
            [
                "update user 200",
                "create apikey 201",
                "create project 403",
                "update user 403",
                "delete user 403",
                "delete grant 403",
                "create token 200",
                "delete token 200",
                "delete token 200",
            ]
        );
        assert_eq!((&told[0]["subject_id"], &told[0]["project_id"]), (&ann.id.clone().into(), &home.clone().into()));
        assert_eq!(told[5]["subject_id"], ann.grant);
        let fields: Vec<_> = told[1].as_object().unwrap().keys().cloned().collect();
        let known = ["id", "at", "principal", "project_id", "operation", "model", "subject_id", "request_id", "status"];
        assert!(fields.iter().all(|field| known.contains(&&**field)), "{fields:?}");
        let scripts = records(&site, &operator, &format!("principal=key:{}:{}", id(&made), ann.id)).await;
        assert_eq!(short(&scripts), ["create token 200"]);
        drop(script);

        // narrowed
        let of = async |query: String| short(&records(&site, &operator, &query).await);
        assert_eq!(of(format!("{ann_is}&model=apikey")).await, ["create apikey 201"]);
        assert_eq!(of(format!("{ann_is}&subject_id={}", ann.grant)).await, ["delete grant 403"]);
        assert_eq!(of(format!("{ann_is}&until={began}")).await, Vec::<String>::new());
        assert_eq!(of(format!("{ann_is}&project_id={}", ann.id)).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_audit_is_an_operators_and_can_not_be_written() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = site.operator().await;
    let chief = site.person("chief", "admin", "default").await;
    site.call(&chief.login, "GET", "auditrecord", Value::Null).await.problem(403);
    let home = site.project_id("default").await;
    let (name, secret) = site.key(&operator, "ci", "admin", &home).await;
    let script = site.login(&name, &secret, None).await;
    site.call(&script, "GET", "auditrecord", Value::Null).await.problem(403);
    let record = records(&site, &operator, "").await.remove(0);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["auditrecord".to_owned(), format!("auditrecord/{}", id(&record))] {
            let told = site.call(&operator, method, &path, json!({})).await;
            assert!([404, 405].contains(&told.status), "{method} {path}: {} {}", told.status, told.text);
        }
    }
    assert_eq!(records(&site, &operator, "").await[0], record);
    for (query, field) in [("since=yesterday", "since"), ("after=x", "after"), ("who=ann", "who"), ("limit=0", "limit")]
    {
        let problem = site.call(&operator, "GET", &format!("auditrecord?{query}"), Value::Null).await.problem(422);
        assert_eq!(problem.field.as_deref(), Some(field));
    }
}

#[tokio::test]
async fn pages_hold_every_record_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        join_all((0..20).map(|n| site.call(&operator, "POST", "project", json!({"name": format!("p{n}")})))).await;
        let whole = records(&site, &operator, "model=project").await;
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("auditrecord?model=project&limit=3{after}");
            let page = site.call(&operator, "GET", &path, Value::Null).await.good();
            paged.extend(page["items"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole);
        assert_eq!(whole.len(), 20);
    }
}

#[tokio::test]
async fn nothing_appears_later_in_a_range_that_was_read_while_writers_race() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let write = |writer: u32| {
            let (site, operator) = (&site, &operator);
            async move {
                for n in 0..15 {
                    let new = json!({"name": format!("w{writer}-{n}")});
                    site.call(operator, "POST", "group", new).await.good();
                }
            }
        };
        let read = async {
            let mut seen = Vec::new();
            for _ in 0..15 {
                let until = Timestamp::now();
                seen.push((until, records(&site, &operator, &format!("until={until}")).await));
            }
            seen
        };
        let (_, seen) = futures_util::join!(join_all((0..6).map(write)), read);
        for (until, then) in seen {
            let now = records(&site, &operator, &format!("until={until}")).await;
            assert_eq!(then, now, "what was done before {until} on {backend:?}");
        }
        assert_eq!(records(&site, &operator, "model=group").await.len(), 90);
    }
}
