//! Requests and answers as they are on the wire.

use crate::{
    bus::Bus,
    site::{Site, Way},
};
use cirro_models::{identity::Secret, problem::PROBLEM_JSON};
use cirro_server::testkit::Actor;
use openssl::{
    ssl::{SslConnector, SslMethod},
    x509::{X509, store::X509StoreBuilder},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// The name that callers know the site by.
const NAME: &str = "test";

/// Where requests are sent to, and in whose name.
pub(crate) struct Wire {
    url: String,
    ca: Option<Vec<u8>>,
    token: Secret,
}

impl Wire {
    /// A member's: to the server itself, or through nginx.
    pub(crate) async fn of(site: &Site, way: Way) -> Self {
        let member = site.actors.member();
        match way {
            Way::Bus => Self::through(site.bus().await, &member),
            _ => Self { url: site.server.url.clone(), ca: None, token: member.token },
        }
    }
    pub(crate) fn through(bus: &Bus, by: &Actor) -> Self {
        Self { url: bus.url.clone(), ca: Some(bus.ca.clone()), token: by.token.clone() }
    }
    /// What a page from there calls itself.
    pub(crate) fn origin(&self) -> String {
        let (scheme, _) = self.url.split_once("://").unwrap();
        format!("{scheme}://{NAME}")
    }
}

/// One request.
pub(crate) struct Sent<'w> {
    wire: &'w Wire,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
    /// The problem on one line, checked for what every problem has.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str().unwrap(), self.header("x-request-id").unwrap(), "{self:?}");
        let kind = problem["type"].as_str().unwrap().replace("urn:cirro:problem:", "");
        let field = problem["field"].as_str().map(|field| format!(" [{field}]")).unwrap_or_default();
        format!("{} {kind}{field}: {}", self.status, problem["detail"].as_str().unwrap())
    }
}

fn exchange(url: &str, ca: Option<&[u8]>, text: &[u8]) -> Got {
    let (_, address) = url.rsplit_once('/').unwrap();
    let tcp = TcpStream::connect(address).unwrap();
    match ca {
        None => converse(tcp, text),
        Some(ca) => converse(trusting(ca).connect("127.0.0.1", tcp).unwrap(), text),
    }
}

/// Trusts this authority and no other.
fn trusting(ca: &[u8]) -> SslConnector {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(X509::from_pem(ca).unwrap()).unwrap();
    builder.set_cert_store(store.build());
    builder.build()
}

fn converse(mut stream: impl Read + Write, text: &[u8]) -> Got {
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

impl<'w> Sent<'w> {
    pub(crate) fn new(wire: &'w Wire, method: &str, path: &str) -> Self {
        let headers = vec![("authorization".to_owned(), format!("Bearer {}", wire.token.expose()))];
        Self { wire, method: method.to_owned(), path: path.to_owned(), headers, body: None }
    }
    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    pub(crate) async fn send(self) -> Got {
        let body = self.body.unwrap_or_default();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            body.len()
        );
        self.headers
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .for_each(|(key, value)| text.extend([key.as_str(), ": ", value.as_str(), "\r\n"]));
        text.extend(["\r\n", body.as_str()]);
        let (url, ca) = (self.wire.url.clone(), self.wire.ca.clone());
        tokio::task::spawn_blocking(move || exchange(&url, ca.as_deref(), text.as_bytes())).await.unwrap()
    }
}
