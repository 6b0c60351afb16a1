//! The schema check finds what differs, and finds nothing where nothing does.

use crate::{
    models::{Boat, Voyage, identity},
    site::on_both,
};
use cirro_models::{Service, sql::AnyConnection};
use cirro_server::{
    Owner, Plain,
    testkit::{Backend, schema_differences},
};
use diesel::connection::SimpleConnection;

#[tokio::test(flavor = "multi_thread")]
async fn migrated_tables_are_what_the_models_say() {
    on_both(|site| async move {
        assert_eq!(schema_differences(&site.compute).await.unwrap(), Vec::<String>::new());
        assert_eq!(schema_differences(&site.identity).await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_drift_is_named() {
    let drift = "ALTER TABLE boat ADD COLUMN extra TEXT NOT NULL DEFAULT ''; ALTER TABLE boat DROP COLUMN note; DROP INDEX boat_status; \
        ALTER TABLE boat DROP COLUMN status; ALTER TABLE boat ADD COLUMN status BIGINT; DROP INDEX boat_unique; \
        DROP INDEX boat_harbour_id; DROP INDEX boat_colour; CREATE INDEX boat_colour ON boat (colour) WHERE deleted_at IS NULL; \
        DROP TABLE chart";
    let mut found = Vec::new();
    for backend in Backend::BOTH {
        let site = crate::site::Site::open(backend).await;
        let change = move |c: &mut AnyConnection| {
            c.batch_execute(drift).unwrap();
            Ok(())
        };
        site.compute.database().read(change).await.unwrap();
        found.push(schema_differences(&site.compute).await.unwrap().join("\n").replace('"', ""));
    }
    insta::assert_snapshot!(found[0]);
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_table_is_named() {
    let scratch = Backend::Sqlite.open(identity()).await.unwrap();
    let owner = Owner::new(Service::Compute, scratch.database.clone()).owns::<Boat>(Plain).owns::<Voyage>(Plain);
    let running = Owner::mount_together(vec![owner]).remove(0);
    assert_eq!(schema_differences(&running).await.unwrap(), ["there is no table boat: write its migration"]);
}
