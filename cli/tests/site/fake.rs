//! A small site that behaves as the API says: rows in memory, filters, pages, tokens, a change feed, and knobs.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

/// What the tests see and turn.
#[derive(Default)]
pub struct State {
    /// Rows by model.
    pub rows: HashMap<String, Vec<Value>>,
    /// The statuses that a new row goes through, one at each read.
    pub script: HashMap<String, Vec<&'static str>>,
    /// What was asked: method, path, idempotency key.
    pub asked: Vec<(String, String, Option<String>)>,
    /// The tokens that are accepted.
    pub good: Vec<String>,
    /// How long new tokens are good, in seconds.
    pub lifetime: i64,
    /// Answered instead of taking an image's bytes.
    pub refuse_bytes: Option<u16>,
    /// The bytes that were received.
    pub bytes: Vec<u8>,
    /// What a new launch plan would do.
    pub outlook: Value,
    next: u64,
}

pub struct Fake {
    pub url: String,
    state: Arc<Mutex<State>>,
}

pub const PROJECT: &str = "01970000-0000-7000-8000-0000000000aa";

/// An API key that is good there, and its id.
pub const KEY: (&str, &str) =
    ("cirro_key_01970000-0000-7000-8000-0000000000cc_ubiquitous-proof-of-it", "01970000-0000-7000-8000-0000000000cc");

impl Fake {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { lifetime: 600, ..State::default() }));
        let (sender, receiver) = mpsc::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let serve = async move {
                let server = HttpServer::new(move || {
                    let shared = shared.clone();
                    let limit = web::PayloadConfig::new(64 << 20);
                    let all = move |request: HttpRequest, body: web::Bytes| {
                        let answer =
                            answer(&mut shared.lock().unwrap_or_else(PoisonError::into_inner), &request, &body);
                        async move { answer }
                    };
                    App::new().app_data(limit).default_service(web::to(all))
                });
                let server = server.workers(1).bind(("127.0.0.1", 0)).expect("a free port");
                sender.send(server.addrs()[0]).expect("the test waits");
                server.run().await
            };
            actix_web::rt::System::new().block_on(serve)
        });
        Self { url: format!("http://{}", receiver.recv().expect("the server starts")), state }
    }
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Adds a row, completed with what every row has.
    #[allow(clippy::needless_pass_by_value, reason = "tests write rows where they are used")]
    pub fn add(&self, model: &str, row: Value) -> String {
        self.state().add(model, &row)
    }
}

impl State {
    fn add(&mut self, model: &str, row: &Value) -> String {
        self.next += 1;
        let id = format!("01970000-0000-7000-8000-{:012x}", self.next);
        let mut whole = json!({
            "id": id, "project_id": PROJECT, "version": 1, "labels": {}, "created_by": "user:1",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "links": {"self": format!("/x/{id}")}
        });
        merge(&mut whole, row);
        self.rows.entry(model.to_owned()).or_default().push(whole);
        id
    }
    fn row(&mut self, model: &str, id: &str) -> Option<&mut Value> {
        self.rows.entry(model.to_owned()).or_default().iter_mut().find(|row| row["id"] == id)
    }
    /// One more read of this row moves it one state on.
    fn advance(&mut self, model: &str, id: &str) {
        let next = match self.script.get_mut(model) {
            Some(states) if !states.is_empty() => states.remove(0),
            _ => return,
        };
        if next == "gone" {
            self.rows.entry(model.to_owned()).or_default().retain(|row| row["id"] != id);
        } else if let Some(row) = self.row(model, id) {
            row["status"] = next.into();
            if row.get("generation").is_some() {
                row["observed_generation"] = row["generation"].clone();
            }
            if next == "failed" {
                row["status_reason"] = "the disk is full".into();
            }
            if model == "launchplan" {
                row["progress"] = progress(next, row);
            }
            if model == "consolelog" && next == "ready" {
                row["text"] = "web1 is up\r\n\u{1b}[2Jnot obeyed\n".into();
            }
        }
    }
}

