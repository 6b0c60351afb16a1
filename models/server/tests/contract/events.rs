//! The WebSocket of changes: who follows it misses nothing, sees nothing twice, and sees only what is theirs, for as long as
//! their token is good; through nginx as without it.

use crate::{
    feed::check,
    models::{Boat, Harbour, compute, new_boat},
    site::{Site, Way, eventually, on_both},
    wire::{Sent, Wire},
};
use cirro_client::{Events, Http, Next};
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
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(
    http: &Arc<Http>,
    actor: &Actor,
    models: &[&str],
    after: Option<Position>,
) -> cirro_models::Result<Events> {
    let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
    let ctx = cirro_client::context(http.clone(), Some(actor.token.clone()));
    http.events(&ctx, Service::Compute, &models, after).await
}

/// The socket, once it has begun.
async fn follow(http: &Arc<Http>, actor: &Actor, models: &[&str], after: Option<Position>) -> Events {
    let mut events = open(http, actor, models, after).await.unwrap();
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

/// Eight writers against one reader, who comes back with the last position each time that the connection breaks.
async fn race(site: &Arc<Site>, way: Way) {
    let (writers, versions) = (8usize, 10i64);
    let from = site.settled().await;
    let reader = tokio::spawn({
        let (site, http) = (site.clone(), site.http(way).await);
        async move {
            let (mut seen, mut position) = (Vec::new(), from);
            while seen.len() < writers * usize::try_from(versions).unwrap() {
                let mut events = follow(&http, &site.actors.viewer(), &["boat"], Some(position)).await;
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
            let id = Boat::create(&ctx, new_boat(&format!("{way:?}-{n}"))).await.unwrap().id;
            for version in 2..=versions {
                let patch = serde_json::from_value(json!({ "note": version.to_string() })).unwrap();
                Boat::update(&ctx, id, patch).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
    check(&reader.await.unwrap(), writers, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_writers_lose_no_change_to_a_reader_whose_connection_breaks() {
    on_both(|site| async move {
        for way in Way::WIRES {
            race(&site, way).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_asked_for_each_change() {
    on_both(|site| async move {
        for way in Way::WIRES {
            let http = &site.http(way).await;
            let (member, outsider) = (site.actors.member(), site.actors.outsider());
            let mut theirs = follow(http, &outsider, &[], None).await;
            let mut operators = follow(http, &site.actors.operator(), &[], None).await;
            let mut harbours = follow(http, &member, &["harbour"], None).await;
            let ours = site.make::<Boat>(&member, [new_boat(&format!("{way:?}-ours"))]).await.remove(0);
            let harbour = serde_json::from_value(json!({ "name": format!("{way:?}-port") })).unwrap();
            let harbour = site.make::<Harbour>(&site.actors.operator(), [harbour]).await.remove(0);
            let foreign = site.make::<Boat>(&outsider, [new_boat(&format!("{way:?}-theirs"))]).await.remove(0);
            for expected in [harbour.id.uuid(), foreign.id.uuid()] {
                assert_eq!(next_change(&mut theirs).await.id, expected, "and nothing of another project");
            }
            for expected in [ours.id.uuid(), harbour.id.uuid(), foreign.id.uuid()] {
                assert_eq!(next_change(&mut operators).await.id, expected, "all models in one order");
            }
            let told = next_change(&mut harbours).await;
            assert_eq!((told.model.as_str(), told.id), ("harbour", harbour.id.uuid()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_ends_its_socket_at_once_and_no_other() {
    on_both(|site| async move {
        for way in Way::WIRES {
            let http = &site.http(way).await;
            let (member, viewer) = (site.actors.member(), site.actors.viewer());
            let mut revoked = follow(http, &member, &[], None).await;
            let mut other = follow(http, &viewer, &[], None).await;
            site.actors.verifier.revoke(&member.claims.root, Timestamp::now());
            let made = site.make::<Boat>(&site.actors.operator(), [new_boat(&format!("{way:?}"))]).await.remove(0);
            assert_eq!(next_change(&mut other).await.id, made.id.uuid());
            loop {
                match revoked.next().await.unwrap() {
                    Next::Event(Event::Changed(change)) => panic!("told after its end: {change:?}"),
                    Next::Event(_) => {}
                    Next::Ended(ending) => break assert_eq!(ending, Ending::Revoked),
                }
            }
            let refused = open(http, &member, &[], None).await.err();
            assert!(matches!(&refused, Some(Error::Unauthenticated { .. })), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_when_it_ends_and_ends_its_socket() {
    for way in Way::WIRES {
        let site = Site::open(Backend::Sqlite).await;
        let member = site.actors.member();
        let mut events = open(&site.http(way).await, &member, &[], None).await.unwrap();
        let Next::Event(Event::Begun { expires_at, .. }) = events.next().await.unwrap() else { panic!("no beginning") };
        assert_eq!(expires_at.unwrap().micros(), member.claims.exp * 1_000_000);
        assert!(matches!(events.next().await.unwrap(), Next::Event(Event::Reached { .. })), "nothing was there");
        site.actors.verifier.clock().advance(Duration::from_secs(601));
        assert_eq!(ending(&mut events).await, Ending::Expired);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_followed_is_refused_before_it_begins() {
    on_both(|site| async move {
        let mut over = Vec::new();
        for way in Way::WIRES {
            let (http, wire, member) = (site.http(way).await, Wire::of(&site, way).await, site.actors.member());
            let mut position = site.settled().await;
            position.epoch -= 1;
            let gone = open(&http, &member, &[], Some(position)).await.err().unwrap();
            assert!(matches!(&gone, Error::Gone { .. }), "{gone:?}");
            let unknown = open(&http, &member, &["submarine"], None).await.err().unwrap();
            assert!(matches!(&unknown, Error::Invalid { detail, .. } if detail.contains("boat")), "{unknown:?}");
            let mut claims = member.claims.clone();
            claims.exp = 1;
            let expired = open(&http, &site.actors.sign(claims), &[], None).await.err().unwrap();
            assert!(matches!(&expired, Error::Unauthenticated { .. }), "{expired:?}");
            let path = "/compute/v1/events";
            let plain = Sent::new(&wire, "GET", path).send().await;
            assert!(plain.status == 400 && plain.problem().contains("this is a WebSocket"), "{plain:?}");
            let in_url = Sent::new(&wire, "GET", &format!("{path}?access_token={}", member.token.expose()));
            let in_url = in_url.header("authorization", "").send().await;
            assert_eq!(in_url.status, 401);
            let refused = [gone, unknown, expired].map(|error| error.to_string());
            over.push((refused, plain.problem(), in_url.problem()));
        }
        assert_eq!(over[0], over[1], "without nginx and through it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused() {
    let site = Site::open(Backend::Sqlite).await;
    for way in Way::WIRES {
        let wire = Wire::of(&site, way).await;
        // the last one gets as far as the upgrade that is not asked for
        for (origin, status) in [("https://evil.example", 403), ("null", 403), (wire.origin().as_str(), 400)] {
            let told = Sent::new(&wire, "GET", "/compute/v1/events").header("origin", origin).send().await;
            assert_eq!(told.status, status, "{origin}: {}", told.problem());
        }
    }
    let bearer = format!("Bearer {}", site.actors.member().token.expose());
    let headers = [("authorization", bearer.as_str()), ("origin", "")];
    site.server.send("GET", "/compute/v1/events", &headers, "").await.problem(403);
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
    let full = open(&server.http, &operator, &[], None).await.err();
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
    eventually("there is room again", || async { open(&server.http, &operator, &[], None).await.is_ok() }).await;
    let mut told = Vec::new();
    slow.read_to_end(&mut told).await.unwrap();
    assert!(told.len() < 40_000 * 200, "it was told everything: {} bytes", told.len());
}
