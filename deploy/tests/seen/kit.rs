//! A site of real processes with its own etcd.

use crate::{
    common::{cirro, did, etcd::Etcd, free_port},
    loud::nothing_is_loud,
    process::{Did, LIMIT, Up, until},
};
use openssl::base64::encode_block;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
};
use tempfile::TempDir;

pub struct Several {
    // ends before its folder does
    etcd: Etcd,
    pub home: TempDir,
    pub url: String,
    name: String,
    up: Option<Up>,
    allowed: Vec<String>,
}

impl Several {
    /// A running site with so many processes of each service.
    pub fn start(workers: &str) -> Self {
        Self::with(workers, &[])
    }
    /// The same with these variables.
    pub fn with(workers: &str, env: &[(&str, &str)]) -> Self {
        // nginx's workers pass through to what they write
        let home = tempfile::Builder::new().prefix("cirro-seen-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let etcd = Etcd::start(home.path());
        let name = format!("seen-{}", fastrand::u32(..));
        let mut site = Self { home, etcd, url: String::new(), name, up: None, allowed: Vec::new() };
        site.up(workers, env);
        site
    }
    fn up(&mut self, workers: &str, env: &[(&str, &str)]) {
        let postgres = std::env::var("CIRRO_TEST_POSTGRES").expect(
            "CIRRO_TEST_POSTGRES is not set: run `deploy/postgres start DIR` and set it to the URL that this prints",
        );
        let listen = format!("127.0.0.1:{}", free_port());
        let (out, log) = (self.home.path().join("up.out"), self.home.path().join("up.log"));
        let mut command = self.command(&["site", "up", "--name", &self.name, "--workers", workers, "--data"]);
        command.arg(self.data()).args(["--etcd", &self.etcd.url()]);
        command.args(["--listen", &listen, "--nodes-listen", &format!("127.0.0.1:{}", free_port())]);
        command.env("CIRRO_POSTGRES", postgres).envs(env.iter().copied());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        let mut up = Up::new(command.spawn().unwrap(), out, log);
        self.url = format!("https://{listen}");
        until(LIMIT, "the site answers", || {
            assert!(!up.has_ended(), "cirro site up has ended: {}", fs::read_to_string(&up.log).unwrap());
            fs::read_to_string(&up.out).unwrap().contains("the site answers at").then_some(())
        });
        self.up = Some(up);
    }
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
    pub fn ca(&self) -> PathBuf {
        self.data().join("site/authority/ca.pem")
    }
    /// A test is about to provoke warnings with these words.
    pub fn allow(&mut self, words: &[&str]) {
        self.allowed.extend(words.iter().map(|&word| word.to_owned()));
    }
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = cirro(&self.home.path().join("config"));
        command.args(words);
        command
    }
    /// `cirro` with these words, until it ends.
    pub fn cirro(&self, words: &[&str]) -> Did {
        did(&mut self.command(words))
    }
    /// The same under this request id.
    pub fn asking(&self, id: &str, words: &[&str]) -> Did {
        did(self.command(words).env("CIRRO_REQUEST_ID", id))
    }
    /// `cirro site …` about this site.
    pub fn seen(&self, words: &[&str]) -> Did {
        let mut command = self.command(&["site"]);
        did(command.args(words).arg("--data").arg(self.data()))
    }
    /// Puts something into the registry.
    pub fn put(&self, key: &str, value: &[u8]) {
        let body = json!({"key": encode_block(key.as_bytes()), "value": encode_block(value)}).to_string();
        let mut etcd = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.etcd.port()))).unwrap();
        let head = format!("POST /v3/kv/put HTTP/1.0\r\nhost: etcd\r\ncontent-length: {}\r\n\r\n", body.len());
        etcd.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        etcd.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    pub fn prefix(&self) -> String {
        format!("/cirro/{}", self.name)
    }
    /// The address of a process of this service.
    pub fn address(&self, service: &str) -> String {
        let listed = self.seen(&["registry", "-o", "json"]).json();
        let own = listed["items"].as_array().unwrap().iter().find(|item| item["service"] == service);
        own.unwrap()["address"].as_str().unwrap().to_owned()
    }
    /// The lines of the logs that belong to a request, once enough of them are there: files are written with a delay.
    pub fn story(&self, id: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let told = || -> Vec<Value> {
            let told = self.seen(&["logs", "--request", id, "-o", "json"]).text();
            told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        until(LIMIT, "the story of a request", || enough(&told()).then_some(()));
        // a line that came while the files were read may stand behind what is newer
        told()
    }
}

/// A site ends well, and has warned of nothing that its test did not provoke.
impl Drop for Several {
    fn drop(&mut self) {
        let ended = self.up.take().map(|mut up| up.terminate());
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|status| status.success()));
            let data = self.data();
            nothing_is_loud(&[self.home.path(), &data.join("logs"), &data.join("bus")], &self.allowed);
        }
    }
}
