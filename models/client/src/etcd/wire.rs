//! What the gateway says and hears, word for word.

use super::{Event, Watched};
use cirro_models::{Error, Result};
use openssl::base64::{decode_block, encode_block};
use serde::{Deserialize, Deserializer};

/// A number, written as a string and left out when it is zero.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Range {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(super) id: i64,
}

/// One message of a stream, or why it ended.
#[derive(Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Kept {
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(super) ttl: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Line {
    canceled: bool,
    #[serde(deserialize_with = "number")]
    compact_revision: i64,
    events: Vec<Change>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    kv: KeyValue,
}

/// What a line of a watch says; none if it says nothing of keys.
pub(super) fn watched(line: &[u8]) -> Result<Option<Watched>> {
    let ended = |cause: String| Error::unavailable(format!("the watch of the registry ended ({cause})"));
    let line: Streamed<Line> = serde_json::from_slice(line).map_err(|error| ended(error.to_string()))?;
    let said = line.result.ok_or_else(|| ended(line.error.unwrap_or_default().to_string()))?;
    if said.compact_revision > 0 {
        return Ok(Some(Watched::Compacted));
    }
    if said.canceled {
        return Err(ended("etcd cancelled it".to_owned()));
    }
    let event = |change: Change| {
        let value = if change.kind == "DELETE" { None } else { Some(decoded(&change.kv.value)?) };
        Ok(Event { key: decoded(&change.kv.key)?, value })
    };
    let events = said.events.into_iter().map(event).collect::<Result<Vec<_>>>()?;
    Ok(if events.is_empty() { None } else { Some(Watched::Events(events)) })
}

/// Bytes as base64.
pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    encode_block(bytes.as_ref())
}

/// The bytes of a base64 text.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>> {
    let broken = |_| Error::unavailable("the registry answered with something that is no base64");
    if text.is_empty() { Ok(Vec::new()) } else { decode_block(text).map_err(broken) }
}

/// The first key after all that begin with the prefix: its last byte plus one. Prefixes are ASCII.
pub(super) fn range_end(prefix: &str) -> String {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    encoded(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Option<Watched> {
        watched(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_of_a_watch_are_understood() {
        assert!(said(r#"{"result":{"header":{"revision":"7"},"created":true}}"#).is_none());
        let events =
            r#"{"result":{"events":[{"kv":{"key":"YQ==","value":"Yg=="}},{"type":"DELETE","kv":{"key":"YQ=="}}]}}"#;
        let Some(Watched::Events(events)) = said(events) else { panic!("no events") };
        assert_eq!((&*events[0].key, events[0].value.as_deref()), (&b"a"[..], Some(&b"b"[..])));
        assert!(events[1].value.is_none());
        let compacted = r#"{"result":{"canceled":true,"compact_revision":"9"}}"#;
        assert!(matches!(said(compacted), Some(Watched::Compacted)));
        for end in [r#"{"error":{"message":"lost"}}"#, r#"{"result":{"canceled":true}}"#, "garbage", "{}"] {
            assert!(watched(end.as_bytes()).is_err(), "{end}");
        }
    }

    #[test]
    fn a_keepalive_without_ttl_is_of_a_lease_that_is_gone() {
        let ttl = |text| serde_json::from_str::<Streamed<Kept>>(text).unwrap().result.unwrap().ttl;
        assert_eq!(ttl(r#"{"result":{"ID":"5","TTL":"3"}}"#), 3);
        assert_eq!(ttl(r#"{"result":{"ID":"5"}}"#), 0);
    }
}
