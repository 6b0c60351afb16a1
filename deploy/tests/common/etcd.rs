//! The registry of a site, its own for a test.

use super::{LIMIT, free_port, until};
use std::{
    fs::File,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// An etcd server.
pub struct Etcd {
    folder: PathBuf,
    ports: [u16; 2],
    process: Child,
}

impl Etcd {
    /// One with its data in a folder within this one.
    pub fn start(folder: &Path) -> Self {
        let folder = folder.join("etcd");
        std::fs::create_dir(&folder).unwrap();
        let ports = [free_port(), free_port()];
        let process = launch(&folder, ports);
        let etcd = Self { folder, ports, process };
        etcd.answers();
        etcd
    }
    pub fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port())
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
        self.process = launch(&self.folder, self.ports);
        self.answers();
    }
    fn answers(&self) {
        until(LIMIT, "etcd answers", || TcpStream::connect(("127.0.0.1", self.port())).ok());
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // it may have been stopped
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, [port, peer]: [u16; 2]) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.join("data"))
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
