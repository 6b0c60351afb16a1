//! An etcd of its own for a test: a real process on free loopback ports, with its data in a temporary directory.

use crate::{connect::Net, etcd::Etcd, testkit::within};
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
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let process = launch(&dir, port, peer_port);
        let server = Self { dir, port, peer_port, process };
        server.ready().await;
        server
    }
    /// The discovery URL of a prefix.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("etcd://127.0.0.1:{}{prefix}", self.port)
    }
    /// A client.
    pub(crate) fn client(&self) -> Etcd {
        let address = crate::Address::parse(&format!("127.0.0.1:{}", self.port), false).unwrap();
        Etcd::new(vec![address], Arc::new(Net { tls: None }))
    }
    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Starts it again where it was killed, with the data that it had.
    pub(crate) async fn revive(&mut self) {
        self.process = launch(&self.dir, self.port, self.peer_port);
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

fn launch(dir: &TempDir, port: u16, peer_port: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let log = std::fs::File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
    Command::new("etcd")
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
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
