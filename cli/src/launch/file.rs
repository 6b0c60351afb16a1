//! The launch file: a plan as people write it, with names instead of ids. The options of `cirro launch` make the same.

use crate::{failure::Failure, quantity};
use cirro_models::{
    Count, Name,
    compute::{
        instance::{NodeLoss, UserData},
        launch_group::Relationship,
        placement::PlacementPolicy,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// The most bytes of a file: user-data, and some lines for each of the groups.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// A launch plan: groups of equal instances, and how they stand to each other.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LaunchFile {
    /// What the plan is called; the first group's name if absent.
    pub(super) name: Option<Name>,
    /// What is launched.
    #[schema(min_items = 1, max_items = 100)]
    pub(super) groups: Vec<FileGroup>,
    /// How the groups' instances stand to each other.
    #[serde(default)]
    pub(super) relationships: Vec<Relationship>,
    /// Which of the nodes that have room is taken.
    pub(super) policy: Option<PlacementPolicy>,
    /// Whether nothing is launched unless all can be (the default); if not, as many as can be.
    pub(super) all_or_nothing: Option<bool>,
    /// No more are begun once this many have failed.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub(super) max_failures: Option<Count>,
    /// How many may be on their way at a time.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub(super) max_in_flight: Option<Count>,
    /// After how long its instances are removed again, such as 2h.
    #[schema(pattern = "^[0-9]+[smhdw]$")]
    pub(super) expires_in: Option<String>,
    /// What each guest's first boot runs or reads (cloud-init's user-data).
    pub(super) user_data: Option<UserData>,
    /// Labels of the plan.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// Equal instances, named `web-0001`, `web-0002` and so on.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGroup {
    /// What their names begin with; relationships call the group by it.
    pub(super) name: Name,
    /// How many.
    #[schema(value_type = i64, minimum = 1, maximum = 100_000)]
    pub(super) count: Count,
    /// Their size, by name or id.
    pub(super) flavor: String,
    /// What their root disks are made from, by name or id.
    pub(super) image: String,
    /// The keys that their first boot authorises, by name or id.
    #[serde(default)]
    pub(super) ssh_keys: Vec<String>,
    /// What becomes of each when its node is lost: it stays (the default), or is recreated elsewhere without what its disk held.
    pub(super) on_node_loss: Option<NodeLoss>,
    /// Labels of each of them.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

impl LaunchFile {
    /// Reads YAML, of which JSON is a part.
    ///
    /// # Errors
    /// What is wrong in which line.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Self, Failure> {
        // a piece of the file in a message could show user-data, which may hold secrets
        let options = serde_saphyr::options! { with_snippet: false };
        let read: Self = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            Failure::usage(format!(
                "{} is no launch file ({error}): `cirro launch --schema` prints what one may hold",
                file.display()
            ))
        })?;
        if let Some(text) = &read.expires_in {
            quantity::duration(text).map_err(|why| Failure::usage(format!("{}: expires_in: {why}", file.display())))?;
        }
        Ok(read)
    }
    /// What the plan is called.
    pub(super) fn plan_name(&self) -> Option<Name> {
        self.name.clone().or_else(|| self.groups.first().map(|group| group.name.clone()))
    }
    /// Its JSON schema, as `cirro launch --schema` prints it.
    ///
    /// # Errors
    /// None that a person can cause.
    pub(super) fn json_schema() -> Result<Value, Failure> {
        let mut parts = Vec::new();
        Self::schemas(&mut parts);
        let mut whole = as_json(&Self::schema())?;
        let parts = parts.iter().map(|(name, part)| Ok((name.clone(), as_json(part)?)));
        whole["$defs"] = Value::Object(parts.collect::<Result<Map<_, _>, Failure>>()?);
        whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        whole["title"] = "A launch file of `cirro launch -f`".into();
        Ok(whole)
    }
}

