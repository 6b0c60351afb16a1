//! What the tests with a real libvirt have in common. They need two variables and fail without them, because a test
//! that is silently left out proves nothing.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "a kit for tests; each uses a part of it")]

use cirro_models::{
    Bytes, Generation, GiB, Id, MiB, Name, Vcpus,
    compute::{
        Instance, Node,
        assignment::{ImageSpec, InstanceSpec},
        instance::{InstanceStatus, Power, UserData},
        report::InstanceSeen,
    },
    images::machine_image::ImageFormat,
};
use cirro_node_agent::{
    config::{AcceleratorChoice, Config},
    hypervisor::Libvirt,
};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    desk::Desk,
};
use openssl::sha::sha256;
use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// A guest under emulation on a busy machine has booted by then.
pub const BOOT: Duration = Duration::from_mins(2);
/// Everything that needs no boot has happened by then.
pub const SOON: Duration = Duration::from_secs(30);

/// A node of its own on this machine's libvirt, and its control plane.
pub struct Bench {
    pub desk: Arc<Desk>,
    pub config: Config,
    pub uri: String,
    image: ImageSpec,
    agent: Option<JoinHandle<Ended>>,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        let uri = variable("CIRRO_TEST_LIBVIRT", "such as qemu:///system; deploy/libvirt start makes it answer");
        let guest = PathBuf::from(variable("CIRRO_TEST_GUEST", "the demo guest that deploy/guest/build makes"));
        let bytes =
            std::fs::read(&guest).unwrap_or_else(|error| panic!("CIRRO_TEST_GUEST={}: {error}", guest.display()));
        let image = ImageSpec {
            id: Id::new(),
            sha256: hex_digest(&bytes),
            format: ImageFormat::Qcow2,
            size_bytes: Bytes::new(i64::try_from(bytes.len()).unwrap()),
        };
        let directory = tempfile::Builder::new().prefix("cirro-test-").tempdir_in("/var/tmp").unwrap();
        let config = Config {
            url: "http://127.0.0.1:1".to_owned(),
            node_id: Id::<Node>::new(),
            credential: None,
            credential_file: None,
            credential_dir: None,
            data_dir: directory.path().join("node"),
            pool_dir: None,
            libvirt_uri: uri.clone(),
            accelerator: AcceleratorChoice::Tcg,
            probe_kernel: None,
            disk_reserve_mib: 64,
            concurrency: 4,
        };
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let desk = Arc::new(Desk::new(Some(guest)));
        let mut bench = Self { desk, config, uri, image, agent: None, _directory: directory };
        bench.start_agent().await;
        bench
    }

    pub async fn start_agent(&mut self) {
        let hypervisor = Libvirt::open(&self.config, self.desk.clone()).await.unwrap_or_else(|failure| {
            panic!("{}", failure.with_causes());
        });
        let settings =
            Settings { look: Duration::from_secs(1), heartbeat: Duration::from_secs(2), ..Settings::default() };
        let agent = Agent::new(self.desk.clone(), Arc::new(hypervisor), settings);
        self.agent = Some(tokio::spawn(agent.run(std::future::pending())));
    }

    /// Like `kill -9`.
    pub async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            assert!(agent.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    pub fn spec(&self, name: &str) -> InstanceSpec {
        InstanceSpec {
            id: Id::new(),
            project_id: Id::new(),
            name: Name::parse(name).unwrap(),
            generation: Generation::new(1),
            power: Power::Running,
            force_stop: false,
            vcpus: Vcpus::new(1),
            memory_mib: MiB::new(128),
            disk_gib: GiB::new(1),
            image: self.image.clone(),
            root_generation: Generation::new(0),
            ssh_keys: vec![
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Qm2f1y0Zk9rT7cX4vB6nH3sL5pD2wE1uG0aKqYtVx test".to_owned(),
            ],
            user_data: None,
        }
    }

    pub fn spec_that_runs(&self, name: &str, script: &str) -> InstanceSpec {
        InstanceSpec { user_data: Some(UserData::new(script)), ..self.spec(name) }
    }

    /// Waits until the instance was reported as looked for.
    pub async fn seen(
        &self,
        id: Id<Instance>,
        what: &str,
        limit: Duration,
        is: impl Fn(&InstanceSeen) -> bool,
    ) -> InstanceSeen {
        self.desk
            .wait(what, limit, |papers| papers.seen.get(&id).filter(|seen| is(seen)).cloned())
            .await
            .unwrap_or_else(|late| panic!("{late}\nconsole:\n{}", self.console_file(id)))
    }
    pub async fn running(&self, id: Id<Instance>) -> InstanceSeen {
        self.seen(id, "the guest runs", SOON, |seen| seen.status == InstanceStatus::Running).await
    }

    pub fn console_file(&self, id: Id<Instance>) -> String {
        let path = self.config.data_dir.join("instances").join(id.to_string()).join("console.log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Asks for the console text until it holds this.
    pub async fn console(&self, id: Id<Instance>, part: &str, limit: Duration) -> String {
        let ask_until = async {
            loop {
                let question = self.desk.ask(id);
                let read = self.desk.wait("a console text", SOON, |papers| papers.texts.get(&question).cloned()).await;
                let text = read.unwrap().text.unwrap_or_default();
                if text.contains(part) {
                    return text;
                }
                // Nothing tells when a guest prints: look again after a moment.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let text = tokio::time::timeout(limit, ask_until).await;
        text.unwrap_or_else(|_| panic!("the console never said {part:?}:\n{}", self.console_file(id)))
    }

    /// Waits until the guest's domain is in this state, in virsh's words.
    pub async fn domain_is(&self, id: Id<Instance>, state: &str, limit: Duration) {
        let poll = async {
            while self.virsh(&["domstate", &id.to_string()]).trim() != state {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(limit, poll).await.unwrap_or_else(|_| panic!("the domain never was {state}"));
    }

    pub fn virsh(&self, arguments: &[&str]) -> String {
        let output = Command::new("virsh").arg("-c").arg(&self.uri).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Removes guests by tombstone and sees them gone.
    pub async fn bury(&self, ids: &[Id<Instance>]) {
        for id in ids {
            self.desk.bury(*id);
        }
        let gone =
            self.desk.wait("all guests are gone", SOON, |papers| papers.tombstones.is_empty().then_some(())).await;
        gone.unwrap_or_else(|late| panic!("{late}"));
        for id in ids {
            assert!(self.virsh(&["domstate", &id.to_string()]).contains("failed to get domain"), "the domain is gone");
            assert!(!self.config.data_dir.join("instances").join(id.to_string()).exists(), "its files are gone");
        }
    }
}

/// A test that failed leaves no guest of its own behind.
impl Drop for Bench {
    fn drop(&mut self) {
        // First, or it would start them again.
        if let Some(agent) = self.agent.take() {
            agent.abort();
        }
        for entry in std::fs::read_dir(self.config.data_dir.join("instances")).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            self.virsh(&["destroy", &id]);
            self.virsh(&["undefine", &id]);
        }
    }
}

pub fn variable(name: &str, remedy: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("this test needs the variable {name}: {remedy}"))
}

fn hex_digest(bytes: &[u8]) -> String {
    sha256(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
