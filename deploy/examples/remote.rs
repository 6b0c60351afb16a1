//! What the client stack costs over mutual TLS: gets of users through it, beside a bare hyper client that sends the same
//! requests on one HTTP/2 connection; and a thousand joined gets of images beside one list. `deploy/bench` runs it.
//!
//! `remote IDENTITY IMAGES CREDENTIAL-DIR TOKEN-FILE USER-IDS-FILE`, addresses as `HOST:PORT`; the images are those that
//! the token's project has.

use cirro_client::{Credential, Http, Place, Reach};
use cirro_models::{
    Context, Id, Page, Service, Stores, Verbs,
    identity::{Secret, User},
    images::{MachineImage, machine_image::MachineImageFilter},
};
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::{
    error::Error,
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

type Failed = Box<dyn Error + Send + Sync>;

/// Rounds of each measurement, in turn; odd, so that a median is a measurement.
const ROUNDS: usize = 5;
/// How long one round takes.
const ROUND: Duration = Duration::from_secs(3);
/// Calls under way at once, where rates are measured.
const AT_ONCE: usize = 32;
/// Rounds of the joined gets.
const JOINS: usize = 15;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [identity, images, folder, token, users] = &given[..] else {
        return Err("say remote IDENTITY IMAGES CREDENTIAL-DIR TOKEN-FILE USER-IDS-FILE".into());
    };
    let credential = Credential::load(Path::new(folder))?;
    let token = std::fs::read_to_string(token)?.trim().to_owned();
    let ids: Vec<Id<User>> = std::fs::read_to_string(users)?.lines().map(str::parse).collect::<Result<_, _>>()?;
    let http = stack(&credential, identity, images)?;
    let stores = Arc::new(Stores::default().elsewhere(http.clone()));
    let ctx = || Context::client(stores.clone(), Some(Secret::new(token.as_str())));

    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let link = bare(&credential, identity).await?;
        let get = |n: usize| {
            let (mut link, path) = (link.clone(), format!("https://identity/identity/v1/user/{}", ids[n % ids.len()]));
            let request = Request::get(path).header("authorization", format!("Bearer {token}"));
            async move {
                let answer = link.send_request(request.body(Empty::<Bytes>::new())?).await?;
                let good = answer.status().is_success();
                let body = answer.into_body().collect().await?.to_bytes();
                if good { Ok(body.len()) } else { Err(Failed::from("a bare get was refused")) }
            }
        };
        figures[0].push(rate(get).await?);
        figures[1].push(middle(get).await?);
        let get = |n: usize| {
            // a context of its own, as each request has: nothing is put together
            let (ctx, id) = (ctx(), ids[n % ids.len()]);
            async move { Ok(User::get(&ctx, id).await?.name.len()) }
        };
        figures[2].push(rate(get).await?);
        figures[3].push(middle(get).await?);
    }
    let [bare_rate, bare_p50, own_rate, own_p50] = figures.map(median);
    println!("get {bare_rate:.0} {own_rate:.0} {bare_p50:.1} {own_p50:.1}");
    joined(&http, ctx).await
}

/// A thousand gets of different images that are asked for at once, and one list of them.
async fn joined(http: &Http, ctx: impl Fn() -> Context) -> Result<(), Failed> {
    let (filter, page) = (MachineImageFilter::default(), Page::first(Page::MAX));
    let listed = MachineImage::list(&ctx(), &filter, &page).await?.items;
    let (mut joins, mut lists, mut most) = (Vec::new(), Vec::new(), 0);
    for _ in 0..JOINS {
        let (before, begun, ctx_of_gets) = (http.metrics().trace.calls.get(), Instant::now(), ctx());
        let found = try_join_all(listed.iter().map(|image| MachineImage::get(&ctx_of_gets, image.id))).await?;
        joins.push(begun.elapsed().as_secs_f64() * 1e3);
        most = most.max(http.metrics().trace.calls.get() - before);
        let begun = Instant::now();
        let again = MachineImage::list(&ctx(), &filter, &page).await?.items;
        lists.push(begun.elapsed().as_secs_f64() * 1e3);
        if found.len() != again.len() {
            return Err("the images changed meanwhile".into());
        }
    }
    println!("join {} {most} {:.2} {:.2}", listed.len(), median(joins), median(lists));
    Ok(())
}

fn stack(credential: &Credential, identity: &str, images: &str) -> Result<Arc<Http>, Failed> {
    let place = |service, address: &str| Ok::<_, Failed>((service, format!("tcp://{address}").parse::<Place>()?));
    let places = [place(Service::Identity, identity)?, place(Service::Images, images)?];
    let (tls, site) = (Some(credential.tls()?), Some(credential.site().to_string()));
    Ok(Arc::new(Http::each_at(&places, &Reach { tls, site, ..Reach::default() })?))
}

/// One connection with the same certificate.
async fn bare(credential: &Credential, address: &str) -> Result<http2::SendRequest<Empty<Bytes>>, Failed> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_alpn_protos(b"\x02h2")?;
    builder.set_certificate(credential.certificate())?;
    builder.set_private_key(&*credential.key()?)?;
    // the peer is our own; who it is makes no difference to what is measured
    builder.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let ssl = builder.build().configure()?.verify_hostname(false).into_ssl("identity.cirro.internal")?;
    let mut stream = tokio_openssl::SslStream::new(ssl, tcp)?;
    Pin::new(&mut stream).connect().await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Calls per second, with several under way.
async fn rate<F: Future<Output = Result<usize, Failed>>>(call: impl Fn(usize) -> F) -> Result<f64, Failed> {
    let begun = Instant::now();
    let caller = async |first: usize| {
        let mut count = 0_u32;
        while begun.elapsed() < ROUND {
            call(first + AT_ONCE * count as usize).await?;
            count += 1;
        }
        Ok::<_, Failed>(count)
    };
    let counts = try_join_all((0..AT_ONCE).map(caller)).await?;
    Ok(f64::from(counts.iter().sum::<u32>()) / begun.elapsed().as_secs_f64())
}

/// The median time of one call in microseconds, one at a time.
async fn middle<F: Future<Output = Result<usize, Failed>>>(call: impl Fn(usize) -> F) -> Result<f64, Failed> {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < ROUND {
        let start = Instant::now();
        call(took.len()).await?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(took))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
