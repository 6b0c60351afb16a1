//! Streams both ways through the stack.

use crate::server::Server;
use bytes::Bytes;
use cirro_client::{Http, context};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::{Arc, atomic::Ordering::SeqCst};

const PATH: &str = "/images/v1/machineimage/1/bytes";

#[tokio::test]
async fn streams_pass_and_their_connection_is_used_again() {
    let server = Server::plain().await;
    let http = Arc::new(Http::new(&server.url(), None).unwrap());
    let ctx = context(http.clone(), None);
    for _ in 0..3 {
        let bytes = http.download(&ctx, PATH).await.unwrap().bytes;
        let length = bytes.try_fold(0, |length, piece| async move { Ok(length + piece.len()) }).await.unwrap();
        assert_eq!(length, 1024 * 1024);
    }
    assert_eq!(server.seen.accepted.load(SeqCst), 1);
    let pieces = stream::iter((0..100).map(|_| Ok(Bytes::from_static(&[7; 10_000]))));
    let answer = http.upload(&ctx, "PUT", PATH, pieces, &[("x-more", "1")]).await.unwrap();
    assert_eq!(&answer.body[..], b"1000000");
}

#[tokio::test]
async fn a_stream_that_is_left_early_closes_its_connection_and_gives_its_place_back() {
    let server = Server::plain().await;
    let http = Arc::new(Http::new(&server.url(), None).unwrap());
    let ctx = context(http.clone(), None);
    for _ in 0..100 {
        let mut bytes = http.download(&ctx, PATH).await.unwrap().bytes;
        assert!(bytes.next().await.unwrap().is_ok());
    }
    assert_eq!(server.seen.requests.load(SeqCst), 100);
}

#[tokio::test]
async fn streams_are_not_repeated_and_a_refusal_is_an_error() {
    let server = Server::plain().await;
    server.seen.status.store(503, SeqCst);
    let http = Arc::new(Http::new(&server.url(), None).unwrap());
    let ctx = context(http.clone(), None);
    assert!(http.download(&ctx, PATH).await.is_err());
    let answer = http.upload(&ctx, "PUT", PATH, stream::iter([Ok(Bytes::from_static(b"x"))]), &[]).await.unwrap();
    assert_eq!((answer.status, server.seen.requests.load(SeqCst)), (503, 2));
}
