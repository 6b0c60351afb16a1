//! What HTTP callers may get wrong, and what each is told: never a 500, always a problem that names the thing; through
//! nginx as well as without it.

use crate::{
    matrix::new_chart,
    models::{Boat, Chart, new_boat},
    site::{Site, Way, on_both},
    wire::{Got, Sent, Wire},
};
use cirro_models::{Error, Id, Verbs};
use cirro_server::testkit::Backend;
use serde_json::json;
use std::time::Instant;

const BOATS: &str = "/compute/v1/boat";

/// Bodies and queries, with what each is.
#[allow(clippy::too_many_lines, reason = "one list of mistakes")]
async fn requests(wire: &Wire, id: &str) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |what: String, got: Got| {
        assert!(got.status < 500, "{what}: {got:?}");
        said.push(format!("{what} | {}", got.problem().replace(id, "<id>")));
    };
    for body in [
        "",
        "{",
        "nonsense",
        "[]",
        "7",
        "null",
        "{\"name\": \"a\"} x",
        "{\"name\": \"a\", \"name\": \"b\"}",
        "{}",
        "{\"name\": 7}",
        "{\"name\": null}",
        "{\"name\": \"\"}",
        "{\"name\": \"-a\"}",
        "{\"name\": \"a b\"}",
        "{\"name\": \"a\\u0000\"}",
        "{\"name\": \"a\", \"dry_rnu\": true}",
        "{\"name\": \"a\", \"id\": \"x\"}",
        "{\"name\": \"a\", \"status\": \"sailing\"}",
        "{\"name\": \"a\", \"colour\": \"blau\"}",
        "{\"name\": \"a\", \"colour\": null, \"load_mib\": -1}",
        "{\"name\": \"a\", \"load_mib\": 1e30}",
        "{\"name\": \"a\", \"load_mib\": 99999999999999999999}",
        "{\"name\": \"a\", \"load_mib\": \"64\"}",
        "{\"name\": \"a\", \"crew\": [\"Ann\", 7]}",
        "{\"name\": \"a\", \"harbour_id\": \"x\"}",
        "{\"name\": \"a\", \"due_at\": \"tomorrow\"}",
        "{\"name\": \"a\", \"due_at\": \"-9999-01-01T00:00:00Z\"}",
        "{\"name\": \"a\", \"due_at\": \"+99999-01-01T00:00:00Z\"}",
        "{\"name\": \"a\", \"labels\": {\"a\": 7}}",
        "{\"name\": \"a\", \"labels\": null}",
        "{\"name\": \"a\", \"afloat\": \"yes\"}",
        "{\"name\": \"a\", \"note\": \"\\ud800\"}",
        "{\"name\": \"a\", \"password\": \"short\"}",
    ] {
        say(format!("POST {body}"), Sent::new(wire, "POST", BOATS).body(body).send().await);
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    say(
        "POST deeply nested".to_owned(),
        Sent::new(wire, "POST", BOATS).body(format!("{{\"name\": {deep}}}")).send().await,
    );
    say(
        "POST an overlong name".to_owned(),
        Sent::new(wire, "POST", BOATS).body(json!({ "name": "n".repeat(64) }).to_string()).send().await,
    );
    let large = json!({ "name": "a", "note": "x".repeat(1024 * 1024) });
    say("POST more than the limit".to_owned(), Sent::new(wire, "POST", BOATS).body(large.to_string()).send().await);
    let one = format!("{BOATS}/{id}");
    for body in [
        "{\"name\": null}",
        "{\"colour\": null}",
        "{\"load_mib\": null}",
        "{\"afloat\": null}",
        "{\"labels\": null}",
        "{\"password\": null}",
        "{\"harbour_id\": null}",
        "{\"version\": 1}",
        "{\"colour\": \"rot\"}",
        "{\"labels\": {\"k\": 1}}",
        "[]",
    ] {
        say(format!("PATCH {body}"), Sent::new(wire, "PATCH", &one).body(body).send().await);
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=many",
        "limit=",
        "limit=99999999999999999999",
        "after=x",
        "after=x&limit=many",
        "color=red",
        "colour=rde",
        "colour=red&colour=blue",
        "limit=1&limit=2",
        "harbour_id=x",
        "label=x",
        "label=k=%00",
        "name=%00",
        "name=a%20b",
        "note=x",
        "%ff=1",
        "name=%ff",
    ] {
        say(format!("GET ?{query}"), Sent::new(wire, "GET", &format!("{BOATS}?{query}")).send().await);
    }
    for query in [
        "",
        "model=boat&after=x",
        "model=boat&after=1.2.3.4",
        "model=boat&wait_ms=-1",
        "model=boat&until=1",
        "model=ship",
        "model=boat&model=boat",
    ] {
        say(format!("GET change?{query}"), Sent::new(wire, "GET", &format!("/compute/v1/change?{query}")).send().await);
    }
    for body in ["", "{}", "{\"ids\": 7}", "{\"ids\": [\"x\"]}", "{\"ids\": [], \"more\": 1}"] {
        say(format!("POST batch {body}"), Sent::new(wire, "POST", &format!("{BOATS}/batch")).body(body).send().await);
    }
    let ids: Vec<_> = (0..1001).map(|_| uuid::Uuid::nil()).collect();
    say(
        "POST batch of 1001".to_owned(),
        Sent::new(wire, "POST", &format!("{BOATS}/batch")).body(json!({ "ids": ids }).to_string()).send().await,
    );
    for (name, value) in [
        ("if-match", "new"),
        ("if-match", "\"1\", \"2\""),
        ("if-match", "\"7\""),
        ("x-cirro-timeout-ms", "soon"),
        ("x-cirro-timeout-ms", "-1"),
        ("idempotency-key", "ä"),
        ("idempotency-key", &"k".repeat(256)),
    ] {
        let sent = Sent::new(wire, "PATCH", &one).body("{\"note\": \"x\"}").header(name, value);
        say(format!("PATCH with {name}: {value:.9}"), sent.send().await);
    }
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/compute"),
        ("GET", "/compute/v1"),
        ("GET", "/compute/v2/boat"),
        ("GET", "/compute/v1/ship"),
        ("GET", "/compute/v1/boat/"),
        ("GET", "/compute/v1/boat/x/y"),
        ("GET", "/identity/v1/boat"),
        ("DELETE", BOATS),
        ("PATCH", BOATS),
        ("POST", &one),
        ("GET", "/compute/v1/boat/batch"),
        ("OPTIONS", BOATS),
        ("POST", "/compute/v1/change"),
        ("GET", "/compute/v1/boat/x"),
        ("DELETE", "/compute/v1/boat/%00"),
        ("PUT", "/compute/v1/boat/7"),
    ] {
        let sent = Sent::new(wire, method, path);
        let got = if method == "PUT" || method == "POST" { sent.body("{}") } else { sent }.send().await;
        let allow = got.header("allow").map(|allow| format!(" (Allow: {allow})")).unwrap_or_default();
        say(format!("{method} {path}{allow}").replace(id, "<id>"), got);
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_named_with_its_remedy() {
    on_both(|site| async move {
        let boat = site.make::<Boat>(&site.actors.member(), [new_boat("one")]).await.remove(0);
        let said = requests(&Wire::of(&site, Way::Remote).await, &boat.id.to_string()).await;
        insta::assert_snapshot!("every_mistake", said.join("\n"));
        let through = requests(&Wire::of(&site, Way::Bus).await, &boat.id.to_string()).await;
        assert_eq!(through.len(), said.len());
        let own: Vec<_> = through.into_iter().zip(said).filter(|(one, two)| one != two).map(|(own, _)| own).collect();
        insta::assert_snapshot!("what_nginx_says_itself", own.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_yours_looks_like_what_is_not_there() {
    on_both(|site| async move {
        let theirs = site.make::<Boat>(&site.actors.outsider(), [new_boat("theirs")]).await.remove(0).id.to_string();
        let secret =
            site.make::<Chart>(&site.actors.outsider(), [new_chart("secret", false)]).await.remove(0).id.to_string();
        let missing = uuid::Uuid::now_v7().to_string();
        for way in Way::WIRES {
            let wire = Wire::of(&site, way).await;
            for (model, id) in [("boat", &theirs), ("chart", &secret)] {
                for (method, body) in [("GET", ""), ("PATCH", "{}"), ("PUT", "{}"), ("DELETE", "")] {
                    let send = async |id: &str| {
                        let sent = Sent::new(&wire, method, &format!("/compute/v1/{model}/{id}"));
                        let got = sent.header("if-match", "\"1\"").body(body).send().await;
                        assert_eq!(got.status, 404, "{method}: {got:?}");
                        got.problem().replace(id, "<id>")
                    };
                    assert_eq!(send(id).await, send(&missing).await);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etags_tell_whether_a_row_has_changed() {
    on_both(|site| async move {
        for way in Way::WIRES {
            let wire = Wire::of(&site, way).await;
            let created = Sent::new(&wire, "POST", BOATS).body("{\"name\": \"one\"}").send().await;
            assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")));
            let path = created.header("location").unwrap().to_owned();
            assert_eq!(path, format!("{BOATS}/{}", created.json()["id"].as_str().unwrap()));
            assert_eq!(created.json()["links"]["self"], path);
            let get = |tag: &'static str| Sent::new(&wire, "GET", &path).header("if-none-match", tag).send();
            for tag in ["\"1\"", "W/\"1\"", "\"7\", \"1\""] {
                let same = get(tag).await;
                assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some("\"1\"")));
            }
            assert_eq!(get("\"2\"").await.status, 200);
            let outsider = format!("Bearer {}", site.actors.outsider().token.expose());
            let unknown =
                Sent::new(&wire, "GET", &path).header("authorization", &outsider).header("if-none-match", "\"1\"");
            assert_eq!(unknown.send().await.status, 404, "permission is asked before an unchanged row says so");
            let change = |tag: &'static str, body: &'static str| {
                Sent::new(&wire, "PATCH", &path).header("if-match", tag).body(body).send()
            };
            assert_eq!(change("\"1\"", "{\"note\": \"x\"}").await.header("etag"), Some("\"2\""));
            assert_eq!(change("\"1\"", "{\"note\": \"x\"}").await.status, 200, "nothing is left to change");
            let stale = change("\"1\"", "{\"note\": \"y\"}").await;
            assert_eq!((stale.status, &stale.json()["version"]), (412, &json!(2)));
            assert_eq!(Sent::new(&wire, "DELETE", &path).send().await.status, 204);
            assert_eq!(Sent::new(&wire, "DELETE", &path).send().await.status, 404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_out_of_time_says_so() {
    let site = Site::open(Backend::Sqlite).await;
    for way in Way::WIRES {
        let wire = Wire::of(&site, way).await;
        let late = Sent::new(&wire, "GET", BOATS).header("x-cirro-timeout-ms", "0").send().await;
        assert_eq!((late.status, late.json()["type"].as_str()), (504, Some("urn:cirro:problem:deadline-exceeded")));
        let ctx = site.context(way, &site.actors.member()).until(Instant::now());
        assert!(matches!(Boat::get(&ctx, Id::new()).await, Err(Error::DeadlineExceeded { .. })));
    }
}
