//! What the bus does for nodes: passes TLS through to the service that the first message names (SNI, RFC 6066 §3).

use cirro_models::{Service, SiteRole};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// Starts one; tells its `https://` address. `services` are `host:port`s.
pub(crate) async fn start(services: Vec<(Service, String)>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass(stream, services.clone()));
        }
    });
    url
}

async fn pass(mut from: TcpStream, services: Vec<(Service, String)>) -> std::io::Result<()> {
    let mut hello = vec![0; 4096];
    let length = from.read(&mut hello).await?;
    let names = |service: Service| {
        let name = SiteRole::Service(service).dns().unwrap_or_default();
        hello[..length].windows(name.len()).any(|part| part == name.as_bytes())
    };
    let Some((_, address)) = services.iter().find(|(service, _)| names(*service)) else { return Ok(()) };
    let mut to = TcpStream::connect(address).await?;
    to.write_all(&hello[..length]).await?;
    copy_bidirectional(&mut from, &mut to).await.map(drop)
}
