//! The watchdog as a process, with processes that are called as guests are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use cirro_node_agent::watchdog::Link;
use cirro_node_agent_core::watchdog::Watchdog;
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const AGENT: &str = env!("CARGO_BIN_EXE_cirro-node-agent");
const LIMIT: Duration = Duration::from_mins(1);
/// The shortest lease that it can be told of.
const WITHIN: u64 = 5;

/// Ended with the test.
struct Process(Child);

impl Process {
    /// One that is called so, and is told of this file.
    fn called(name: &str, file: &Path) -> Self {
        let quiet = [Stdio::null(), Stdio::null(), Stdio::null()];
        let [stdin, stdout, stderr] = quiet;
        let mut command = Command::new("tail");
        command.arg0(name).args(["-F"]).arg(file).stdin(stdin).stdout(stdout).stderr(stderr);
        Self(command.spawn().unwrap())
    }
    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
    fn is_killed(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some_and(|ended| ended.signal() == Some(9))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an agent says to its watchdog, from a process of its own: it is ended when the lease is over.
struct Agent {
    process: Process,
    to: ChildStdin,
    from: ChildStdout,
}

impl Agent {
    fn of(data: &Path) -> Self {
        let mut nc = Command::new("nc");
        nc.arg("-U").arg(data.join("watchdog.sock")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(nc.spawn().expect("nc is there: run `deploy/packages test`"));
        let (to, mut from) = (process.0.stdin.take().unwrap(), process.0.stdout.take().unwrap());
        let mut within = [0; 8];
        from.read_exact(&mut within).unwrap();
        assert_eq!(u64::from_be_bytes(within), WITHIN);
        Self { process, to, from }
    }
    /// Whether a lease that was asked for now is taken.
    fn lease(&mut self, fresh: bool) -> bool {
        let now = clock_gettime(ClockId::Boottime);
        let asked = u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap();
        self.to.write_all(&[&[u8::from(fresh)][..], &asked.to_be_bytes()].concat()).unwrap();
        let mut taken = [0];
        self.from.read_exact(&mut taken).unwrap();
        taken == [1]
    }
}

/// A data directory with a configuration.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("instances")).unwrap();
        let config = format!(
            r#"{{"url": "http://127.0.0.1:1", "node_id": "0192f0c1-2345-7abc-8def-0123456789ab", "credential": "x", "data_dir": "{}"}}"#,
            folder.path().display()
        );
        let file = folder.path().join("agent.json");
        fs::write(&file, config).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        for file in ["device", "daemon"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        Self(folder)
    }
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
    fn command(&self) -> Command {
        self.command_within("5")
    }
    fn command_within(&self, seconds: &str) -> Command {
        let mut command = Command::new(AGENT);
        command.args(["watchdog", "--within", seconds, "--config"]).arg(self.path("agent.json"));
        command.arg("--daemon-pid-file").arg(self.path("daemon"));
        command
    }
    fn watchdog(&self) -> Process {
        self.begin(self.command())
    }
    fn begin(&self, mut command: Command) -> Process {
        let socket = self.path("watchdog.sock");
        let _ = fs::remove_file(&socket);
        let watchdog = Process(command.spawn().unwrap());
        // the file is there a moment before anybody listens; this connection ends at once
        wait_until("the watchdog listens", || UnixStream::connect(&socket).is_ok());
        watchdog
    }
    fn guest(&self) -> Process {
        Process::called("/usr/bin/qemu-system-x86_64", &self.path("instances/1/root.qcow2"))
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "still not so: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn without_a_lease_agent_daemon_and_guests_are_ended_and_nobody_else() {
    let host = Host::new();
    let (mut guest, mut daemon) = (host.guest(), Process::called("libvirtd", Path::new("/dev/null")));
    let mut others = [
        Process::called("/usr/bin/qemu-system-x86_64", Path::new("/elsewhere/instances/1/root.qcow2")),
        Process::called("less", &host.path("instances/1/console.log")),
    ];
    fs::write(host.path("daemon"), daemon.0.id().to_string()).unwrap();
    let _watchdog = host.watchdog();
    let mut agent = Agent::of(host.0.path());
    assert!(!agent.lease(false), "whoever knows orders begins no tenure");
    let begun = Instant::now();
    assert!(agent.lease(true) && agent.lease(false) && guest.runs());
    wait_until("the guest is ended", || guest.is_killed());
    assert!(begun.elapsed() >= Duration::from_secs(WITHIN), "it was ended too early");
    wait_until("its agent and the daemon were", || agent.process.is_killed() && daemon.is_killed());
    let mut late = host.guest();
    wait_until("what begins now is ended, too", || late.is_killed());
    assert!(others.iter_mut().all(Process::runs), "they are not ours");

    let mut agent = Agent::of(host.0.path());
    assert!(!agent.lease(false), "the tenure has ended");
    assert!(agent.lease(true));
    let mut guest = host.guest();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2 * WITHIN) {
        assert!(agent.lease(false), "it goes on");
    }
    assert!(guest.runs() && agent.process.runs());
}

#[test]
fn a_watchdog_that_was_killed_goes_on_with_the_lease_that_there_was() {
    let host = Host::new();
    let (mut guest, mut watchdog) = (host.guest(), host.watchdog());
    assert!(Agent::of(host.0.path()).lease(true));
    let second = host.command().output().unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("another watchdog watches"));
    watchdog.0.kill().unwrap();
    watchdog.0.wait().unwrap();
    let _again = host.watchdog();
    assert!(guest.runs(), "the lease is not over");
    wait_until("the guest is ended", || guest.is_killed());
}

#[test]
fn a_device_is_written_to_while_all_is_as_it_should_be() {
    let host = Host::new();
    let mut command = host.command();
    command.arg("--device").arg(host.path("device")).args(["--device-within", "7"]);
    let _watchdog = Process(command.spawn().unwrap());
    let heard = || fs::metadata(host.path("device")).unwrap().len();
    wait_until("the device hears something", || heard() > 3);
    let missing = host.command().arg("--device").arg(host.path("nothing/there")).output();
    assert!(String::from_utf8_lossy(&missing.unwrap().stderr).contains("watchdog"));
}

/// It is long enough not to end here: the watchdog would end who has connected, which is this test.
#[tokio::test]
async fn an_agent_finds_its_watchdog_hands_leases_on_and_notices_that_it_has_gone() {
    let (host, long) = (Host::new(), Duration::from_mins(5));
    let link = Link::new(host.0.path());
    assert_eq!(link.within().await, None, "there is none");
    assert!(link.extend(link.now(), true).await.is_err());
    let watchdog = host.begin(host.command_within("300"));
    assert_eq!(link.within().await, Some(long));
    assert!(!link.extend(link.now(), false).await.unwrap(), "whoever knows orders begins no tenure");
    assert!(link.extend(link.now(), true).await.unwrap() && link.extend(link.now(), false).await.unwrap());
    assert!(!link.extend(link.now() + long, false).await.unwrap(), "nothing was asked for in the future");
    drop(watchdog);
    assert_eq!(link.within().await, None, "it has gone");
    let _again = host.begin(host.command_within("300"));
    assert_eq!(link.within().await, Some(long));
    assert!(link.extend(link.now(), false).await.unwrap(), "the tenure goes on");
}