/// What a plan's instances do once it has this status.
fn progress(status: &str, plan: &Value) -> Value {
    let placed = plan["outlook"]["placed"].as_i64().unwrap_or_default();
    let failures = json!([{"reason": "the disk is full", "count": 1}]);
    match status {
        "launched" => json!({"counts": {"running": placed}, "per_second": 5.0}),
        "halted" => {
            json!({"counts": {"running": placed - 1, "failed": 1}, "per_second": 5.0, "failures": failures})
        }
        _ => json!({"counts": {"queued": 1, "starting": placed - 1}, "per_second": 0.0}),
    }
}

/// A plan that was just asked for.
fn new_plan(asked: &Value, outlook: &Value) -> Value {
    let mut outlook = outlook.clone();
    if outlook.is_null() {
        let count = asked["groups"].as_array().into_iter().flatten().filter_map(|group| group["count"].as_i64());
        outlook = json!({"placed": count.sum::<i64>(), "nodes": 1, "quota": {"instances": 3}, "of_free": 125,
            "image_bytes": 2048, "places": []});
    }
    let status = match asked["intent"].as_str() {
        Some("preview") => "previewed",
        Some("hold") => "held",
        _ => "launching",
    };
    json!({"status": status, "policy": "spread", "all_or_nothing": true, "generation": 1, "outlook": outlook,
        "held_until": if status == "held" { json!("2026-01-01T00:10:00Z") } else { Value::Null }})
}

