//! Tables for people: a list has a row for each thing, `show` a row for each field.

use crate::{escape, names::Names, nouns::Noun};
use cirro_models::model::FieldInfo;
use comfy_table::{Table, presets::NOTHING};
use serde_json::{Map, Value};

/// A column of a list: its title, and what stands in it.
pub(crate) struct Column<M>(pub(crate) &'static str, pub(crate) fn(&M, &Names) -> String);

/// A table of texts.
pub(crate) fn plain(header: Option<Vec<&str>>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows.map(|row| row.iter().map(|cell| escape::line(cell)).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // nobody copies the blanks at a line's end gladly
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The rows of a list.
pub(crate) fn list<M: Noun>(rows: &[M], names: &Names) -> String {
    let header = M::COLUMNS.iter().map(|column| column.0).collect();
    plain(Some(header), rows.iter().map(|row| M::COLUMNS.iter().map(|column| column.1(row, names)).collect()))
}

/// Words with their meanings.
pub(crate) fn pairs(rows: Vec<(String, String)>) -> String {
    plain(None, rows.into_iter().map(|(word, meaning)| vec![word, meaning]))
}

/// What every row carries beside its own fields, in the order that people ask for it.
const META: &[&str] = &["labels", "created_by", "created_at", "updated_at", "deleted_at", "version"];

/// The fields of one thing: those of its declaration in their order, then whatever else the API said.
pub(crate) fn fields(known: &[FieldInfo], object: &Map<String, Value>, names: &Names) -> String {
    let declared = known.iter().map(|field| field.name).filter(|name| object.contains_key(*name));
    let is_known = |name: &str| known.iter().any(|field| field.name == name) || META.contains(&name) || name == "links";
    let others = object.keys().map(String::as_str).filter(|name| !is_known(name));
    let meta = META.iter().copied().filter(|name| object.contains_key(*name));
    let rows = declared.chain(others).chain(meta).filter_map(|name| {
        let value = shown(name, object.get(name)?, names);
        (!value.is_empty()).then(|| vec![name.to_owned(), value])
    });
    plain(None, rows)
}

/// A value with its unit, which the field's name ends with; an id with the name that it belongs to.
fn shown(field: &str, value: &Value, names: &Names) -> String {
    let unit = match field.rsplit('_').next() {
        Some("mib") => " MiB",
        Some("gib") => " GiB",
        Some("bytes") => " bytes",
        _ => "",
    };
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => format!("{number}{unit}"),
        Value::String(text) if field.ends_with("_id") => names.with_id(text),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let singular = field.trim_end_matches('s');
            items.iter().map(|item| shown(singular, item, names)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}={}", shown(key, value, names)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::{Id, Model, compute::Flavor};
    use serde_json::json;

    fn flavor(name: &str) -> Value {
        json!({
            "id": "01970000-0000-7000-8000-000000000001", "name": name, "vcpus": 1, "memory_mib": 512, "disk_gib": 1,
            "version": 3, "labels": {"env": "prod", "x": "\u{1b}[2J"}, "created_by": "user:1",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "links": {"self": "/compute/v1/flavor/1"}, "newer": [1, 2]
        })
    }

    #[test]
    fn a_list_has_columns_and_no_blanks_at_the_end() {
        let rows: Vec<Flavor> =
            ["small", "larger"].iter().filter_map(|name| serde_json::from_value(flavor(name)).ok()).collect();
        insta::assert_snapshot!(list(&rows, &Names::default()));
    }

    #[test]
    fn show_names_units_and_what_it_does_not_know() {
        let object = flavor("small").as_object().cloned().unwrap_or_default();
        insta::assert_snapshot!(fields(Flavor::FIELDS, &object, &Names::default()));
    }

    #[test]
    fn an_id_is_shown_with_its_name() {
        let id = Id::<Flavor>::new();
        let mut names = Names::default();
        names.learn(id.uuid(), "small");
        assert_eq!(shown("flavor_id", &json!(id), &names), format!("small ({id})"));
        assert_eq!(shown("flavor_ids", &json!([id]), &names), format!("small ({id})"));
    }
}
