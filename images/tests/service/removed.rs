//! Images are removed by a worker, whatever happens to it.

use super::site::{Site, noise, wait_until};
use cirro_models::{Verbs, images::MachineImage};
use cirro_server::testkit::Backend;
use serde_json::json;

#[tokio::test]
async fn what_stands_in_the_way_is_told_to_operators_and_bytes_go_later() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let image = site.announce(&member, json!({"name": "demo", "format": "raw"})).await.id;
        assert_eq!(site.put(&member, image, &noise(1000, 0), &[]).await.status, 200);
        // nobody can remove a folder as if it were a file
        let object = site.files().remove(0);
        let aside = object.with_extension("aside");
        std::fs::rename(&object, &aside).unwrap();
        std::fs::create_dir(&object).unwrap();

        let ctx = member.over(&site.server).keyed("once");
        MachineImage::delete(&ctx, image).await.unwrap();
        let operator = site.actors.operator();
        let path = format!("/images/v1/job/{image}");
        let job = async || site.server.call(Some(&operator), "GET", &path, None).await.good();
        wait_until("an attempt has failed", async || {
            job().await["attempts"] != 0 && job().await["error"] != json!(null)
        })
        .await;
        let told = job().await;
        assert_eq!((&told["kind"], &told["project_id"]), (&json!("remove-image"), &json!(site.actors.project)));
        assert_eq!((told["request_id"].as_str(), site.used().await), (Some(ctx.request_id()), 1000));
        assert_eq!(site.image(image).await.unwrap().status.to_string(), "deleting");

        std::fs::remove_dir(&object).unwrap();
        std::fs::rename(&aside, &object).unwrap();
        site.wait_until_gone(image).await;
        assert_eq!((site.used().await, site.files().len()), (0, 0));
        assert_eq!(job().await["state"], "done");
    }
}
