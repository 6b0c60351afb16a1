//! The servers that a site of several processes stands on, each its own for a test.

use crate::common::{LIMIT, until};
use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where they answer, unless the test has a network of its own.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A PostgreSQL server.
pub struct Postgres {
    folder: PathBuf,
    pub url: String,
}

fn script(verb: &str, folder: &Path, address: Option<IpAddr>) -> String {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres"));
    script.arg(verb).arg(folder).args(address.map(|address| address.to_string()));
    let done = script.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "deploy/postgres {verb}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

impl Postgres {
    pub fn start(folder: &Path, address: IpAddr) -> Self {
        let folder = folder.join("postgres");
        Self { url: script("start", &folder, Some(address)), folder }
    }
    /// Ends all connections and starts it again.
    pub fn restart(&self) {
        script("restart", &self.folder, None);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        script("stop", &self.folder, None);
    }
}

/// An etcd server that takes calls only from who has a certificate of its site.
pub struct Etcd {
    folder: PathBuf,
    credential: PathBuf,
    address: IpAddr,
    ports: [u16; 2],
    process: Child,
}

impl Etcd {
    /// At this address, with the registry's credential in its folder.
    pub fn start(folder: &Path, address: IpAddr, credential: &Path) -> Self {
        let (folder, credential) = (folder.join("etcd"), credential.to_owned());
        std::fs::create_dir(&folder).unwrap();
        let ports = [free_port(), free_port()];
        let process = launch(&folder, &credential, address, ports);
        let etcd = Self { folder, credential, address, ports, process };
        etcd.answers();
        etcd
    }
    pub fn url(&self) -> String {
        format!("etcds://{}:{}", self.address, self.ports[0])
    }
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Starts it again with the data that it had.
    pub fn revive(&mut self) {
        self.process = launch(&self.folder, &self.credential, self.address, self.ports);
        self.answers();
    }
    fn answers(&self) {
        until(LIMIT, "etcd answers", || TcpStream::connect((self.address, self.ports[0])).ok());
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // it may have been stopped
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, credential: &Path, address: IpAddr, [port, peer]: [u16; 2]) -> Child {
    let (client, peer) = (format!("https://{address}:{port}"), format!("http://{address}:{peer}"));
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
