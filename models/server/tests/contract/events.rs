//! The WebSocket of changes: who follows it misses nothing, sees nothing twice, and sees only what is theirs, for as long as
//! their token is good.

use crate::{
    feed::{check, start},
    models::{Boat, Harbour, compute, new_boat},
    site::{Site, Way, eventually, on_both},
};
use cirro_client::{Events, Next};
use cirro_models::{
    Error, Name, Service, Timestamp, Verbs,
    events::{Ending, Event},
    feed::{Change, Position},
    model::Seed,
};
use cirro_server::{
    Owner, OwnerContext, Plain,
    http::Sockets,
    testkit::{Actor, Actors, Backend, Server},
};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(
    server: &Server,
    actor: &Actor,
    models: &[&str],
    after: Option<Position>,
) -> cirro_models::Result<Events> {
    let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
    server.http.events(&actor.over(server), Service::Compute, &models, after).await
}

/// The socket, once it has begun.
async fn follow(site: &Site, actor: &Actor, models: &[&str], after: Option<Position>) -> Events {
    let mut events = open(&site.server, actor, models, after).await.unwrap();
    assert!(matches!(events.next().await.unwrap(), Next::Event(Event::Begun { .. })));
    events
}

async fn next_change(events: &mut Events) -> Change {
    loop {
        match events.next().await.unwrap() {
            Next::Event(Event::Changed(change)) => return change,
            Next::Event(_) => {}
            Next::Ended(ending) => panic!("{ending:?}"),
        }
    }
}

