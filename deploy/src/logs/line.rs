//! One line of a log: when it was written, and what it says.

use cirro_models::Timestamp;
use serde_json::{Map, Value};
use std::fmt::Write;

/// A line of some process's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When it was written; of a line without a time, when the one before it was.
    pub at: Timestamp,
    /// Whose log it is in: `compute-1`.
    pub source: String,
    /// `INFO`, or nothing if it does not say.
    pub level: String,
    /// What it says.
    pub message: String,
    /// The request that it belongs to.
    pub request_id: Option<String>,
    /// Everything else that it holds.
    pub fields: Map<String, Value>,
}

impl Line {
    /// Reads a line: JSON as Cirro's processes and the bus write it, or whatever a program says before it ends.
    /// `before` is the time of the line before it.
    pub(super) fn read(source: &str, text: &str, before: Timestamp) -> Self {
        let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(text) else {
            let (source, message) = (source.to_owned(), text.to_owned());
            let (level, fields) = (level_of(text).to_owned(), Map::new());
            return Self { at: moment_of(text).unwrap_or(before), source, level, message, request_id: None, fields };
        };
        let at = fields.remove("timestamp").and_then(|at| moment(&at)).unwrap_or(before);
        let mut word = |name: &str| match fields.remove(name) {
            Some(Value::String(word)) => word,
            _ => String::new(),
        };
        let (level, message) = (word("level"), word("message"));
        let request_id = own_id(&fields).or_else(|| id_of_span(&fields));
        Self { at, source: source.to_owned(), level, message, request_id, fields }
    }
    /// The line as JSON, with the same names whoever wrote it.
    pub fn json(&self) -> Value {
        let mut fields = self.fields.clone();
        fields.insert("timestamp".to_owned(), self.at.to_string().into());
        fields.insert("source".to_owned(), self.source.clone().into());
        fields.insert("level".to_owned(), self.level.clone().into());
        fields.insert("message".to_owned(), self.message.clone().into());
        if let Some(id) = &self.request_id {
            fields.insert("request_id".to_owned(), id.clone().into());
        }
        Value::Object(fields)
    }
    /// The line for people: time, source, level, what it says, and its other fields. Nothing is escaped yet.
    pub fn text(&self) -> String {
        let mut text = format!("{} {:<12} {:<5} {}", self.at, self.source, self.level, self.message);
        for (name, value) in
            self.fields.iter().filter(|(name, _)| !["spans", "span", "target"].contains(&name.as_str()))
        {
            let _ = match value {
                Value::String(word) => write!(text, " {name}={word}"),
                Value::Null => Ok(()),
                other => write!(text, " {name}={other}"),
            };
        }
        if let Some(id) = self.request_id.as_ref().filter(|_| !self.fields.contains_key("request_id")) {
            let _ = write!(text, " request_id={id}");
        }
        text
    }
}

fn own_id(fields: &Map<String, Value>) -> Option<String> {
    fields.get("request_id")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

/// What a process logs while it answers a request stands in the request's span.
fn id_of_span(fields: &Map<String, Value>) -> Option<String> {
    fields.get("spans")?.as_array()?.iter().rev().find_map(|span| own_id(span.as_object()?))
}

/// RFC 3339, as Cirro's processes write it, or seconds since 1970, as nginx does.
fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_f64() {
        // nginx tells milliseconds
        #[allow(clippy::cast_possible_truncation, reason = "a time of the present fits by far")]
        return Some(Timestamp::from_micros((seconds * 1000.0).round() as i64 * 1000));
    }
    serde_json::from_value(value.clone()).ok()
}

/// The time of a line of nginx's error log, which is in the machine's own time: `2026/11/22 12:00:00 [warn] …`.
fn moment_of(text: &str) -> Option<Timestamp> {
    let naive = chrono::NaiveDateTime::parse_from_str(text.get(..19)?, "%Y/%m/%d %H:%M:%S").ok()?;
    let local = naive.and_local_timezone(chrono::Local).earliest()?;
    Some(Timestamp::from_micros(local.timestamp_micros()))
}

fn level_of(text: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["[emerg]", "[alert]", "[crit]", "[error]", "panicked at", "FATAL"]) {
        "ERROR"
    } else if says(&["[warn]"]) {
        "WARN"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Timestamp = Timestamp::EPOCH;

    fn read(text: &str) -> Line {
        Line::read("x", text, BEFORE)
    }

    #[test]
    fn a_request_is_found_in_the_line_or_in_its_span() {
        let own = read(r#"{"timestamp":"2026-11-22T12:00:00.5Z","level":"INFO","message":"m","request_id":"r1"}"#);
        assert_eq!((own.at.to_string().as_str(), own.level.as_str()), ("2026-11-22T12:00:00.500000Z", "INFO"));
        assert_eq!((own.message.as_str(), own.request_id.as_deref()), ("m", Some("r1")));
        let span =
            read(r#"{"level":"WARN","message":"m","spans":[{"name":"request","request_id":"r2"},{"name":"in"}]}"#);
        assert_eq!((span.at, span.request_id.as_deref()), (BEFORE, Some("r2")));
        assert_eq!(read(r#"{"message":"m","request_id":""}"#).request_id, None);
    }

    #[test]
    fn the_bus_tells_time_in_seconds() {
        let line = read(r#"{"timestamp":1795348800.123,"level":"INFO","message":"GET /x","status":200}"#);
        assert_eq!(line.at.micros(), 1_795_348_800_123_000);
        assert!(line.text().ends_with("GET /x status=200"), "{}", line.text());
    }

    #[test]
    fn what_is_no_json_is_kept_as_it_is() {
        let line = read("thread 'main' panicked at x.rs:1");
        assert_eq!((line.at, line.level.as_str()), (BEFORE, "ERROR"));
        let nginx = read("2026/11/22 12:00:00 [warn] 1#1: something");
        assert_eq!(nginx.level, "WARN");
        assert_ne!(nginx.at, BEFORE);
    }
}
