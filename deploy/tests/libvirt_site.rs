//! One site with the real agent, libvirt and a guest that boots: what happens to guests while their site is used,
//! hurt, switched off and put back to an earlier day. It needs `CIRRO_TEST_LIBVIRT` and `CIRRO_TEST_GUEST`, which
//! `deploy/test` sets. One site serves for everything, because every boot costs seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "the kit is shared with site")]

#[path = "common/mod.rs"]
mod common;
#[path = "site/kit.rs"]
mod kit;
#[path = "site/loud.rs"]
mod loud;
#[path = "site/process.rs"]
mod process;

use kit::{Site, signal, until};
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};

/// A boot takes 5–20 s without KVM, several at once on a busy machine as many times that.
const BOOT: Duration = Duration::from_secs(240);
/// The agent's start includes a trial of KVM.
const READY: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

/// A setting without which this test can't say anything.
fn needed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run deploy/test, which starts what tests need"))
}

fn virsh(words: &[&str]) -> String {
    let done = Command::new("virsh").args(["-c", &needed("CIRRO_TEST_LIBVIRT")]).args(words).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)).trim().to_owned()
}

/// Domains that are removed at the end, however the test ends.
#[derive(Default)]
struct Domains(Vec<String>);
impl Drop for Domains {
    fn drop(&mut self) {
        for domain in &self.0 {
            // most of them are gone when all is well
            virsh(&["destroy", domain]);
            virsh(&["undefine", domain]);
        }
    }
}

/// The site first: it must be stopped before its guests' domains are removed, or it would bring them back.
struct Bench {
    site: Site,
    domains: Domains,
}

impl Bench {
    fn start() -> Self {
        let (libvirt, guest) = (needed("CIRRO_TEST_LIBVIRT"), needed("CIRRO_TEST_GUEST"));
        assert!(Path::new(&guest).exists(), "there is no {guest}: run deploy/guest/build");
        common::program("cirro-node-agent");
        assert!(virsh(&["version"]).contains("QEMU"), "{libvirt} does not answer: run deploy/libvirt start");
        let mut bench = Self { site: Site::prepared(&[]), domains: Domains::default() };
        // agents and sites are killed here, and databases put back to an earlier day
        bench.site.allow(&[
            "agent.ended",
            "feed.put_back",
            "no orders from the control plane",
            "client_endpoint_ejected",
        ]);
        bench.site.start();
        bench.node_ready();
        bench.typed(&["image", "create", "--name", "demo", "--file", &guest, "--wait"]);
        bench
    }
    fn typed(&self, words: &[&str]) -> String {
        self.site.cirro(words).text()
    }
    fn json(&self, words: &[&str]) -> Value {
        self.site.cirro(&[words, &["-o", "json"]].concat()).json()
    }
    fn node_ready(&self) {
        until(READY, "the node is ready", || {
            let node = self.json(&["node", "list"])["items"][0].clone();
            (node["status"] == "ready").then_some(())
        });
    }
    /// A new instance's id, which is its domain's too.
    fn launch(&mut self, name: &str) -> String {
        let words = ["instance", "create", "--name", name, "--image", "demo", "--flavor", "tiny"];
        let id = self.json(&words)["id"].as_str().unwrap().to_owned();
        self.domains.0.push(id.clone());
        self.until_running(name);
        id
    }
    fn until_running(&self, name: &str) {
        until(BOOT, &format!("{name} runs"), || {
            let instance = self.json(&["instance", "show", name]);
            assert_ne!(instance["status"], "failed", "{instance}");
            (instance["status"] == "running").then_some(())
        });
    }
    /// What the guest has printed, as soon as that includes these words so many times.
    fn console(&self, name: &str, words: &str, times: usize) -> String {
        until(BOOT, &format!("the console of {name} says '{words}' {times} times"), || {
            let text = self.site.cirro(&["instance", "console-log", name]).out;
            (text.matches(words).count() >= times).then_some(text)
        })
    }
}

