//! The registry of a site, its own for a test.

use super::{LIMIT, LOOPBACK, free_port, until};
use std::{
    fs::File,
    net::{IpAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// An etcd server.
pub struct Etcd {
    folder: PathBuf,
    /// The folder of its credential, if it speaks TLS.
    credential: Option<PathBuf>,
    address: IpAddr,
    ports: [u16; 2],
    process: Child,
}

impl Etcd {
    /// One with its data in a folder within this one, for everybody on this machine.
    pub fn start(folder: &Path) -> Self {
        Self::at(folder, LOOPBACK, None)
    }
    /// The same at this address, over TLS with this credential, for who has a certificate of the site.
    pub fn secure(folder: &Path, address: IpAddr, credential: &Path) -> Self {
        Self::at(folder, address, Some(credential.to_owned()))
    }
    fn at(folder: &Path, address: IpAddr, credential: Option<PathBuf>) -> Self {
        let folder = folder.join("etcd");
        std::fs::create_dir(&folder).unwrap();
        let ports = [free_port(), free_port()];
        let process = launch(&folder, credential.as_deref(), address, ports);
        let etcd = Self { folder, credential, address, ports, process };
        etcd.answers();
        etcd
    }
    pub fn url(&self) -> String {
        let scheme = if self.credential.is_some() { "etcds" } else { "etcd" };
        format!("{scheme}://{}:{}", self.address, self.port())
    }
    /// Where its clients call.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Starts it again with the data that it had.
    pub fn revive(&mut self) {
        self.process = launch(&self.folder, self.credential.as_deref(), self.address, self.ports);
        self.answers();
    }
    fn answers(&self) {
        until(LIMIT, "etcd answers", || TcpStream::connect((self.address, self.port())).ok());
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // it may have been stopped
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, credential: Option<&Path>, address: IpAddr, [port, peer]: [u16; 2]) -> Child {
    let scheme = if credential.is_some() { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://{address}:{port}"), format!("http://{address}:{peer}"));
    let file = |flag: &str, name: &str| credential.map(|folder| format!("{flag}={}", folder.join(name).display()));
    let secure = [
        file("--cert-file", "credential.pem"),
        file("--key-file", "credential.pem"),
        file("--trusted-ca-file", "ca.pem"),
        credential.map(|_| "--client-cert-auth".to_owned()),
    ];
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(secure.into_iter().flatten())
        // alone as it is, it need not wait a second for others to vote
        .args(["--heartbeat-interval", "20", "--election-timeout", "200", "--logger", "zap", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd starts: install it with `./deploy/packages test`")
}
