//! Requests: what is absent, `null` or given; what is unknown; and that secrets are shown by no `Debug`.

use cirro_models::{
    Id, Meta, Model, Name,
    compute::{
        instance::{Instance, InstancePatch, NewInstance, Power, UserData},
        node::NodePatch,
    },
    identity::{Secret, project::ProjectPatch},
    model::Seed,
    patch::Check,
};
use serde_json::{Value, json};

fn instance() -> Instance {
    let new: NewInstance = serde_json::from_value(json!({
        "name": "web1", "flavor_id": uuid::Uuid::from_u128(1), "image_id": uuid::Uuid::from_u128(2), "user_data": "secret stuff"
    }))
    .unwrap();
    assert!(!format!("{new:?}").contains("secret stuff"));
    let (id, project) = (uuid::Uuid::from_u128(3), Some(Id::from_uuid(uuid::Uuid::from_u128(4))));
    Instance::build(new, Seed { id, project, user: None, meta: Meta::created("test") }).unwrap()
}

#[test]
fn absent_keeps_null_clears_and_a_value_sets() {
    let patch = |json: Value| serde_json::from_value::<InstancePatch>(json);
    let mut row = instance();
    assert!(!row.apply(patch(json!({})).unwrap()).changed);
    assert_eq!(row.power, Power::Running, "the default of what was not given");

    let applied = row.apply(patch(json!({ "force_stop": true })).unwrap());
    assert_eq!((applied.changed, applied.desire, row.force_stop), (true, false, Some(true)));
    assert!(!row.apply(patch(json!({})).unwrap()).changed);
    assert_eq!(row.force_stop, Some(true));
    assert!(row.apply(patch(json!({ "force_stop": null })).unwrap()).changed);
    assert_eq!(row.force_stop, None);

    let before = (row.generation, row.meta.version);
    assert!(row.apply(patch(json!({ "power": "stopped" })).unwrap()).desire);
    assert_eq!((row.generation, row.meta.version), (before.0.next(), before.1.next()));
    for refused in [json!({ "name": null }), json!({ "power": null }), json!({ "labels": null }), json!({ "power": 1 })]
    {
        patch(refused).unwrap_err();
    }
}

#[test]
fn what_a_caller_may_not_write_is_unknown_to_the_request() {
    for field in ["status", "node_id", "generation", "project_id", "id", "version", "vcpus", "dry_rnu"] {
        let why = serde_json::from_value::<InstancePatch>(json!({ field: null })).unwrap_err().to_string();
        assert!(why.contains(field), "{why}");
    }
    serde_json::from_value::<NodePatch>(json!({ "mode": "drain" })).unwrap();
    serde_json::from_value::<ProjectPatch>(json!({ "description": null })).unwrap();
}

#[test]
fn a_reader_of_answers_ignores_what_is_new() {
    let row = instance();
    let mut answer = serde_json::to_value(&row).unwrap();
    answer["links"] = json!({});
    answer["of_a_later_release"] = json!([1, 2]);
    assert_eq!(serde_json::from_value::<Instance>(answer).unwrap(), row);
}

#[test]
fn secrets_are_shown_by_no_debug_and_are_long_enough() {
    assert_eq!(format!("{:?}", Secret::new("hunter2hunter2")), "Secret(…)");
    assert_eq!(format!("{:?}", UserData::new("hunter2")), "UserData(7 bytes)");
    Secret::new("12345678").check().unwrap();
    for bad in ["1234567", &"x".repeat(1025)] {
        Secret::new(bad).check().unwrap_err();
    }
    assert_eq!(Name::parse("web1").unwrap(), instance().name);
}

#[test]
fn a_row_of_an_owner_that_does_not_know_a_field_has_its_default() {
    let Value::Object(mut known) = serde_json::to_value(instance()).unwrap() else { panic!("an object") };
    assert_eq!(known.remove("protected"), Some(false.into()));
    let read: Instance = serde_json::from_value(known.clone().into()).unwrap();
    assert!(!read.protected);
    known.remove("name");
    serde_json::from_value::<Instance>(known.into()).unwrap_err();
}
