//! The OpenAPI document as tests see it: whether it is one, what it lists, and values that fit its schemas.

use crate::{owner::Running, testkit::Server};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, fs, path::Path};

/// The document of a service.
pub fn document(running: &Running) -> Value {
    serde_json::to_value(crate::http::document(&running.owner)).expect("the document is JSON")
}

/// Fails unless the document is what is committed in `file`; with `CIRRO_UPDATE_SNAPSHOTS=1` it is written there.
fn assert_document(file: impl AsRef<Path>, document: &Value) {
    let (file, text) = (file.as_ref(), format!("{document:#}\n"));
    if std::env::var_os("CIRRO_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        fs::write(file, text).expect("the snapshot can't be written");
        return;
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).position(|(kept, new)| kept != new);
    let line = differs.unwrap_or_else(|| kept.lines().count().min(text.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").trim().to_owned();
    assert!(
        kept == text,
        "the API differs from {} in line {}: committed is `{}`, the code says `{}`. If callers survive that, run the \
         test again with CIRRO_UPDATE_SNAPSHOTS=1 and commit the file",
        file.display(),
        line + 1,
        at(&kept),
        at(&text)
    );
}

/// Fails unless the service's document is a sound one, is what its crate has committed in `tests/openapi.json`, and is what
/// it serves. `crate_root` is its `CARGO_MANIFEST_DIR`.
pub async fn check_document(running: &Running, server: &Server, crate_root: &str) {
    let document = document(running);
    assert_eq!(document_faults(&document), Vec::<String>::new());
    assert_document(Path::new(crate_root).join("tests/openapi.json"), &document);
    let path = format!("/{}/v1/openapi.json", running.service().name());
    assert_eq!(server.send("GET", &path, &[], "").await.good(), document);
}

/// An operation of a document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `GET`.
    pub method: String,
    /// With its `{parameters}`.
    pub path: String,
    /// Its name.
    pub id: String,
    /// The operation as the document has it.
    pub value: Value,
}

/// Every operation of a document.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, value) in item.as_object().into_iter().flatten().filter(|(key, _)| METHODS.contains(&key.as_str()))
        {
            let id = value["operationId"].as_str().unwrap_or_default().to_owned();
            all.push(Operation { method: method.to_uppercase(), path: path.clone(), id, value: value.clone() });
        }
    }
    all
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Operation {
    /// The path with every parameter replaced.
    pub fn path_with(&self, value: &str) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { value } else { part });
        parts.collect::<Vec<_>>().join("/")
    }
    /// The smallest body that fits the schema; empty if it takes none, or one that is no JSON.
    pub fn body(&self, document: &Value) -> String {
        match &self.value["requestBody"]["content"]["application/json"]["schema"] {
            Value::Null => String::new(),
            schema => sample(document, schema).to_string(),
        }
    }
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let target = schema["$ref"].as_str().and_then(|name| document.pointer(name.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// The smallest value that fits a schema: what is required, and no more.
pub fn sample(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(all) = schema["allOf"].as_array() {
        let parts = all.iter().filter_map(|part| sample(document, part).as_object().cloned());
        return Value::Object(parts.flatten().collect());
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(first) = schema[choice].as_array().into_iter().flatten().find(|part| part["type"] != "null") {
            return sample(document, first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str()).unwrap_or("object");
    match (kind, schema["format"].as_str()) {
        ("string", Some("uuid")) => json!("01900000-0000-7000-8000-0000000000ff"),
        ("string", Some("date-time")) => json!("2100-01-01T00:00:00.000000Z"),
        ("string", _) => {
            json!("x".repeat(usize::try_from(schema["minLength"].as_u64().unwrap_or(1)).unwrap_or(1).max(1)))
        }
        ("integer" | "number", _) => json!(schema["minimum"].as_i64().unwrap_or(0)),
        ("boolean", _) => json!(false),
        ("array", _) => json!([]),
        ("null", _) => Value::Null,
        _ => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let given = required.map(|name| (name.to_owned(), sample(document, &schema["properties"][name])));
            Value::Object(given.collect::<Map<_, _>>())
        }
    }
}

/// What makes a document no OpenAPI 3.1 that a generator of clients takes, a sentence each.
/// <https://spec.openapis.org/oas/v3.1.0>
pub fn document_faults(document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")) {
        faults.push(format!("it says that it is OpenAPI {}", document["openapi"]));
    }
    walk(document, document, "#", &mut faults);
    let mut seen = BTreeSet::new();
    for operation in operations(document) {
        let name = format!("{} {}", operation.method, operation.path);
        if operation.id.is_empty() || !seen.insert(operation.id.clone()) {
            faults.push(format!("{name}: the operationId {:?} is missing or not the only one", operation.id));
        }
        about_operation(document, &name, &operation, &mut faults);
    }
    faults
}

fn about_operation(document: &Value, name: &str, operation: &Operation, faults: &mut Vec<String>) {
    let responses = operation.value["responses"].as_object().cloned().unwrap_or_default();
    if !responses.keys().any(|status| status.starts_with('2') || status == "101") {
        faults.push(format!("{name}: no success is documented"));
    }
    for (status, response) in &responses {
        if status.parse::<u16>().is_err() {
            faults.push(format!("{name}: {status} is no status"));
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("{name}: the answer {status} has no description"));
        }
        let problem =
            response["content"].as_object().is_some_and(|content| content.contains_key("application/problem+json"));
        if (status.starts_with('4') || status.starts_with('5')) && !problem {
            faults.push(format!("{name}: the answer {status} is no problem"));
        }
    }
    let takes_body = ["POST", "PUT", "PATCH"].contains(&operation.method.as_str());
    if operation.value["requestBody"].is_null() == takes_body {
        faults.push(format!("{name}: a request body is {}", if takes_body { "missing" } else { "too much" }));
    }
    let of_path = &document["paths"][&operation.path]["parameters"];
    let parameters = [&operation.value["parameters"], of_path].into_iter().filter_map(Value::as_array).flatten();
    let (mut named, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for parameter in parameters {
        let (place, key) =
            (parameter["in"].as_str().unwrap_or_default(), parameter["name"].as_str().unwrap_or_default());
        if !twice.insert((place, key)) || parameter["schema"].is_null() {
            faults.push(format!("{name}: the parameter {key} is there twice, or without a schema"));
        }
        if place == "path" {
            named.insert(key);
            if parameter["required"] != true {
                faults.push(format!("{name}: the parameter {key} of the path is not required"));
            }
        }
    }
    let inside = |part: &'_ str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).map(ToOwned::to_owned);
    let in_path: BTreeSet<String> = operation.path.split('/').filter_map(inside).collect();
    if !in_path.iter().map(String::as_str).eq(named.iter().copied()) {
        faults.push(format!("{name}: the path's parameters are {in_path:?}, and {named:?} are described"));
    }
}

/// What holds everywhere: references lead somewhere, what is required exists, and nothing of OpenAPI 3.0 is left.
fn walk(document: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| walk(document, item, &format!("{at}/{n}"), faults));
        }
        Value::Object(map) => {
            if let Some(target) = map.get("$ref").and_then(Value::as_str)
                && target.strip_prefix('#').and_then(|pointer| document.pointer(pointer)).is_none()
            {
                faults.push(format!("{at}: {target} leads nowhere"));
            }
            if map.contains_key("nullable") && !at.ends_with("/properties") {
                faults.push(format!("{at}: `nullable` is a word of OpenAPI 3.0"));
            }
            if let (Some(required), Some(properties)) =
                (map.get("required").and_then(Value::as_array), map.get("properties"))
            {
                for name in required.iter().filter_map(Value::as_str).filter(|name| properties.get(name).is_none()) {
                    faults.push(format!("{at}: {name} is required, but is no property"));
                }
            }
            map.iter().for_each(|(key, item)| walk(document, item, &format!("{at}/{key}"), faults));
        }
        _ => {}
    }
}