async fn ending(events: &mut Events) -> Ending {
    loop {
        if let Next::Ended(ending) = events.next().await.unwrap() {
            return ending;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_writers_lose_no_change_to_a_reader_whose_connection_breaks() {
    on_both(|site| async move {
        let (writers, versions) = (8usize, 10i64);
        let reader = tokio::spawn({
            let site = site.clone();
            async move {
                let (mut seen, mut position) = (Vec::new(), start(&site));
                while seen.len() < writers * usize::try_from(versions).unwrap() {
                    let mut events = follow(&site, &site.actors.viewer(), &["boat"], Some(position)).await;
                    for _ in 0..8 {
                        let change = next_change(&mut events).await;
                        position = change.position;
                        seen.push(change);
                    }
                    // more may be on its way: it comes again
                    drop(events);
                }
                seen
            }
        });
        let tasks = (0..writers).map(|n| {
            let site = site.clone();
            tokio::spawn(async move {
                let ctx = site.context(Way::Local, &site.actors.member());
                let id = Boat::create(&ctx, new_boat(&format!("b{n}"))).await.unwrap().id;
                for version in 2..=versions {
                    let patch = serde_json::from_value(serde_json::json!({ "note": version.to_string() })).unwrap();
                    Boat::update(&ctx, id, patch).await.unwrap();
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
        check(&reader.await.unwrap(), writers, versions);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_asked_for_each_change() {
    on_both(|site| async move {
        let (member, outsider) = (site.actors.member(), site.actors.outsider());
        let mut theirs = follow(&site, &outsider, &[], None).await;
        let mut operators = follow(&site, &site.actors.operator(), &[], None).await;
        let mut harbours = follow(&site, &member, &["harbour"], None).await;
        let ours = site.make::<Boat>(&member, [new_boat("ours")]).await.remove(0);
        let harbour = serde_json::from_value(serde_json::json!({ "name": "port" })).unwrap();
        let harbour = site.make::<Harbour>(&site.actors.operator(), [harbour]).await.remove(0);
        let foreign = site.make::<Boat>(&outsider, [new_boat("theirs")]).await.remove(0);
        for expected in [harbour.id.uuid(), foreign.id.uuid()] {
            assert_eq!(next_change(&mut theirs).await.id, expected, "and nothing of another project");
        }
        for expected in [ours.id.uuid(), harbour.id.uuid(), foreign.id.uuid()] {
            assert_eq!(next_change(&mut operators).await.id, expected, "all models in one order");
        }
        let told = next_change(&mut harbours).await;
        assert_eq!((told.model.as_str(), told.id), ("harbour", harbour.id.uuid()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_ends_its_socket_at_once_and_no_other() {
    on_both(|site| async move {
        let (member, viewer) = (site.actors.member(), site.actors.viewer());
        let mut revoked = follow(&site, &member, &[], None).await;
        let mut other = follow(&site, &viewer, &[], None).await;
        site.actors.verifier.revoke(&member.claims.root, Timestamp::now());
        let made = site.make::<Boat>(&site.actors.operator(), [new_boat("later")]).await.remove(0);
        assert_eq!(next_change(&mut other).await.id, made.id.uuid());
        loop {
            match revoked.next().await.unwrap() {
                Next::Event(Event::Changed(change)) => panic!("told after its end: {change:?}"),
                Next::Event(_) => {}
                Next::Ended(ending) => break assert_eq!(ending, Ending::Revoked),
            }
        }
        let refused = open(&site.server, &member, &[], None).await.err();
        assert!(matches!(&refused, Some(Error::Unauthenticated { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_when_it_ends_and_ends_its_socket() {
    let site = Site::open(Backend::Sqlite).await;
    let member = site.actors.member();
    let mut events = open(&site.server, &member, &[], None).await.unwrap();
    let Next::Event(Event::Begun { expires_at, .. }) = events.next().await.unwrap() else { panic!("no beginning") };
    assert_eq!(expires_at.unwrap().micros(), member.claims.exp * 1_000_000);
    assert!(matches!(events.next().await.unwrap(), Next::Event(Event::Reached { .. })), "nothing was there");
    site.actors.verifier.clock().advance(Duration::from_secs(601));
    assert_eq!(ending(&mut events).await, Ending::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_followed_is_refused_before_it_begins() {
    on_both(|site| async move {
        let member = site.actors.member();
        let mut position = site.settled().await;
        position.epoch -= 1;
        let gone = open(&site.server, &member, &[], Some(position)).await.err();
        assert!(matches!(&gone, Some(Error::Gone { .. })), "{gone:?}");
        let unknown = open(&site.server, &member, &["submarine"], None).await.err();
        assert!(matches!(&unknown, Some(Error::Invalid { detail, .. }) if detail.contains("boat")), "{unknown:?}");
        let path = "/compute/v1/events";
        let plain = site.server.call(Some(&member), "GET", path, None).await.problem(400);
        assert!(plain.detail.contains("this is a WebSocket"), "{}", plain.detail);
        let in_url = format!("{path}?access_token={}", member.token.expose());
        site.server.call(None, "GET", &in_url, None).await.problem(401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused() {
    let site = Site::open(Backend::Sqlite).await;
    let bearer = format!("Bearer {}", site.actors.member().token.expose());
    let own = site.server.url.clone();
    for (origin, status) in [("https://evil.example", 403), ("null", 403), ("", 403), (own.as_str(), 400)] {
        // the last one gets as far as the upgrade that is not asked for
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        let told = site.server.send("GET", "/compute/v1/events", &headers, "").await;
        told.problem(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_makes_room_for_another() {
    let scratch = Backend::Sqlite.open(compute()).await.unwrap();
    let limits = Sockets { at_once: 1, patience: Duration::from_millis(100), heartbeat: Duration::from_secs(15) };
    let owner = Owner::new(Service::Compute, scratch.database.clone()).owns::<Boat>(Plain).sockets(limits);
    let running = Owner::mount_together(vec![owner]).remove(0);
    let actors = Actors::new();
    let server = Server::start(vec![running.clone()], &actors).await;
    let operator = actors.operator();

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(server.url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    let ask = format!(
        "GET /compute/v1/events HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
        operator.token.expose()
    );
    slow.write_all(ask.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    let full = open(&server, &operator, &[], None).await.err();
    assert!(matches!(&full, Some(Error::Unavailable { retry_after_s: 10, .. })), "{full:?}");

    // far more than the buffers between the two hold
    let project = actors.project;
    for batch in 0..40 {
        let fill = move |tx: &mut cirro_server::Tx<'_>| {
            let row = |n: i32| {
                let id = cirro_models::Id::<Boat>::new().uuid();
                let seed = Seed { id, project: Some(project), user: None, meta: cirro_models::Meta::created("test") };
                let mut boat = <Boat as cirro_models::Model>::build(new_boat("b"), seed)?;
                boat.name = Name::parse(&format!("b{batch}-{n}")).map_err(Error::internal)?;
                Ok(boat)
            };
            tx.insert_all(&(0..1000).map(row).collect::<cirro_models::Result<Vec<_>>>()?)
        };
        running.own_context().write(fill).await.unwrap();
    }
    eventually("there is room again", || async { open(&server, &operator, &[], None).await.is_ok() }).await;
    let mut told = Vec::new();
    slow.read_to_end(&mut told).await.unwrap();
    assert!(told.len() < 40_000 * 200, "it was told everything: {} bytes", told.len());
}
