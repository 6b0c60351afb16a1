//! Concurrent `get`s within one context are one request on the wire, and nothing crosses between contexts.

use crate::{
    models::{Boat, new_boat},
    site::{Site, Way, on_both},
};
use async_trait::async_trait;
use cirro_models::{
    Context, Error, Id, Meta, Result, Stores, Verbs,
    identity::{Project, User},
    model::{Model, Seed},
    remote::{Answer, Call, Transport},
    subject::Principal,
};
use cirro_server::testkit::Backend;
use futures_util::{future::join_all, poll};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A boat that its owner has just read.
fn boat(project: Id<Project>, name: &str) -> Boat {
    let by = Principal::User(Id::<User>::new());
    let seed = Seed { id: Id::<Boat>::new().uuid(), project: Some(project), user: None, meta: Meta::created(by) };
    Boat::build(new_boat(name), seed).unwrap()
}

async fn fleet(site: &Site, count: usize) -> Vec<Boat> {
    let boats: Vec<Boat> = (0..count).map(|n| boat(site.actors.project, &format!("b{n}"))).collect();
    let rows = boats.clone();
    site.write(move |tx| tx.insert_all(&rows)).await.unwrap();
    boats
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_gets_of_one_row_are_one_request() {
    on_both(|site| async move {
        let boats = fleet(&site, 1).await;
        let ctx = site.context(Way::Remote, &site.actors.member());
        site.server.forget();
        let got = join_all((0..1000).map(|_| Boat::get(&ctx, boats[0].id))).await;
        assert!(got.iter().all(|row| row.as_ref().unwrap() == &boats[0]));
        assert_eq!(site.server.requests(), [format!("GET /compute/v1/boat/{}", boats[0].id)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_gets_of_many_rows_are_one_request_and_each_gets_its_own() {
    on_both(|site| async move {
        let boats = fleet(&site, 998).await;
        let foreign = site.make::<Boat>(&site.actors.outsider(), [new_boat("theirs")]).await.remove(0).id;
        let missing = Id::<Boat>::new();
        let ctx = site.context(Way::Remote, &site.actors.member());
        site.server.forget();
        let ids: Vec<_> = boats.iter().map(|boat| boat.id).chain([foreign, missing]).collect();
        let got = join_all(ids.iter().map(|id| Boat::get(&ctx, *id))).await;
        for (boat, row) in boats.iter().zip(&got) {
            assert_eq!(row.as_ref().unwrap(), boat);
        }
        for (id, row) in [(foreign, &got[998]), (missing, &got[999])] {
            assert!(
                matches!(row, Err(Error::NotFound { kind, id: said }) if kind == "boat" && *said == id.to_string()),
                "{row:?}"
            );
        }
        assert_eq!(site.server.requests(), ["POST /compute/v1/boat/batch"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_of_ids_takes_as_many_requests_as_pages() {
    let site = Site::open(Backend::Sqlite).await;
    let boats = fleet(&site, 2500).await;
    let ctx = site.context(Way::Remote, &site.actors.member());
    let got = join_all(boats.iter().map(|boat| Boat::get(&ctx, boat.id))).await;
    assert!(got.iter().zip(&boats).all(|(row, boat)| row.as_ref().unwrap() == boat));
    assert_eq!(site.server.requests(), ["POST /compute/v1/boat/batch"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_between_callers_who_ask_at_the_same_moment() {
    on_both(|site| async move {
        let boats = fleet(&site, 20).await;
        for way in [Way::Mounted, Way::Remote, Way::Bus] {
            let may = site.context(way, &site.actors.member());
            let may_not = site.context(way, &site.actors.outsider());
            let asked = |ctx: Context| {
                let boats = boats.clone();
                async move { join_all(boats.iter().map(|boat| Boat::get(&ctx, boat.id))).await }
            };
            for _ in 0..20 {
                let (may, may_not) = tokio::join!(asked(may.clone()), asked(may_not.clone()));
                assert!(may.iter().all(Result::is_ok));
                assert!(may_not.iter().all(|row| matches!(row, Err(Error::NotFound { .. }))));
            }
        }
    })
    .await;
}

/// A far service that answers only when it is let.
struct Gate {
    calls: Mutex<Vec<String>>,
    open: Semaphore,
    row: Boat,
}

#[async_trait]
impl Transport for Gate {
    async fn send(&self, _: &Context, call: Call) -> Result<Answer> {
        self.calls.lock().push(call.path);
        self.open.acquire().await.map_err(Error::internal)?.forget();
        Ok(Answer { status: 200, body: serde_json::to_vec(&self.row).unwrap().into() })
    }
}

fn gate() -> (Arc<Gate>, Context, Id<Boat>) {
    let row = boat(Id::new(), "far");
    let id = row.id;
    let gate = Arc::new(Gate { calls: Mutex::default(), open: Semaphore::new(0), row });
    let ctx = Context::client(Arc::new(Stores::default().elsewhere(gate.clone())), None);
    (gate, ctx, id)
}

#[tokio::test]
async fn when_the_first_is_cancelled_before_it_asks_the_others_are_answered() {
    let (gate, ctx, id) = gate();
    gate.open.add_permits(1);
    let mut first = Box::pin(Boat::get(&ctx, id));
    assert!(poll!(&mut first).is_pending());
    let others = join_all((0..10).map(|_| Boat::get(&ctx, id)));
    let mut others = Box::pin(others);
    assert!(poll!(&mut others).is_pending());
    drop(first);
    assert!(others.await.iter().all(Result::is_ok));
    assert_eq!(gate.calls.lock().len(), 1);
}

#[tokio::test]
async fn when_the_first_is_cancelled_while_it_asks_the_others_ask_again() {
    let (gate, ctx, id) = gate();
    let mut first = Box::pin(Boat::get(&ctx, id));
    assert!(poll!(&mut first).is_pending());
    let mut others = Box::pin(join_all((0..10).map(|_| Boat::get(&ctx, id))));
    assert!(poll!(&mut others).is_pending());
    while gate.calls.lock().is_empty() {
        assert!(poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
    drop(first);
    gate.open.add_permits(1);
    assert!(others.await.iter().all(Result::is_ok));
    assert_eq!(gate.calls.lock().len(), 2);
}

#[tokio::test]
async fn a_later_get_asks_again_because_nothing_is_cached() {
    let (gate, ctx, id) = gate();
    gate.open.add_permits(2);
    Boat::get(&ctx, id).await.unwrap();
    Boat::get(&ctx, id).await.unwrap();
    assert_eq!(gate.calls.lock().len(), 2);
}
