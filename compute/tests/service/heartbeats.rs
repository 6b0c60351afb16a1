//! Nodes are heard of by the pieces of one long request.

use super::{
    fences::{Strip, site},
    site::Site,
};
use bytes::Bytes;
use cirro_models::{Context, Id, compute::Node, compute::node::NodeStatus};
use cirro_server::testkit::{Backend, eventually};
use futures_util::stream;
use std::{io, sync::Arc};
use tokio::{sync::mpsc, task::JoinHandle};

type Pieces = mpsc::UnboundedSender<io::Result<Bytes>>;

/// A request for heartbeats of `path` by `ctx`, and what it was answered.
fn open(site: &Site, ctx: Context, node: Id<Node>) -> (Pieces, JoinHandle<(u16, String)>) {
    let (pieces, mut sent) = mpsc::unbounded_channel();
    let http = site.server.http.clone();
    let asked = tokio::spawn(async move {
        let body = stream::poll_fn(move |cx| sent.poll_recv(cx));
        let answer = http.upload(&ctx, "POST", &format!("/compute/v1/nodeheartbeat/{node}"), body, &[]).await.unwrap();
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    });
    (pieces, asked)
}

fn beat(pieces: &Pieces, bytes: usize) {
    pieces.send(Ok(Bytes::from(vec![b'.'; bytes]))).unwrap();
}

#[tokio::test]
async fn a_node_is_ready_while_its_heart_beats_silent_after_and_ready_again_with_the_next_beat() {
    for backend in Backend::BOTH {
        let strip = Strip::new(false, true);
        // a node may be silent for 2 s here
        let site = site(backend, &strip).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        site.report(two, site.saw()).await;
        site.report(site.node, site.saw()).await;
        let _tended = site.tended();

        let (pieces, asked) = open(&site, site.actors.node_of(two).over(&site.server), two);
        // the other one says nothing any more: with its silence it is known that enough time has gone by
        eventually("the node without heartbeats is silent", async || {
            beat(&pieces, 1);
            (site.node_is(site.node).await == NodeStatus::Silent).then_some(())
        })
        .await;
        assert_eq!(site.node_is(two).await, NodeStatus::Ready, "its heart beats");
        drop(pieces);
        assert_eq!(asked.await.unwrap().0, 204, "all were heard");
        site.becomes(&[], two, NodeStatus::Silent).await;

        let (pieces, _asked) = open(&site, site.actors.node_of(two).over(&site.server), two);
        eventually("it is heard of again, though it reports nothing", async || {
            beat(&pieces, 1);
            (site.node_is(two).await == NodeStatus::Ready).then_some(())
        })
        .await;
        assert_eq!(site.node_is(site.node).await, NodeStatus::Silent, "only the one that is heard of is");
    }
}

#[tokio::test]
async fn heartbeats_are_a_nodes_own_and_short() {
    let site = Arc::new(Site::new(Backend::Sqlite).await);
    let two = site.new_node("two", 8, 8192, 100).await;
    for actor in [site.actors.node_of(two), site.actors.operator(), site.actors.member()] {
        let (pieces, asked) = open(&site, actor.over(&site.server), site.node);
        beat(&pieces, 1);
        assert_eq!(asked.await.unwrap().0, 404, "somebody else's");
    }
    let (pieces, asked) = open(&site, site.actors.node_of(two).over(&site.server), two);
    beat(&pieces, 64);
    beat(&pieces, 65);
    let (status, said) = asked.await.unwrap();
    assert_eq!((status, said.contains("at most 64 bytes")), (422, true), "{said}");
}
