//! Pools.

use super::site::{Site, conflict};
use cirro_models::{Error, Id, Verbs, storage::StoragePool};
use cirro_server::testkit::{Backend, schema_differences};
use serde_json::json;

#[tokio::test]
async fn one_pool_for_each_node_and_none_goes_with_volumes_in_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.actors.operator().over(&site.server);
        let second = conflict(site.pool("second", site.node, 10).await);
        assert!(second.contains("first"), "{second}");
        let unknown = site.pool("second", Id::new(), 10).await.unwrap_err();
        assert!(matches!(&unknown, Error::Invalid { field, .. } if field == "node_id"), "{unknown}");
        let empty = site.pool("second", site.node, 0).await.unwrap_err();
        assert!(matches!(&empty, Error::Invalid { field, .. } if field == "capacity_gib"), "{empty}");

        let volume = site.volume(&site.actors.member(), "data", 20).await.unwrap();
        let pool = volume.pool_id.unwrap();
        let patch = |value| serde_json::from_value(value).unwrap();
        let small = conflict(StoragePool::update(&operator, pool, patch(json!({"capacity_gib": 19}))).await);
        assert!(small.contains("20 GiB"), "{small}");
        StoragePool::update(&operator, pool, patch(json!({"capacity_gib": 20, "accepting": false}))).await.unwrap();
        let used = conflict(StoragePool::delete(&operator, pool).await);
        assert!(used.contains("delete the volumes"), "{used}");
        let refused = site.volume(&site.actors.member(), "more", 1).await.unwrap_err();
        assert!(matches!(refused, Error::NoCapacity { .. }), "{refused}");
        assert_eq!(site.used().await, (1, 20));
        assert!(StoragePool::get(&site.actors.admin().over(&site.server), pool).await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn models_and_tables_agree() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        assert_eq!(schema_differences(&site.storage).await.unwrap(), Vec::<String>::new());
    }
}