/// The agents that are children of this process.
fn agents(parent: u32) -> Vec<u32> {
    let found = Command::new("pgrep").args(["-P", &parent.to_string(), "-f", "cirro-node-agent"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn guests_live_through_what_happens_to_their_site() {
    let mut bench = Bench::start();
    let foreign = Foreign::start(&mut bench);
    let web1 = bench.launch("web1");

    it_boots_and_tells_its_address(&bench, &web1);
    a_volume_comes_and_goes(&bench);
    a_killed_agent_is_replaced(&mut bench, &web1);
    with_the_site_off_it_runs_on(&mut bench, &web1);
    a_destroyed_guest_comes_back(&bench, &web1);
    foreign.is_untouched();
    an_earlier_day_forgets_no_guest(&mut bench, &web1);

    bench.typed(&["instance", "delete", "web1", "--wait"]);
    assert!(virsh(&["domstate", &web1]).contains("failed to get domain"));
    foreign.is_untouched();
    bench.site.stop();
    foreign.is_untouched();
}

fn it_boots_and_tells_its_address(bench: &Bench, id: &str) {
    let text = bench.console("web1", "web1 is up", 1);
    let address = until(SOON, "its address is shown", || {
        bench.json(&["instance", "show", "web1"])["address"].as_str().map(str::to_owned)
    });
    assert!(text.contains(&address), "{address} is what the guest has got:\n{text}");
    assert_eq!(virsh(&["domstate", id]), "running");
    let node = bench.json(&["node", "list"])["items"][0].clone();
    assert!(["kvm", "tcg"].iter().any(|word| node["accelerator"] == *word), "{node}");
}

fn a_volume_comes_and_goes(bench: &Bench) {
    bench.typed(&["volume", "create", "--name", "data", "--size", "1GiB", "--wait"]);
    bench.typed(&["volume", "attach", "data", "web1", "--wait"]);
    bench.console("web1", "appeared, 1024 MiB", 1);
    assert_eq!(bench.site.cirro(&["volume", "attach", "data", "web1"]).code, 6, "it is attached already");
    assert_eq!(bench.site.cirro(&["volume", "delete", "data"]).code, 6, "it is in use");
    bench.typed(&["volume", "detach", "data", "--wait"]);
    bench.console("web1", "went away", 1);
    bench.typed(&["volume", "delete", "data", "--wait"]);
}

fn a_killed_agent_is_replaced(bench: &mut Bench, id: &str) {
    let domain = virsh(&["domid", id]);
    let site = bench.site.process().id();
    let [agent] = agents(site)[..] else { panic!("one agent: {:?}", agents(site)) };
    signal("KILL", agent);
    until(SOON, "there is another agent", || agents(site).into_iter().find(|&other| other != agent));
    // it does what it is told: a console log comes from the agent
    bench.console("web1", "web1 is up", 1);
    assert_eq!(virsh(&["domid", id]), domain, "the guest ran through");
}

fn with_the_site_off_it_runs_on(bench: &mut Bench, id: &str) {
    let domain = virsh(&["domid", id]);
    let site = bench.site.process().id();
    let agent = agents(site)[0];
    bench.site.stop();
    assert!(!Path::new(&format!("/proc/{agent}")).exists(), "the agent has ended with its site");
    assert_eq!((virsh(&["domstate", id]), virsh(&["domid", id])), ("running".to_owned(), domain.clone()));
    bench.site.start();
    bench.node_ready();
    bench.console("web1", "web1 is up", 1);
    assert_eq!(virsh(&["domid", id]), domain, "the guest ran through");
    // killed, the site takes its agent with it, and leaves its guests
    bench.site.kill();
    assert_eq!(virsh(&["domid", id]), domain, "the guest ran through");
    bench.site.start();
    bench.until_running("web1");
    assert_eq!(virsh(&["domid", id]), domain, "the guest ran through");
}

fn a_destroyed_guest_comes_back(bench: &Bench, id: &str) {
    let before = virsh(&["domid", id]);
    assert!(virsh(&["destroy", id]).contains("destroyed"));
    until(SOON, "its domain runs again", || (virsh(&["domstate", id]) == "running").then_some(()));
    assert_ne!(virsh(&["domid", id]), before, "it was started again");
    bench.console("web1", "web1 is up", 2);
}

/// The databases go back to what they were before web2: web2 is forgotten, and must live.
fn an_earlier_day_forgets_no_guest(bench: &mut Bench, web1: &str) {
    let copy = bench.site.home.path().join("copy");
    bench.site.stop();
    copy_databases(&bench.site.data(), &copy);
    bench.site.start();
    bench.node_ready();
    let web2 = bench.launch("web2");
    let domains = [virsh(&["domid", web1]), virsh(&["domid", &web2])];

    bench.site.stop();
    for file in fs::read_dir(bench.site.data()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().contains(".sqlite") {
            fs::remove_file(file).unwrap();
        }
    }
    copy_databases(&copy, &bench.site.data());
    bench.site.start();

    assert_eq!(bench.site.cirro(&["instance", "show", "web2"]).code, 3, "it is forgotten");
    let guest = until(READY, "web2 is unclaimed", || {
        bench.json(&["unclaimed", "list"])["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&guest["name"], &guest["instance_id"]), (&"web2".into(), &web2.as_str().into()), "{guest}");
    assert_eq!([virsh(&["domid", web1]), virsh(&["domid", &web2])], domains, "both run on");

    bench.typed(&["instance", "adopt", "web2"]);
    bench.until_running("web2");
    let adopted = bench.json(&["instance", "show", "web2"]);
    assert_eq!(adopted["id"], web2.as_str(), "it is the instance that it was");
    assert_eq!([virsh(&["domid", web1]), virsh(&["domid", &web2])], domains, "both run on");
    until(SOON, "nothing is unclaimed", || {
        bench.json(&["unclaimed", "list"])["items"].as_array().unwrap().is_empty().then_some(())
    });
    bench.typed(&["instance", "delete", "web2", "--wait"]);
    assert!(virsh(&["domstate", &web2]).contains("failed to get domain"));
    assert_eq!(virsh(&["domid", web1]), domains[0], "web1 runs on");
}

/// With their logs: a site that has ended may not have carried everything over into the databases themselves.
fn copy_databases(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut copied = 0;
    for file in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".sqlite") || name.ends_with(".sqlite-wal") {
            fs::copy(&file, to.join(name)).unwrap();
            copied += usize::from(name.ends_with(".sqlite"));
        }
    }
    assert_eq!(copied, 4);
}

/// A guest that is none of Cirro's.
struct Foreign {
    name: String,
    id: String,
    description: String,
}

impl Foreign {
    fn start(bench: &mut Bench) -> Self {
        let name = format!("foreign-{}", uuid::Uuid::now_v7());
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os></domain>"
        );
        let file = bench.site.home.path().join("foreign.xml");
        fs::write(&file, xml).unwrap();
        bench.domains.0.push(name.clone());
        assert!(virsh(&["define", file.to_str().unwrap()]).contains("defined"));
        assert!(virsh(&["start", &name]).contains("started"));
        Self { id: virsh(&["domid", &name]), description: virsh(&["dumpxml", &name]), name }
    }
    fn is_untouched(&self) {
        assert_eq!(virsh(&["domid", &self.name]), self.id);
        assert_eq!(virsh(&["dumpxml", &self.name]), self.description);
    }
}
