//! What HTTP callers may get wrong, and what each is told: never a 500, always a problem that names the thing.

use crate::{
    matrix::new_chart,
    models::{Boat, Chart, new_boat},
    site::{Site, on_both},
};
use cirro_models::{Verbs, problem::PROBLEM_JSON};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// One request as it is on the wire.
struct Sent<'s> {
    site: &'s Site,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// One answer as it is on the wire.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
    /// The problem on one line, checked for what every problem has.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        assert!(self.status < 500, "{self:?}");
        let kind = problem["type"].as_str().unwrap().replace("urn:cirro:problem:", "");
        let field = problem["field"].as_str().map(|field| format!(" [{field}]")).unwrap_or_default();
        format!("{} {kind}{field}: {}", self.status, problem["detail"].as_str().unwrap())
    }
}

fn exchange(url: &str, text: &[u8]) -> Got {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    // a server that refuses a large body may stop reading it
    let _ = stream.write_all(text);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    Got { status, headers, body: body.to_owned() }
}

impl<'s> Sent<'s> {
    fn new(site: &'s Site, method: &str, path: &str) -> Self {
        let token = site.actors.member().token.expose().to_owned();
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        Self { site, method: method.to_owned(), path: path.to_owned(), headers, body: None }
    }
    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    async fn send(self) -> Got {
        let body = self.body.unwrap_or_default();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            body.len()
        );
        self.headers
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .for_each(|(key, value)| text.extend([key.as_str(), ": ", value.as_str(), "\r\n"]));
        text.extend(["\r\n", body.as_str()]);
        let url = self.site.server.url.clone();
        tokio::task::spawn_blocking(move || exchange(&url, text.as_bytes())).await.unwrap()
    }
}

const BOATS: &str = "/compute/v1/boat";

/// Bodies and queries, with what each is.
#[allow(clippy::too_many_lines, reason = "one list of mistakes")]
async fn requests(site: &Site, id: &str) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |what: String, got: Got| said.push(format!("{what} | {}", got.problem().replace(id, "<id>")));
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
        say(format!("POST {body}"), Sent::new(site, "POST", BOATS).body(body).send().await);
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    say(
        "POST deeply nested".to_owned(),
        Sent::new(site, "POST", BOATS).body(format!("{{\"name\": {deep}}}")).send().await,
    );
    say(
        "POST an overlong name".to_owned(),
        Sent::new(site, "POST", BOATS).body(json!({ "name": "n".repeat(64) }).to_string()).send().await,
    );
    let large = json!({ "name": "a", "note": "x".repeat(1024 * 1024) });
    say("POST more than the limit".to_owned(), Sent::new(site, "POST", BOATS).body(large.to_string()).send().await);
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
        say(format!("PATCH {body}"), Sent::new(site, "PATCH", &one).body(body).send().await);
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
        say(format!("GET ?{query}"), Sent::new(site, "GET", &format!("{BOATS}?{query}")).send().await);
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
        say(format!("GET change?{query}"), Sent::new(site, "GET", &format!("/compute/v1/change?{query}")).send().await);
    }
    for body in ["", "{}", "{\"ids\": 7}", "{\"ids\": [\"x\"]}", "{\"ids\": [], \"more\": 1}"] {
        say(format!("POST batch {body}"), Sent::new(site, "POST", &format!("{BOATS}/batch")).body(body).send().await);
    }
    let ids: Vec<_> = (0..1001).map(|_| uuid::Uuid::nil()).collect();
    say(
        "POST batch of 1001".to_owned(),
        Sent::new(site, "POST", &format!("{BOATS}/batch")).body(json!({ "ids": ids }).to_string()).send().await,
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
        let sent = Sent::new(site, "PATCH", &one).body("{\"note\": \"x\"}").header(name, value);
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
        let sent = Sent::new(site, method, path);
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
        let said = requests(&site, &boat.id.to_string()).await;
        insta::assert_snapshot!("every_mistake", said.join("\n"));
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
        for (model, id) in [("boat", &theirs), ("chart", &secret)] {
            for (method, body) in [("GET", ""), ("PATCH", "{}"), ("PUT", "{}"), ("DELETE", "")] {
                let send = async |id: &str| {
                    let sent =
                        Sent::new(&site, method, &format!("/compute/v1/{model}/{id}")).header("if-match", "\"1\"");
                    let got = sent.body(body).send().await;
                    assert_eq!(got.status, 404, "{method}: {got:?}");
                    got.problem().replace(id, "<id>")
                };
                assert_eq!(send(id).await, send(&missing).await);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etags_tell_whether_a_row_has_changed() {
    on_both(|site| async move {
        let created = Sent::new(&site, "POST", BOATS).body("{\"name\": \"one\"}").send().await;
        assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")));
        let path = created.header("location").unwrap().to_owned();
        assert_eq!(path, format!("{BOATS}/{}", created.json()["id"].as_str().unwrap()));
        assert_eq!(created.json()["links"]["self"], path);
        let get = |tag: &'static str| Sent::new(&site, "GET", &path).header("if-none-match", tag).send();
        for tag in ["\"1\"", "W/\"1\"", "\"7\", \"1\""] {
            let same = get(tag).await;
            assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some("\"1\"")));
        }
        assert_eq!(get("\"2\"").await.status, 200);
        let outsider = format!("Bearer {}", site.actors.outsider().token.expose());
        let unknown =
            Sent::new(&site, "GET", &path).header("authorization", &outsider).header("if-none-match", "\"1\"");
        assert_eq!(unknown.send().await.status, 404, "permission is asked before an unchanged row says so");
        let change = |tag: &'static str| {
            Sent::new(&site, "PATCH", &path).header("if-match", tag).body("{\"note\": \"x\"}").send()
        };
        assert_eq!(change("\"1\"").await.header("etag"), Some("\"2\""));
        assert_eq!(change("\"1\"").await.status, 200, "nothing is left to change");
        let stale = Sent::new(&site, "PATCH", &path).header("if-match", "\"1\"").body("{\"note\": \"y\"}").send().await;
        assert_eq!((stale.status, &stale.json()["version"]), (412, &json!(2)));
        assert_eq!(Sent::new(&site, "DELETE", &path).send().await.status, 204);
        assert_eq!(Sent::new(&site, "DELETE", &path).send().await.status, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_out_of_time_says_so() {
    let site = Site::open(cirro_server::testkit::Backend::Sqlite).await;
    let late = Sent::new(&site, "GET", BOATS).header("x-cirro-timeout-ms", "0").send().await;
    assert_eq!((late.status, late.json()["type"].as_str()), (504, Some("urn:cirro:problem:deadline-exceeded")));
    let ctx = site.actors.member().over(&site.server).until(std::time::Instant::now());
    assert!(matches!(
        Boat::get(&ctx, cirro_models::Id::new()).await,
        Err(cirro_models::Error::DeadlineExceeded { .. })
    ));
}
