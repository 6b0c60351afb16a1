//! User-data may hold secrets: the instance's node gets it, and nobody else sees it anywhere.

use super::site::{Site, id};
use cirro_models::compute::instance::NewInstance;
use cirro_server::testkit::Backend;
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

const TOLD: &str = "#cloud-config: the passphrase is xyzzy";

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);
impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;
    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn user_data_reaches_the_instances_node_and_nobody_else() {
    let log = Log::default();
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    tracing::subscriber::set_global_default(all.finish()).unwrap();
    tracing::trace!("the log is looked at");

    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut wish = site.wish("web1");
        wish["user_data"] = TOLD.into();
        let (member, viewer) = (site.actors.member(), site.actors.viewer());
        let made = site.keyed(&member, "POST", "instance", &wish, "with user-data").await;
        let instance = id(&made.good());
        let mut shown = made.text + &site.keyed(&member, "POST", "instance", &wish, "with user-data").await.text;
        for actor in [&member, &viewer, &site.actors.operator(), &site.actors.node_of(site.node)] {
            for path in [
                format!("instance/{instance}"),
                "instance".to_owned(),
                "instance?name=web1&limit=1000".to_owned(),
                "change?model=instance".to_owned(),
            ] {
                shown += &site.call(actor, "GET", &path, Value::Null).await.text;
            }
        }
        shown += &site.member("PATCH", &format!("instance/{instance}"), json!({"labels": {"a": "b"}})).await.text;
        shown += &site.member("PATCH", &format!("instance/{instance}"), json!({"user_data": TOLD})).await.text;
        assert!(shown.contains("web1") && !shown.contains("xyzzy"), "{shown}");

        let node = site.assignment(site.node, "").await.instances.remove(0);
        assert_eq!(node.user_data.as_ref().map(cirro_models::compute::instance::UserData::expose), Some(TOLD));
        assert!(!format!("{node:?}").contains("xyzzy"));
        let new: NewInstance = serde_json::from_value(wish).unwrap();
        assert!(!format!("{new:?}").contains("xyzzy"));
        for query in [
            "SELECT count(*) AS n FROM request WHERE answer LIKE '%xyzzy%'",
            "SELECT count(*) AS n FROM change WHERE kind LIKE '%xyzzy%'",
        ] {
            assert_eq!(site.count(query).await, 0, "{query}");
        }
        assert!(site.count("SELECT count(*) AS n FROM request WHERE answer LIKE '%web1%'").await > 0);
        site.member("DELETE", &format!("instance/{instance}"), Value::Null).await.good();
    }
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("the log is looked at") && !logged.contains("xyzzy"));
}