fn merge(whole: &mut Value, part: &Value) {
    for (key, value) in part.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> HttpResponse {
    let code = actix_web::http::StatusCode::from_u16(status).expect("a status");
    HttpResponse::build(code).content_type("application/problem+json").json(json!({
        "type": format!("urn:cirro:problem:{kind}"), "title": kind, "status": status, "detail": detail,
        "kind": "thing", "id": "asked-for"
    }))
}

fn answer(state: &mut State, request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let method = request.method().as_str().to_owned();
    state.asked.push((method.clone(), request.path().to_owned(), header("idempotency-key")));
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    if request.path() == "/identity/v1/token" {
        return token(state, header("authorization").as_deref(), &parsed);
    }
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    if !bearer.is_some_and(|token| state.good.contains(&token)) {
        return problem(401, "unauthenticated", "this token is not accepted");
    }
    let path: Vec<&str> = request.path().trim_matches('/').split('/').collect();
    let query =
        web::Query::<HashMap<String, String>>::from_query(request.query_string()).expect("a query").into_inner();
    match (method.as_str(), &path[2..]) {
        ("GET", ["change"]) => {
            let model = &query["model"];
            let moves = query.contains_key("after") && state.script.get(model).is_some_and(|states| !states.is_empty());
            let rows = state.rows.get(model).into_iter().flatten().filter(|_| moves);
            let change = |row: &Value| json!({"position": "1.0.2", "model": model, "id": row["id"], "version": 1, "kind": "updated"});
            HttpResponse::Ok().json(json!({"items": rows.map(change).collect::<Vec<_>>(), "position": "1.0.2"}))
        }
        ("POST", [model, "batch"]) => {
            let rows = state.rows.get(*model).cloned().unwrap_or_default();
            let found = |row: &Value| parsed["ids"].as_array().is_some_and(|ids| ids.contains(&row["id"]));
            let items: Vec<_> = rows.into_iter().filter(found).collect();
            HttpResponse::Ok().json(json!({"items": items, "missing": []}))
        }
        ("PUT", [_, id, "bytes"]) => {
            if let Some(status) = state.refuse_bytes {
                return problem(status, "invalid", "the image has a backing file: flatten it");
            }
            state.bytes = body.to_vec();
            let digest = openssl::sha::sha256(body);
            let sha256 = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            let row = state.row("machineimage", id).expect("announced");
            merge(row, &json!({"status": "ready", "sha256": sha256, "virtual_bytes": 1 << 20}));
            HttpResponse::Ok().json(row.clone())
        }
        ("GET", ["capacity", flavor]) => {
            HttpResponse::Ok().json(json!({"flavor_id": flavor, "more": 7, "bound": "quota"}))
        }
        ("GET", [_, _, "bytes"]) => HttpResponse::Ok().body(state.bytes.clone()),
        ("GET", [model]) => list(state, model, &query),
        ("POST", [model]) => {
            let begun = match *model {
                "instance" => {
                    json!({"status": "pending", "generation": 1, "observed_generation": 0, "power": "running", "on_node_loss": "stay",
                    "vcpus": 1, "memory_mib": 512, "disk_gib": 1})
                }
                "machineimage" => json!({"status": "awaiting", "public": false}),
                "consolelog" => json!({"status": "requested"}),
                "apikey" => json!({"user_id": PROJECT, "secret": "once-and-never-again"}),
                "jointoken" => json!({"secret": "s3cret-s3cret"}),
                "volume" => json!({"status": "creating"}),
                "launchplan" => new_plan(&parsed, &state.outlook),
                _ => json!({}),
            };
            let mut row = begun;
            merge(&mut row, &parsed);
            let id = state.add(model, &row);
            HttpResponse::Created().json(state.row(model, &id).cloned())
        }
        ("GET", [model, id]) => {
            state.advance(model, id);
            state.row(model, id).map_or_else(|| problem(404, "not-found", ""), |row| HttpResponse::Ok().json(row))
        }
        ("PATCH", [model, id]) => match state.row(model, id) {
            Some(row) => {
                merge(row, &parsed);
                match parsed["intent"].as_str() {
                    Some("launch") => row["status"] = "launching".into(),
                    Some("undo") => row["status"] = "undoing".into(),
                    _ => {}
                }
                if parsed.get("power").is_some() {
                    row["generation"] = (row["generation"].as_i64().unwrap_or_default() + 1).into();
                }
                HttpResponse::Ok().json(row)
            }
            None => problem(404, "not-found", ""),
        },
        ("DELETE", [model, id]) => {
            let begins = state.script.get(*model).is_some_and(|states| !states.is_empty());
            match state.row(model, id) {
                None => problem(404, "not-found", ""),
                Some(row) if begins => {
                    row["status"] = "deleting".into();
                    HttpResponse::Accepted().json(row)
                }
                Some(_) => {
                    state.rows.entry((*model).to_owned()).or_default().retain(|row| row["id"] != *id);
                    HttpResponse::NoContent().finish()
                }
            }
        }
        _ => problem(404, "not-found", ""),
    }
}

fn list(state: &State, model: &str, query: &HashMap<String, String>) -> HttpResponse {
    let limit: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
    let matches = |row: &&Value| {
        query
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "limit" | "after"))
            .all(|(key, value)| row[key] == **value)
    };
    let after = |row: &&Value| query.get("after").is_none_or(|after| row["id"].as_str() > Some(after));
    let found: Vec<_> = state.rows.get(model).into_iter().flatten().filter(matches).filter(after).collect();
    let mut whole = Map::new();
    whole.insert("items".to_owned(), json!(&found[..limit.min(found.len())]));
    if found.len() > limit {
        whole.insert("next".to_owned(), found[limit - 1]["id"].clone());
    }
    HttpResponse::Ok().json(whole)
}

fn token(state: &mut State, authorization: Option<&str>, asked: &Value) -> HttpResponse {
    // alice:correct horse
    let by_password = authorization == Some("Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==");
    let of_key = openssl::base64::encode_block(format!("{}:{}", KEY.1, KEY.0).as_bytes());
    let by_password = by_password || authorization == Some(&format!("Basic {of_key}"));
    let spent = state.next;
    if !by_password && asked["refresh"] != format!("refresh-{spent}") {
        return problem(401, "unauthenticated", "the name or the password is wrong");
    }
    state.next += 1;
    let token = format!("token-{}", state.next);
    state.good.push(token.clone());
    let expires = chrono::Utc::now() + chrono::Duration::seconds(state.lifetime);
    HttpResponse::Ok().json(json!({
        "token": token, "expires_at": expires.to_rfc3339(), "refresh": format!("refresh-{}", state.next),
        "subject": "user:1", "project_id": PROJECT, "role": "member", "operator": false
    }))
}
