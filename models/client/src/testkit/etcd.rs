//! An etcd of its own for a test: a real process on free loopback ports, with its data in a temporary directory.

use crate::{
    connect::Net,
    etcd::Etcd,
    testkit::{pki::Authority, within},
    tls::Tls,
};
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

/// A running etcd; it ends with this.
pub(crate) struct Server {
    dir: TempDir,
    port: u16,
    peer_port: u16,
    process: Child,
    tls: Option<Tls>,
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), None).await
    }
    /// Starts one that wants certificates of this authority, and shows one.
    pub(crate) async fn secure(authority: &Authority, tls: Tls) -> Self {
        let (dir, leaf) = (tempfile::tempdir().unwrap(), authority.issue("cirro://lab/service/registry"));
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("ca.crt", authority.pem.clone());
        write("etcd.crt", leaf.certificate.to_pem().unwrap());
        write("etcd.key", leaf.key.private_key_to_pem_pkcs8().unwrap());
        Self::with(dir, Some(tls)).await
    }
    async fn with(dir: TempDir, tls: Option<Tls>) -> Self {
        let (port, peer_port) = (free_port(), free_port());
        let process = launch(&dir, port, peer_port, tls.is_some());
        let server = Self { dir, port, peer_port, process, tls };
        server.ready().await;
        server
    }
    /// The discovery URL of a prefix.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("etcd://localhost:{}{prefix}", self.port)
    }
    /// A client.
    pub(crate) fn client(&self) -> Etcd {
        let address = crate::Address::parse(&format!("localhost:{}", self.port), self.tls.is_some()).unwrap();
        Etcd::new(vec![address], Arc::new(Net { tls: self.tls.clone() }))
    }
    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Starts it again where it was killed, with the data that it had.
    pub(crate) async fn revive(&mut self) {
        self.process = launch(&self.dir, self.port, self.peer_port, self.tls.is_some());
        self.ready().await;
    }
    async fn ready(&self) {
        let client = self.client();
        within("etcd answers", async {
            while client.list("/ready").await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn launch(dir: &TempDir, port: u16, peer_port: u16, tls: bool) -> Child {
    let scheme = if tls { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let file = |name: &str| dir.path().join(name).display().to_string();
    let flags = [("--cert-file", "etcd.crt"), ("--key-file", "etcd.key"), ("--trusted-ca-file", "ca.crt")];
    let secure = flags.map(|(flag, name)| format!("{flag}={}", file(name))).into_iter();
    let secure = secure.chain(["--client-cert-auth".to_owned()]).filter(|_| tls);
    let log = std::fs::File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
    Command::new("etcd")
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(secure)
        // alone as it is, it need not wait a second for others to vote
        .args(["--heartbeat-interval", "20", "--election-timeout", "200", "--logger", "zap", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd starts: install it with `./deploy/packages test`")
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
