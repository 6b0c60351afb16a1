//! A site of several processes, with the servers that it stands on, in a folder of its own.

use crate::{
    common::{
        Did, LIMIT, LOOPBACK, Typed, cirro, did, etcd::Etcd, free_port, log_in, only_is_found, signal, tell_logs, until,
    },
    load::Client,
    postgres::Postgres,
};
use cirro_client::{Credential, registry::Registry};
use cirro_models::Result;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tempfile::TempDir;

/// One site at a time: each is nine processes, and the machine has few processors.
static TURN: Mutex<()> = Mutex::new(());

/// A site that runs until this is dropped.
pub struct Many {
    up: Child,
    pub etcd: Etcd,
    pub postgres: Postgres,
    pub url: String,
    /// Where nodes call.
    pub nodes: String,
    pub folder: TempDir,
    /// The codes of what the audit finds at the end.
    pub found: Vec<&'static str>,
    _turn: MutexGuard<'static, ()>,
}

/// What a process logs when it has begun to serve.
const SERVES: &str = "the process serves";

/// The folder of the administrator's profile.
const PROFILE: &str = "config";

/// The services, with two processes of each.
pub const SERVICES: [&str; 4] = ["identity", "compute", "storage", "images"];

impl Many {
    /// Two processes of each service, a bus, PostgreSQL and etcd; all of it answers.
    pub fn start() -> Self {
        Self::with(&[])
    }
    /// The same with so many simulated nodes, which have joined.
    pub fn simulated(nodes: usize, words: &[&str]) -> Self {
        Self::with(&[&["--simulate", &nodes.to_string()], words].concat())
    }
    fn with(words: &[&str]) -> Self {
        let any = || format!("127.0.0.1:{}", free_port());
        let site = Self::at([any(), any()], words, |_, _| {});
        site.login();
        site
    }
    /// The same, made from a backup, where another one was.
    pub fn put_back(backup: &Path, place: [String; 2]) -> Self {
        let site = Self::at(place, &[], |folder, postgres| {
            let mut command = cirro(&folder.join(PROFILE));
            command.args(["site", "restore", "--name", "many", "--from"]).arg(backup).arg("--data");
            did(command.arg(folder.join("up")).env("CIRRO_POSTGRES", &postgres.url)).text();
        });
        site.login();
        site
    }
    /// Logs the first administrator in.
    fn login(&self) {
        log_in(&self.profile(), &self.url, &self.data("site")).text();
    }
    /// Where people and nodes call.
    pub fn place(&self) -> [String; 2] {
        [&self.url, &self.nodes].map(|url| url.trim_start_matches("https://").to_owned())
    }
    fn at([listen, nodes]: [String; 2], words: &[&str], prepare: impl FnOnce(&Path, &Postgres)) -> Self {
        // one that failed before this one leaves nothing behind
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("cirro-many-").tempdir_in("/var/tmp").unwrap();
        // the users postgres and www-data pass through
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = Postgres::start(folder.path(), LOOPBACK);
        prepare(folder.path(), &postgres);
        let mut init = cirro(&folder.path().join(PROFILE));
        let site = folder.path().join("up/site");
        did(init.args(["site", "init", "--name", "many", "--edge", "127.0.0.1", "--dir"]).arg(&site)).text();
        let etcd = Etcd::secure(folder.path(), LOOPBACK, &site.join("registry"));
        let (out, log) = (folder.path().join("up.out"), folder.path().join("up.log"));
        let mut command = cirro(&folder.path().join(PROFILE));
        command.args([
            "site",
            "up",
            "--name",
            "many",
            "--workers",
            "identity=2,compute=2,storage=2,images=2",
            "--data",
        ]);
        command.arg(folder.path().join("up")).args(["--etcd", &etcd.url(), "--listen", &listen]);
        command.args(["--nodes-listen", &nodes]).args(words).env("CIRRO_POSTGRES", &postgres.url);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        let mut up = command.spawn().unwrap();
        until(LIMIT, "the site answers", || {
            let ended = up.try_wait().unwrap();
            assert!(ended.is_none(), "cirro site up has ended: {}", fs::read_to_string(&log).unwrap());
            fs::read_to_string(&out).unwrap().contains("the site answers at").then_some(())
        });
        let [url, nodes] = [listen, nodes].map(|address| format!("https://{address}"));
        Self { up, etcd, postgres, url, nodes, folder, found: Vec::new(), _turn: turn }
    }
    /// `cirro` with these words and variables, until it ends.
    pub fn cirro_with(&self, words: &[&str], env: &[(&str, &str)]) -> Did {
        did(cirro(&self.profile()).args(words).envs(env.iter().copied()))
    }
    fn profile(&self) -> PathBuf {
        self.folder.path().join(PROFILE)
    }
    /// A plain client with the administrator's token.
    pub fn client(&self) -> Arc<Client> {
        let token = self.cirro(&["token"]).text();
        let ca = self.data("site/authority/ca.pem");
        let address = self.url.trim_start_matches("https://").parse().unwrap();
        Arc::new(Client::new(address, &ca, token.trim()))
    }
    /// A path in the site's folder.
    pub fn data(&self, path: &str) -> PathBuf {
        self.folder.path().join("up").join(path)
    }
    /// The processes that run now.
    pub fn processes(&self) -> BTreeMap<String, u32> {
        // between the end of one and its next start, it is not there
        fs::read(self.data("processes.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }
    /// The number of a process, as soon as it runs as another than `before`.
    pub fn pid(&self, name: &str, before: Option<u32>) -> u32 {
        until(LIMIT, &format!("{name} runs"), || self.processes().get(name).copied().filter(|pid| Some(*pid) != before))
    }
    /// Sends a signal to a process, and says which number it had.
    pub fn signal(&self, name: &str, signal_name: &str) -> u32 {
        let pid = self.pid(name, None);
        signal(signal_name, pid);
        pid
    }
    /// The registry's part of a service, as an operator opens it.
    pub fn registry(&self, service: &str) -> Registry {
        let credential = Credential::load(&self.data("site/bus")).unwrap();
        self.registry_as(service, &credential).unwrap()
    }
    /// The same, as the holder of another credential.
    pub fn registry_as(&self, service: &str, credential: &Credential) -> Result<Registry> {
        let tls = credential.registry_tls(&credential.tls()?);
        Registry::open(&format!("{}/cirro/many/{service}", self.etcd.url()), Some(tls))
    }
    /// How many processes of a service are in the registry.
    pub fn registered(&self, service: &str) -> usize {
        let registry = self.registry(service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(registry.members()).map_or(0, |members| members.len())
    }
    /// Waits until this many of a service are in the registry.
    pub fn until_registered(&self, service: &str, count: usize) {
        until(LIMIT, &format!("{count} of {service} are registered"), || {
            (self.registered(service) == count).then_some(())
        });
    }
    /// Waits until a process has logged a text so many times, over all of its starts.
    pub fn until_logged(&self, name: &str, text: &str, times: usize) {
        let log = self.data(&format!("logs/{name}.log"));
        until(LIMIT, &format!("{name} has logged {text:?} {times} times"), || {
            (fs::read_to_string(&log).unwrap_or_default().matches(text).count() >= times).then_some(())
        });
    }
    /// How often a process has begun to serve.
    pub fn starts(&self, name: &str) -> usize {
        fs::read_to_string(self.data(&format!("logs/{name}.log"))).unwrap_or_default().matches(SERVES).count()
    }
    /// Waits until a process has begun to serve so often.
    pub fn until_serving(&self, name: &str, starts: usize) {
        self.until_logged(name, SERVES, starts);
    }
    /// Where a process serves.
    pub fn address(&self, name: &str) -> String {
        let log = fs::read_to_string(self.data(&format!("logs/{name}.log"))).unwrap();
        let line = log.lines().rev().find(|line| line.contains(SERVES)).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        line["address"].as_str().unwrap().to_owned()
    }
    /// Waits until the bus has an answer from a process again. nginx leaves one alone for a second that has failed.
    pub fn until_asked(&self, name: &str) {
        let answered = format!("\"upstream\":\"{}\",\"upstream_status\":\"200\"", self.address(name));
        let access = self.data("bus/access.log");
        let before = fs::read_to_string(&access).unwrap_or_default().len();
        until(LIMIT, &format!("{name} gets requests"), || {
            fs::read_to_string(&access).unwrap_or_default().get(before..)?.contains(&answered).then_some(())
        });
    }
}

impl Typed for Many {
    fn cirro(&self, words: &[&str]) -> Did {
        self.cirro_with(words, &[])
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            only_is_found(&self.cirro(&["audit", "-o", "json"]), &self.found);
        }
        signal("TERM", self.up.id());
        let ended = self.up.wait();
        if std::thread::panicking() {
            eprintln!("the site's folder was {}", self.folder.path().display());
            tell_logs(&self.data("logs"));
        } else {
            assert!(ended.unwrap().success(), "{}", fs::read_to_string(self.folder.path().join("up.log")).unwrap());
        }
    }
}
