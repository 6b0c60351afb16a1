//! Requests as a foreign client would send them: any body, any header; and waiting for conditions.

use crate::testkit::{Actor, Server};
use actix_web::web::Bytes;
use cirro_models::problem::{PROBLEM_JSON, Problem};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What a server told.
#[derive(Debug, Clone)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Told {
    /// A header, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{} answered what is no JSON ({error}): {}", self.status, self.text))
    }
    /// The body of a success.
    pub fn good(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
    /// The problem that this has to be, with this status.
    pub fn problem(&self, status: u16) -> Problem {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), PROBLEM_JSON, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no problem ({error}): {}", self.text))
    }
}

impl Server {
    /// One request; `by` nobody sends no token.
    pub async fn call(&self, by: Option<&Actor>, method: &str, path: &str, body: Option<&Value>) -> Told {
        let token = by.map(|actor| format!("Bearer {}", actor.token.expose()));
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        self.send(method, path, &headers, body.map(Value::to_string).unwrap_or_default()).await
    }
    /// One request, just as it is given.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Told {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("the request can be written");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.expect("the answer ends").to_bytes();
        Told { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }
}

/// How long a condition is waited for before the test fails: far more than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until there is something, and fails with `what` if there is nothing for too long.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
