//! Sockets beside the stack: over the same TLS, with the same roles.

use crate::{
    pki::Authority,
    roles::{COMPUTE, client, shows},
    server::Server,
};
use cirro_client::{Http, Next, context};
use cirro_models::{
    Error, Service,
    events::{Ending, Event},
};
use std::sync::{Arc, atomic::Ordering::SeqCst};

#[tokio::test]
async fn a_socket_opens_over_mutual_tls_though_the_server_would_rather_speak_http_2() {
    let authority = Authority::new("ca");
    let server = Server::tls(&authority.issue(COMPUTE), &authority).await;
    let http = client(&server, &shows(&authority, &authority.issue("cirro://lab/service/storage")));
    let ctx = context(http.clone(), None);
    let mut events = http.events(&ctx, Service::Compute, &[], None).await.unwrap();
    let position = |text: &str| text.parse().unwrap();
    let begun = Event::Begun { position: position("1.0.1"), expires_at: None };
    assert_eq!(events.next().await.unwrap(), Next::Event(begun));
    let reached = Event::Reached { position: position("1.0.2") };
    assert_eq!(events.next().await.unwrap(), Next::Event(reached), "what is not known is passed over");
    assert_eq!(events.next().await.unwrap(), Next::Ended(Ending::Slow));
}

#[tokio::test]
async fn another_role_gets_no_token_to_see() {
    let authority = Authority::new("ca");
    let server = Server::tls(&authority.issue("cirro://lab/service/images"), &authority).await;
    let http = client(&server, &shows(&authority, &authority.issue("cirro://lab/service/storage")));
    let refused = http.events(&context(http.clone(), None), Service::Compute, &[], None).await.err().unwrap();
    assert!(refused.to_string().contains("should be cirro://lab/service/compute"), "{refused}");
    assert_eq!(server.seen.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_in_trouble_is_told_as_such() {
    let server = Server::plain().await;
    let http = Arc::new(Http::new(&server.url(), None).unwrap());
    let ctx = context(http.clone(), None);
    server.seen.status.store(503, SeqCst);
    let open = || http.events(&ctx, Service::Compute, &[], None);
    assert!(matches!(open().await.err(), Some(Error::Unavailable { .. })));
    server.stop().await;
    let gone = open().await.err();
    assert!(matches!(&gone, Some(Error::Unavailable { detail, .. }) if detail.contains("try again")), "{gone:?}");
}
