//! The servers that a site of several processes stands on, each its own for a test.

use crate::common::{LIMIT, until};
use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A PostgreSQL server.
pub struct Postgres {
    folder: PathBuf,
    pub url: String,
}

fn script(verb: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres");
    let done = Command::new(script).arg(verb).arg(folder).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "deploy/postgres {verb}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

impl Postgres {
    pub fn start(folder: &Path) -> Self {
        let folder = folder.join("postgres");
        Self { url: script("start", &folder), folder }
    }
    /// Ends all connections and starts it again.
    pub fn restart(&self) {
        script("restart", &self.folder);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        script("stop", &self.folder);
    }
}

/// An etcd server that takes calls only from who has a certificate of its site.
pub struct Etcd {
    folder: PathBuf,
    credential: PathBuf,
    ports: [u16; 2],
    process: Child,
}

impl Etcd {
    /// With the registry's credential in its folder.
    pub fn start(folder: &Path, credential: &Path) -> Self {
        let (folder, credential) = (folder.join("etcd"), credential.to_owned());
        std::fs::create_dir(&folder).unwrap();
        let ports = [free_port(), free_port()];
        let process = launch(&folder, &credential, ports);
        let etcd = Self { folder, credential, ports, process };
        etcd.answers();
        etcd
    }
    pub fn url(&self) -> String {
        format!("etcds://127.0.0.1:{}", self.ports[0])
    }
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Starts it again with the data that it had.
    pub fn revive(&mut self) {
        self.process = launch(&self.folder, &self.credential, self.ports);
        self.answers();
    }
    fn answers(&self) {
        until(LIMIT, "etcd answers", || TcpStream::connect(("127.0.0.1", self.ports[0])).ok());
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // it may have been stopped
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, credential: &Path, [port, peer]: [u16; 2]) -> Child {
    let (client, peer) = (format!("https://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .arg("--cert-file")
        .arg(credential.join("credential.pem"))
        .arg("--key-file")
        .arg(credential.join("credential.pem"))
        .arg("--trusted-ca-file")
        .arg(credential.join("ca.pem"))
        .arg("--client-cert-auth")
        // alone as it is, it need not wait a second for others to vote
        .args(["--heartbeat-interval", "20", "--election-timeout", "200", "--logger", "zap", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd starts: install it with `./deploy/packages test`")
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
