//! A site as its operator has it: the process `cirro up`, its folder, and the commands that are typed.

pub use crate::process::{Did, LIMIT, Up, signal, until};
use crate::{
    common::{cirro, did, only_is_found},
    loud::nothing_is_loud,
};
use cirro_client::{Http, Login, Session};
use cirro_models::identity::Secret;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::BigInt};
use serde_json::Value;
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

/// A site in a folder of its own.
pub struct Site {
    pub home: TempDir,
    words: Vec<String>,
    /// Without scheme: the first start takes any port, later ones the same, because the profile names it.
    pub address: String,
    up: Option<Up>,
    allowed: Vec<String>,
}

impl Site {
    /// One that has not been started, with these further words for `cirro up`.
    pub fn prepared(words: &[&str]) -> Self {
        // the user that QEMU runs as must be able to reach it
        let home = tempfile::Builder::new().prefix("cirro-site-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { home, words, address: "127.0.0.1:0".to_owned(), up: None, allowed: Vec::new() }
    }
    /// A running one without guests of its own, with simulated nodes that are ready.
    pub fn simulated(nodes: usize) -> Self {
        let mut site = Self::prepared(&["--no-agent", "--simulate", &nodes.to_string()]);
        site.start();
        until(LIMIT, "the nodes are ready", || {
            let listed = site.cirro(&["node", "list", "-o", "json"]).json();
            let ready = listed["items"].as_array().unwrap().iter().filter(|node| node["status"] == "ready").count();
            (ready == nodes).then_some(())
        });
        site
    }
    /// A test is about to provoke warnings with these words.
    pub fn allow(&mut self, words: &[&str]) {
        self.allowed.extend(words.iter().map(|&word| word.to_owned()));
    }
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
    pub fn profile(&self) -> PathBuf {
        self.home.path().join("config/profile.json")
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = cirro(&self.home.path().join("config"));
        command.args(words);
        command
    }
    /// `cirro` with these words, until it ends.
    pub fn cirro(&self, words: &[&str]) -> Did {
        did(&mut self.command(words))
    }
    /// Starts `cirro up` with these words, and does not wait.
    pub fn up(&self, data: &Path, listen: &str, words: &[&str], env: &[(&str, &str)]) -> Up {
        let id = uuid::Uuid::now_v7();
        let (out, log) = (self.home.path().join(format!("{id}.out")), self.home.path().join(format!("{id}.log")));
        let mut command = self.command(&["up", "--listen", listen, "--data"]);
        command.arg(data).args(words).envs(env.iter().copied());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        Up::new(command.spawn().unwrap(), out, log)
    }
    /// Starts it and waits until it answers: what it has said.
    pub fn start(&mut self) -> String {
        assert!(self.up.is_none(), "it runs already");
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut up = self.up(&self.data(), &self.address, &words, &[]);
        self.address = up.address();
        let told = fs::read_to_string(&up.out).unwrap();
        self.up = Some(up);
        told
    }
    pub fn process(&mut self) -> &mut Up {
        self.up.as_mut().unwrap()
    }
    /// Told to end; ends well. What it has logged.
    pub fn stop(&mut self) -> String {
        only_is_found(&self.cirro(&["audit", "-o", "json"]), &[]);
        let mut up = self.up.take().unwrap();
        let status = up.terminate();
        let log = fs::read_to_string(&up.log).unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
    pub fn kill(&mut self) {
        self.up.take().unwrap().kill();
    }
    /// The administrator's login, for requests that no command makes.
    pub fn session(&self) -> Session {
        let profile: Value = serde_json::from_slice(&fs::read(self.profile()).unwrap()).unwrap();
        let text = |field: &str| profile[field].as_str().unwrap().to_owned();
        let login = Login { name: text("user"), secret: Secret::new(text("password")), project: Some(text("project")) };
        Session::new(Arc::new(Http::new(&text("url"), None).unwrap()), login)
    }
    /// Uploads a small image without an operating system: simulated nodes start it as well as any.
    pub fn image(&self) -> String {
        let file = self.home.path().join("small.qcow2");
        let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg("64M").status();
        assert!(made.unwrap().success());
        let image = self.cirro(&["image", "create", "--file", file.to_str().unwrap(), "--wait", "-o", "json"]).json();
        assert_eq!(image["status"], "ready");
        image["id"].as_str().unwrap().to_owned()
    }
    /// The id of the thing with this name.
    pub fn id(&self, noun: &str, name: &str) -> String {
        self.cirro(&[noun, "show", name, "-o", "json"]).json()["id"].as_str().unwrap().to_owned()
    }
    /// One number out of a service's database: for the books that no API shows.
    pub fn number(&self, service: &str, select: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let url = format!("file:{}?mode=ro", self.data().join(format!("{service}.sqlite")).display());
        let mut database = SqliteConnection::establish(&url).unwrap();
        sql_query(format!("SELECT coalesce(({select}), 0) AS number"))
            .get_result::<Number>(&mut database)
            .unwrap()
            .number
    }
}

/// At a site that runs the audit finds nothing, and nothing has warned of what no test has provoked.
impl Drop for Site {
    fn drop(&mut self) {
        let runs = self.up.as_mut().is_some_and(|up| !up.has_ended());
        if runs && !std::thread::panicking() {
            only_is_found(&self.cirro(&["audit", "-o", "json"]), &[]);
        }
        self.up = None;
        if !std::thread::panicking() {
            nothing_is_loud(&[self.home.path()], &self.allowed);
        }
    }
}
