//! How many connections there are, and what is spoken on them.

use crate::{pki::Authority, server::Server};
use cirro_client::{Http, Params, Place, Reach, context, pool::PoolParams};
use futures_util::future::join_all;
use std::sync::{Arc, atomic::Ordering::SeqCst};

/// What a server answers: who asked, and by what protocol.
pub(crate) async fn ask(http: &Arc<Http>) -> cirro_models::Result<[String; 2]> {
    http.json(&context(http.clone(), None), "GET", "/compute/v1/instance", None::<&()>).await
}

#[tokio::test]
async fn a_thousand_calls_at_once_never_open_more_connections_than_the_high_watermark() {
    let server = Server::plain().await;
    let pool = PoolParams { high: 16, ..PoolParams::default() };
    let reach = Reach { params: Params { pool, ..Params::default() }, ..Reach::default() };
    let place = server.url().parse::<Place>().unwrap();
    let http = Arc::new(Http::everything_at(&place, &reach).unwrap());
    let answers = join_all((0..1000).map(|_| ask(&http))).await;
    assert!(answers.iter().all(Result::is_ok));
    let (accepted, most) = (server.seen.accepted.load(SeqCst), server.seen.most_open.load(SeqCst));
    println!("1000 calls at once: {accepted} connections accepted, {most} at the same time");
    assert!(most <= 16, "{most}");
    assert!(accepted <= 16, "{accepted}: none broke, so none was replaced");
    assert_eq!(server.seen.requests.load(SeqCst), 1000);
}

#[tokio::test]
async fn over_tls_one_http2_connection_carries_what_comes_at_once() {
    let authority = Authority::new("ca");
    let server = Server::tls(&authority.issue("cirro://lab/service/compute"), &authority).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    let http = Arc::new(Http::new(&format!("https://localhost:{}", server.port), Some(file.path())).unwrap());
    for answer in join_all((0..90).map(|_| ask(&http))).await {
        assert_eq!(answer.unwrap(), ["nobody", "HTTP/2.0"]);
    }
    assert_eq!(server.seen.accepted.load(SeqCst), 1);
    let by_address = Arc::new(Http::new(&format!("https://127.0.0.1:{}", server.port), Some(file.path())).unwrap());
    let error = ask(&by_address).await.unwrap_err().to_string();
    assert!(error.contains("can't be reached") && error.contains("IP address mismatch"), "{error}");
}

#[tokio::test]
async fn each_layer_counts() {
    let server = Server::plain().await;
    let http = Arc::new(Http::new(&server.url(), None).unwrap());
    ask(&http).await.unwrap();
    ask(&http).await.unwrap();
    let mut told = std::collections::BTreeMap::new();
    http.metrics().each(|name, value| assert!(told.insert(name, value).is_none(), "{name} twice"));
    assert_eq!((told["cirro_client_calls_total"], told["cirro_client_faults_total"]), (2, 0));
    assert_eq!((told["cirro_client_connections_opened_total"], told["cirro_client_connections"]), (1, 1));
    assert_eq!((told["cirro_client_endpoints"], told["cirro_client_queue"]), (1, 0));
}
