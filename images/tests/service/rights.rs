//! Who may do what with an image and its bytes.

use super::site::{Site, noise};
use cirro_models::{Error, Id, Verbs, images::MachineImage};
use cirro_server::testkit::Backend;
use serde_json::json;

#[tokio::test]
async fn private_public_and_other_projects() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let actors = &site.actors;
        let (member, operator) = (actors.member(), actors.operator());
        let private = site.announce(&member, json!({"name": "private", "format": "raw"})).await;
        let public = site.announce(&operator, json!({"name": "public", "format": "raw", "public": true})).await;
        for (actor, on_private, on_public) in [
            (actors.viewer(), 403, 403),
            (actors.outsider(), 404, 403),
            (actors.stranger(), 404, 403),
            (actors.node(), 404, 404),
        ] {
            for (image, status) in [(&private, on_private), (&public, on_public)] {
                let put = site.put(&actor, image.id, &noise(1000, 0), &[]).await;
                assert_eq!(put.status, status, "{actor:?} on {}", image.name);
                site.expect_nothing_left(image.id, "a missing right").await;
            }
        }
        assert_eq!(site.put(&member, Id::new(), &noise(1000, 0), &[]).await.status, 404);
        assert_eq!(site.put(&member, private.id, &noise(1000, 0), &[]).await.status, 200);
        assert_eq!(site.put(&member, public.id, &noise(1000, 0), &[]).await.status, 200);
        for (actor, on_private, on_public) in [
            (actors.viewer(), 200, 200),
            (actors.outsider(), 404, 200),
            (actors.stranger(), 404, 200),
            (actors.node(), 404, 404),
        ] {
            assert_eq!(site.read(&actor, private.id, &[]).await.status, on_private, "{actor:?}");
            assert_eq!(site.read(&actor, public.id, &[]).await.status, on_public, "{actor:?}");
        }
    }
}

#[tokio::test]
async fn only_an_operator_says_what_is_public() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, operator) = (site.actors.admin().over(&site.server), site.actors.operator().over(&site.server));
        let new = |new| serde_json::from_value(new).unwrap();
        let patch = |public: bool| serde_json::from_value(json!({"public": public})).unwrap();
        let refused = MachineImage::create(&member, new(json!({"name": "x", "public": true}))).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden { .. }), "{refused}");
        let image = MachineImage::create(&member, new(json!({"name": "x"}))).await.unwrap();
        let refused = MachineImage::update(&member, image.id, patch(true)).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden { .. }), "{refused}");
        assert!(MachineImage::update(&operator, image.id, patch(true)).await.unwrap().public);
        // who may not change it may say what it is
        assert!(MachineImage::update(&member, image.id, patch(true)).await.unwrap().public);
        assert!(MachineImage::update(&member, image.id, patch(false)).await.is_err());
        let twice = MachineImage::create(&member, new(json!({"name": "x"}))).await.unwrap_err();
        assert!(matches!(twice, Error::Conflict { .. }), "{twice}");
    }
}

#[tokio::test]
async fn a_node_reads_the_images_of_its_instances_and_no_others() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, node, other) = (site.actors.member(), Id::new(), Id::new());
        let image = site.announce(&member, json!({"name": "used", "format": "raw"})).await;
        let unused = site.announce(&member, json!({"name": "unused", "format": "raw"})).await;
        let bytes = noise(1000, 0);
        for image in [&image, &unused] {
            assert_eq!(site.put(&member, image.id, &bytes, &[]).await.status, 200);
        }
        site.place(image.id, node).await;
        let [node, other] = [node, other].map(|node| site.actors.node_of(node));
        assert_eq!(site.read(&node, image.id, &[]).await.body, bytes);
        assert_eq!(site.read(&node, unused.id, &[]).await.status, 404);
        assert_eq!(site.read(&other, image.id, &[]).await.status, 404);
        // and nothing about them
        assert!(MachineImage::get(&node.over(&site.server), image.id).await.unwrap_err().is_not_found());
    }
}
