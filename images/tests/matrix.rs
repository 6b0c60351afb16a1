//! Who may do what with images: measured, and committed to be read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_models::images::MachineImage;
use cirro_server::testkit::{Backend, Matrix};
use serde_json::json;
use site::{Site, build};

#[tokio::test]
async fn who_may_do_what() {
    let site = Site::new(Backend::Sqlite).await;
    let row = |n: u32, public: bool| MachineImage {
        project_id: site.actors.project,
        ..build(json!({"name": format!("n{n}"), "public": public}))
    };
    let new = |n: u32| json!({"name": format!("n{n}")});
    let mut matrix = Matrix::new(&site.server, &site.images, &site.actors);
    matrix.model::<MachineImage>("machineimage", |n, _| row(n, false), new).await;
    let public = |n: u32| json!({"name": format!("n{n}"), "public": true});
    matrix.model::<MachineImage>("machineimage, public", |n, _| row(n, true), public).await;
    insta::assert_snapshot!(matrix.text);
}
