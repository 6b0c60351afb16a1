//! What every row carries beside its own fields.

use crate::{error::Error, units::Generation};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type};

/// A moment in UTC with microseconds, the finest step that both databases keep; RFC 3339 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// The present moment.
    pub fn now() -> Self {
        Self::from_micros(Utc::now().timestamp_micros())
    }
    /// The moment this many microseconds after 1970; one beyond what a calendar holds becomes 1970.
    pub fn from_micros(micros: i64) -> Self {
        Self(DateTime::from_timestamp_micros(micros).unwrap_or_default())
    }
    /// Microseconds after 1970.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }
    /// This many seconds later (earlier, if negative).
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_micros(self.micros().saturating_add(seconds.saturating_mul(1_000_000)))
    }
}
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }
}
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time: DateTime<Utc> = String::deserialize(deserializer)?
            .parse()
            .map_err(|_| de::Error::custom("this is no time: give one as in RFC 3339, such as 2026-01-31T12:00:00Z"))?;
        // RFC 3339 has four digits for the year; a database has little more
        if !(1..=9999).contains(&time.year()) {
            return Err(de::Error::custom("the time is out of range: give a year from 0001 to 9999"));
        }
        Ok(Self::from_micros(time.timestamp_micros()))
    }
}
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}
impl ToSchema for Timestamp {}

/// Free words on a thing, for people and scripts to find it by: `env = prod`.
pub type Labels = BTreeMap<String, String>;

/// The most labels on one thing.
pub const MAX_LABELS: usize = 32;

/// Refuses labels that are too many, too long or unprintable.
pub fn check_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a str)>) -> Result<(), Error> {
    let mut count = 0;
    for (key, value) in labels {
        count += 1;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if key.is_empty() || key.len() > 63 || !key.chars().all(plain) {
            let shown: String = key.chars().take(70).collect();
            return Err(Error::invalid(
                "labels",
                format!("the label key {shown:?} is not usable: use 1 to 63 letters, digits, '-', '_', '.' or '/'"),
            ));
        }
        if value.len() > 255 || value.chars().any(char::is_control) {
            return Err(Error::invalid(
                "labels",
                format!("the value of label {key:?} is not usable: use at most 255 bytes and no control characters"),
            ));
        }
    }
    if count > MAX_LABELS {
        return Err(Error::invalid("labels", format!("{count} labels are too many: use at most {MAX_LABELS}")));
    }
    Ok(())
}

/// Refuses a filter that names no label which a thing can have.
pub fn check_label_filter(filter: &str) -> Result<(), Error> {
    let refuse = |detail: String| Error::invalid("label", detail);
    let (key, value) = filter.split_once('=').ok_or_else(|| refuse("give it as key=value".to_owned()))?;
    check_labels([(&key.to_owned(), value)]).map_err(|error| match error {
        Error::Invalid { detail, .. } => refuse(detail),
        other => other,
    })
}

/// What every row carries beside its own fields; flattened on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// Grows on every visible write; it is the `ETag`.
    pub version: Generation,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Labels,
    /// Who created it, such as `user:0197…`.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last visibly changed.
    pub updated_at: Timestamp,
    /// Set while it is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl Meta {
    /// The meta of a row that is created now, by this subject.
    pub fn created(by: impl fmt::Display) -> Self {
        let now = Timestamp::now();
        Self {
            version: Generation::new(1),
            labels: Labels::new(),
            created_by: by.to_string(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
    /// The same with these labels.
    #[must_use]
    pub fn labelled(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }
    /// Marks one more visible write.
    pub fn touch(&mut self) {
        self.version = self.version.next();
        self.updated_at = Timestamp::now();
    }
}

/// A patch of labels: each given key is set, or removed by `null` (RFC 7396).
pub type PartialMeta = BTreeMap<String, Option<String>>;

/// Applies a patch of labels; says whether that changed anything.
pub fn patch_labels(labels: &mut Labels, patch: &PartialMeta) -> bool {
    let before = labels.clone();
    for (key, value) in patch {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    *labels != before
}
