//! Traces, as a collector gets them. It is a fake that keeps what it is sent.

use crate::{
    kit::Several,
    process::{LIMIT, until},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                        break;
                    }
                    let lower = line.to_ascii_lowercase();
                    length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
                    head += &line;
                }
                let mut body = vec![0; length];
                // who went away has sent nothing
                if reader.read_exact(&mut body).is_ok() && head.starts_with("POST /v1/traces ") {
                    kept.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                }
                let _ =
                    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
            }
        });
        Self { url, bodies }
    }
    /// Every span that came so far, with the name of the process that sent it.
    fn spans(&self) -> Vec<(String, Value)> {
        let bodies = self.bodies.lock().unwrap().clone();
        let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
        let of_resource = |resource: Value| {
            let attributes = list(&resource["resource"], "attributes");
            let name = attributes.iter().find(|attribute| attribute["key"] == "service.name");
            let name = name.map_or("", |name| name["value"]["stringValue"].as_str().unwrap()).to_owned();
            let scopes = list(&resource, "scopeSpans").into_iter();
            scopes
                .flat_map(move |scope| list(&scope, "spans"))
                .map(move |span| (name.clone(), span))
                .collect::<Vec<_>>()
        };
        bodies.iter().flat_map(|body| list(body, "resourceSpans")).flat_map(of_resource).collect()
    }
}

#[test]
fn a_request_is_one_trace_over_every_service_that_took_part() {
    let collector = Collector::start();
    let site =
        Several::with("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "200")]);
    site.asking(
        "traced",
        &["flavor", "create", "--name", "f1", "--vcpus", "1", "--memory", "512MiB", "--disk", "1GiB"],
    )
    .text();
    let trace = {
        let story = site.story("traced", |lines| lines.iter().any(|line| line["path"] == "/compute/v1/flavor"));
        let line = story.iter().find(|line| line["path"] == "/compute/v1/flavor").unwrap().clone();
        line["trace_id"].as_str().unwrap().to_owned()
    };
    let (process, span) = until(LIMIT, "the collector has it", || {
        collector.spans().into_iter().find(|(_, span)| span["traceId"] == trace.as_str())
    });
    assert_eq!((process.as_str(), &span["name"]), ("cirro-compute", &"POST /compute/v1/flavor".into()));
    assert_eq!(span["parentSpanId"].as_str().unwrap().len(), 16, "{span}");
    assert!(span["attributes"].to_string().contains("traced"), "{span}");
    let number = |field: &str| span[field].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number("startTimeUnixNano") < number("endTimeUnixNano"), "{span}");

    // a call from one service to another: the one's client span is the parent of the other's
    let pair = until(LIMIT, "a call between services is there from both sides", || {
        let spans = collector.spans();
        let served = spans.iter().find(|(process, span)| {
            process == "cirro-identity"
                && spans.iter().any(|(of, caller)| of != process && caller["spanId"] == span["parentSpanId"])
        });
        served.cloned()
    });
    assert!(pair.1["name"].as_str().unwrap().contains("/identity/v1/"), "{pair:?}");
}