/// A part of an OpenAPI document as one of a JSON schema, which keeps what is shared elsewhere.
fn as_json(part: &RefOr<Schema>) -> Result<Value, Failure> {
    let text = serde_json::to_string(part).map_err(cirro_models::Error::internal)?;
    let text = text.replace("#/components/schemas/", "#/$defs/");
    Ok(serde_json::from_str(&text).map_err(cirro_models::Error::internal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Where the published schema and the examples are.
    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");

    fn parse(text: &str) -> Result<LaunchFile, String> {
        LaunchFile::parse(text, Path::new("plan.yaml")).map_err(|failure| failure.sentence())
    }
    fn schema() -> jsonschema::Validator {
        let schema = LaunchFile::json_schema().unwrap_or_else(|failure| panic!("{failure:?}"));
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}"))
    }
    fn read(name: &str) -> String {
        fs::read_to_string(format!("{EXAMPLES}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[test]
    fn the_published_schema_is_the_one_that_is_printed() {
        let printed = LaunchFile::json_schema().unwrap_or_else(|failure| panic!("{failure:?}"));
        let printed = serde_json::to_string_pretty(&printed).unwrap_or_default() + "\n";
        if std::env::var_os("CIRRO_UPDATE_SNAPSHOTS").is_some() {
            fs::write(format!("{EXAMPLES}/launch.schema.json"), &printed).unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(printed == read("launch.schema.json"), "write it anew with CIRRO_UPDATE_SNAPSHOTS=1");
    }

    #[test]
    fn the_examples_are_read_and_meet_the_schema() {
        let files = fs::read_dir(EXAMPLES).unwrap_or_else(|error| panic!("{error}"));
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let names: Vec<_> =
            names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "yaml")).collect();
        assert!(names.len() >= 2, "{names:?}");
        for name in names {
            let text = read(&name);
            let file = parse(&text).unwrap_or_else(|sentence| panic!("{name}: {sentence}"));
            assert!(!file.groups.is_empty(), "{name}");
            let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let wrong: Vec<_> = schema().iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
        }
    }

    #[test]
    fn what_a_file_may_not_hold_is_refused_by_name_and_line_and_by_the_schema() {
        let group = "groups:\n  - name: web\n    count: 3\n    flavor: small\n    image: demo\n";
        let cases = [
            (format!("{group}dry_rnu: true\n"), "dry_rnu", "line 6"),
            (format!("{group}    cuont: 3\n"), "cuont", "line 6"),
            (group.replace("count: 3", "count: many"), "invalid", "line 3"),
            (group.replace("    image: demo\n", ""), "image", "line 4"),
            (group.replace("name: web", "name: -web"), "-web", "line 2"),
            ("name: x\n".to_owned(), "groups", "line 1"),
        ];
        for (text, word, line) in cases {
            let said = parse(&text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(said.contains(word) && said.contains(line) && said.contains("plan.yaml"), "{text}: {said}");
            let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
            assert!(!schema().is_valid(&value), "{text} meets the schema");
        }
        let said = parse(&format!("{group}expires_in: soon\n")).err().unwrap_or_default();
        assert!(said.contains("expires_in") && said.contains("soon"), "{said}");
    }

    #[test]
    fn json_is_yaml_and_a_refusal_shows_no_user_data() {
        let json = "{\n\t\"groups\": [{\"name\": \"web\", \"count\": 3, \"flavor\": \"s\", \"image\": \"i\"}]\n}";
        let file = parse(json).unwrap_or_else(|sentence| panic!("{sentence}"));
        assert_eq!(file.plan_name().map(|name| name.to_string()).as_deref(), Some("web"));
        let file = parse(&format!("{{user_data: hunter2, {}", &json[1..]));
        let shown = format!("{file:?}");
        assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
        let said = parse("user_data: hunter2\ngruops: []\n").err().unwrap_or_default();
        assert!(said.contains("gruops") && !said.contains("hunter2"), "{said}");
    }
}
