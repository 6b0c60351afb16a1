//! What the stack costs: the same GETs through it and through a bare hyper client, in one process, against a server that
//! does nothing else. `cargo run --release -p cirro-client --example overhead -- https://HOST:PORT CA_FILE PATH`, or with
//! no arguments against a plain server of its own. Prints calls per second, and the time of one call.

use bytes::Bytes;
use cirro_client::{Http, context};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Response, service::service_fn};
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use openssl::ssl::{SslConnector, SslMethod};
use std::{convert::Infallible, error::Error, future::Future, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::Instant};

/// Calls of each measurement, and how many of them are under way at once.
const CALLS: u32 = 20_000;
const AT_ONCE: [u32; 2] = [1, 32];

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (url, ca, path) = match &given[..] {
        [url, ca, path] => (url.clone(), Some(PathBuf::from(ca)), path.clone()),
        _ => (own_server().await?, None, "/compute/v1/instance".to_owned()),
    };
    let http = Arc::new(Http::new(&url, ca.as_deref())?);
    let ctx = context(http.clone(), None);
    let mut tls = SslConnector::builder(SslMethod::tls_client())?;
    tls.set_alpn_protos(b"\x02h2\x08http/1.1")?;
    if let Some(ca) = &ca {
        tls.set_ca_file(ca)?;
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let bare: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(HttpsConnector::with_connector(tcp, tls)?);
    let uri: hyper::Uri = format!("{url}{path}").parse()?;
    for at_once in AT_ONCE {
        // three rounds in turn: a machine that is busy for a moment hits both
        for _ in 0..3 {
            let plain = measured(at_once, || {
                let (bare, uri) = (bare.clone(), uri.clone());
                async move {
                    bare.get(uri).await?.into_body().collect().await?;
                    Ok(())
                }
            });
            let (rate, middle) = plain.await?;
            let stacked = measured(at_once, || {
                let (http, ctx, path) = (http.clone(), ctx.clone().until(deadline()), path.clone());
                async move {
                    http.answer(&ctx, "GET", &path, None, &[]).await?;
                    Ok(())
                }
            });
            let (own_rate, own_middle) = stacked.await?;
            println!(
                "{at_once:>3} at once: bare {rate:>7.0}/s p50 {middle:>7.1?}   stack {own_rate:>7.0}/s p50 {own_middle:>7.1?}   {:>4.0} %",
                own_rate / rate * 100.0
            );
        }
    }
    Ok(())
}

fn deadline() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(30)
}

/// Calls per second, and the median time of one.
async fn measured<F>(at_once: u32, call: impl Fn() -> F) -> Result<(f64, Duration), Failed>
where
    F: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let (start, mut callers) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..at_once {
        let calls: Vec<F> = (0..CALLS / at_once).map(|_| call()).collect();
        callers.spawn(async move {
            let mut took = Vec::with_capacity(calls.len());
            for call in calls {
                let start = Instant::now();
                call.await?;
                took.push(start.elapsed());
            }
            Ok::<_, Failed>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = callers.join_next().await {
        took.extend(ended??);
    }
    let rate = f64::from(CALLS) / start.elapsed().as_secs_f64();
    took.sort_unstable();
    Ok((rate, took[took.len() / 2]))
}

/// A server of this process that answers everything with a few bytes.
async fn own_server() -> Result<String, Failed> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _slow_only = tcp.set_nodelay(true);
            let answer = service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{\"id\":1}"))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), answer));
        }
    });
    Ok(url)
}
