//! A site on machines of its own: what it stands on and the bus on one, identity on another, compute on two more.

use crate::{
    common::{Did, LIMIT, Typed, cirro, did, etcd::Etcd, log_in, tell_logs, until, within},
    load::{Client, Load},
    network::{Machine, Network},
    postgres::Postgres,
};
use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

/// The site's name.
const NAME: &str = "split";
/// The numbers of the machines: PostgreSQL, etcd, the bus, storage, images, and people.
const GROUND: usize = 1;
const IDENTITY: usize = 2;
const COMPUTE: [usize; 2] = [3, 4];
/// Those without anything: for nodes.
pub const FREE: [usize; 2] = [5, 6];
/// Where each process listens: name, service, machine, port.
const PROCESSES: [(&str, &str, usize, u16); 5] = [
    ("identity-1", "identity", IDENTITY, 7101),
    ("compute-1", "compute", COMPUTE[0], 7102),
    ("compute-2", "compute", COMPUTE[1], 7102),
    ("storage-1", "storage", GROUND, 7103),
    ("images-1", "images", GROUND, 7104),
];
/// The folder of the administrator's profile.
const PROFILE: &str = "config";
/// Where people call the bus, and where nodes do.
const PORTS: [u16; 2] = [7443, 7444];

/// A site that runs until this is dropped.
pub struct Split {
    processes: Vec<(&'static str, Child)>,
    postgres: Postgres,
    etcd: Etcd,
    pub network: Network,
    folder: TempDir,
}

impl Split {
    /// One of which all answers.
    pub fn start() -> Self {
        let network = Network::start(6);
        let folder = tempfile::Builder::new().prefix("cirro-split-").tempdir_in("/var/tmp").unwrap();
        // the users postgres and www-data pass through
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (own, ground) = (folder.path(), network.machine(GROUND));
        ["logs", "images"].iter().for_each(|name| fs::create_dir(own.join(name)).unwrap());
        let mut init = cirro(&own.join(PROFILE));
        init.args(["site", "init", "--name", NAME, "--edge", &ground.address.to_string(), "--dir"]);
        did(init.arg(own.join("site"))).text();
        let registry = own.join("site/registry");
        let (postgres, etcd) =
            ground.inside(|| (Postgres::start(own, ground.address), Etcd::secure(own, ground.address, &registry)));
        let mut site = Self { processes: Vec::new(), postgres, etcd, network, folder };
        for (name, service, machine, port) in PROCESSES {
            site.serve(name, service, machine, port);
        }
        site.bus();
        until(LIMIT, "identity lets the administrator in", || (site.log_in().code == 0).then_some(()));
        for noun in ["user", "flavor", "volume", "image"] {
            until(LIMIT, &format!("{noun} list answers"), || (site.cirro(&[noun, "list"]).code == 0).then_some(()));
        }
        site
    }
    /// Logs the administrator in, who gets a new token.
    pub fn log_in(&self) -> Did {
        self.ground().inside(|| log_in(&self.profile(), &self.url(), &self.path("site")))
    }
    fn ground(&self) -> &Machine {
        self.network.machine(GROUND)
    }
    /// The machine that a process is on.
    pub fn machine_of(&self, process: &str) -> &Machine {
        let (_, _, machine, _) = PROCESSES.into_iter().find(|(name, ..)| *name == process).unwrap();
        self.network.machine(machine)
    }
    /// Starts a process as its unit of systemd does.
    fn serve(&mut self, name: &'static str, service: &str, machine: usize, port: u16) {
        let database = format!("{NAME}_{service}");
        // the second of a service finds it there
        let create = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(cirro_server::db::create(&self.postgres.url, &database)).unwrap();
        };
        self.ground().inside(create);
        let url = format!("{}{database}", self.postgres.url.strip_suffix("postgres").unwrap());
        let listen = SocketAddr::new(self.network.machine(machine).address, port).to_string();
        let mut command = cirro(&self.profile());
        command.args(["serve", service, "--until-stdin-closes", "--listen", &listen, "--registry", &self.registry()]);
        command.arg("--credential").arg(self.path("site").join(service)).env("CIRRO_DATABASE", url);
        match service {
            "identity" => {
                command.arg("--authority").arg(self.path("site/authority"));
                command.arg("--first-admin").arg(self.path("site/first-admin.json"));
            }
            "images" => {
                command.arg("--data").arg(self.path("images"));
            }
            _ => {}
        }
        self.spawn(name, machine, command);
    }
    fn bus(&mut self) {
        let [listen, nodes] = PORTS.map(|port| SocketAddr::new(self.ground().address, port).to_string());
        let mut command = cirro(&self.profile());
        command.args(["site", "bus", "--watch", "--until-stdin-closes", "--registry", &self.registry()]);
        command.args(["--listen", &listen, "--nodes-listen", &nodes, "--credential"]).arg(self.path("site/bus"));
        command.arg("--dir").arg(self.path("bus"));
        self.spawn("bus", GROUND, command);
    }
    fn spawn(&mut self, name: &'static str, machine: usize, mut command: Command) {
        let log = File::create(self.log(name)).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = self.network.machine(machine).inside(|| command.spawn()).unwrap();
        self.processes.push((name, child));
    }
    fn registry(&self) -> String {
        format!("{}/cirro/{NAME}", self.etcd.url())
    }
    fn url(&self) -> String {
        format!("https://{}:{}", self.ground().address, PORTS[0])
    }
    /// Where nodes call.
    pub fn nodes(&self) -> String {
        format!("https://{}:{}", self.ground().address, PORTS[1])
    }
    /// A path in the site's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
    fn profile(&self) -> PathBuf {
        self.path(PROFILE)
    }
    fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("logs/{name}.log"))
    }
    /// Whether a process has logged a text.
    pub fn has_logged(&self, name: &str, text: &str) -> bool {
        fs::read_to_string(self.log(name)).unwrap().contains(text)
    }
    /// Load from a plain client of the bus, with the administrator's token.
    pub fn load(&self) -> Load {
        let token = self.cirro(&["token"]).text();
        let ca = self.path("site/authority/ca.pem");
        let client = Client::new(SocketAddr::new(self.ground().address, PORTS[0]), &ca, token.trim());
        self.ground().inside(|| Load::start(Arc::new(client)))
    }
    /// Waits until the bus has had so many more answers of this status from a process.
    pub fn until_answered(&self, name: &str, status: u16, times: usize) {
        let (_, _, machine, port) = PROCESSES.into_iter().find(|(own, ..)| *own == name).unwrap();
        let address = SocketAddr::new(self.network.machine(machine).address, port);
        let answer = format!("\"upstream\":\"{address}\",\"upstream_status\":\"{status}\"");
        let count = || fs::read_to_string(self.path("bus/access.log")).unwrap_or_default().matches(&answer).count();
        let before = count();
        until(LIMIT, &format!("{name} answers {status} {times} times"), || (count() >= before + times).then_some(()));
    }
}

impl Typed for Split {
    fn cirro(&self, words: &[&str]) -> Did {
        self.ground().inside(|| did(cirro(&self.profile()).args(words)))
    }
}

impl Drop for Split {
    fn drop(&mut self) {
        // or they could not tell each other that they end
        self.network.heal();
        let mut failed = Vec::new();
        // nobody outlives whom it follows: compute and storage follow identity, and all stand behind the bus
        for turn in ["bus", "storage images", "compute", "identity"] {
            let of_turn = |name: &str| turn.split(' ').any(|service| name.starts_with(service));
            let (mut ends, rest) = self.processes.drain(..).partition::<Vec<_>, _>(|(name, _)| of_turn(name));
            self.processes = rest;
            ends.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
            for (name, mut child) in ends {
                let ended = within(LIMIT, || child.try_wait().ok().flatten());
                if !ended.is_some_and(|status| status.success()) {
                    // it may have ended by itself
                    let _ = child.kill();
                    let _ = child.wait();
                    failed.push(name);
                }
            }
        }
        if std::thread::panicking() {
            tell_logs(&self.path("logs"));
        } else {
            assert!(failed.is_empty(), "{failed:?} did not end well");
        }
    }
}
