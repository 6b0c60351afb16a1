//! The tables that every service's database has.
#![allow(missing_docs, unreachable_pub)]

diesel::table! {
    use cirro_models::sql::types::Text;
    site (key) { key -> Text, value -> Text, }
}
diesel::table! {
    use cirro_models::sql::types::{BigInt, Text, Guid, Nullable};
    change (seq) {
        seq -> BigInt, xid -> BigInt, model -> Text, id -> Guid, version -> BigInt, project_id -> Nullable<Guid>,
        kind -> Text, at -> BigInt,
    }
}
diesel::table! {
    use cirro_models::sql::types::{Guid, BigInt, Text, Nullable, Binary};
    request (id) {
        id -> Guid, at -> BigInt, principal -> Text, project_id -> Nullable<Guid>, operation -> Text, model -> Text,
        subject_id -> Nullable<Guid>, request_id -> Text, key_hash -> Nullable<Binary>, body_hash -> Binary,
        status -> BigInt, answer -> Nullable<Text>,
    }
}
diesel::table! {
    use cirro_models::sql::types::{Guid, Text, BigInt, Nullable};
    job (id) {
        id -> Guid, kind -> Text, payload -> Text, project_id -> Nullable<Guid>, request_id -> Text, state -> Text,
        attempts -> BigInt, due -> BigInt, lease -> Nullable<Guid>, error -> Nullable<Text>, enqueued_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}
diesel::table! {
    use cirro_models::sql::types::{Guid, Text, BigInt};
    quota_usage (project_id, resource) { project_id -> Guid, resource -> Text, used -> BigInt, }
}
