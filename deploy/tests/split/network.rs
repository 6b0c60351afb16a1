//! Machines with a network of their own: namespaces of the kernel, each with one link to a switch. Nothing leads out.
//!
//! The namespaces have no names: a file that is open here and the processes inside hold them, and they go with the last
//! of those. So nothing is left to be removed, and no run meets what another has left.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    panic::resume_unwind,
    process::{Child, Command, Stdio},
};

/// Several machines at one switch.
pub struct Network {
    switch: Namespace,
    machines: Vec<Machine>,
}

/// One of them. What is done [`inside`](Self::inside) has its network and no other.
pub struct Machine {
    namespace: Namespace,
    pub address: IpAddr,
}

impl Network {
    /// So many machines, which all reach each other.
    pub fn start(count: u8) -> Self {
        let (switch, keeper) = Namespace::make();
        switch.run("ip link add switch type bridge");
        switch.run("ip link set switch up");
        // real loss: a rule at the sender would tell the sender
        switch.run("nft add table bridge ways");
        switch.run("nft add chain bridge ways cut { type filter hook forward priority 0 ; }");
        let machines = (1..=count).map(|n| machine(&switch, n)).collect();
        keeper.end();
        Self { switch, machines }
    }
    /// The machine with this number, from 1.
    pub fn machine(&self, n: usize) -> &Machine {
        &self.machines[n - 1]
    }
    /// From now on everything is lost that the first machine sends to the second.
    pub fn lose(&self, from: &Machine, to: &Machine) {
        self.switch
            .run(&format!("nft add rule bridge ways cut ip saddr {} ip daddr {} drop", from.address, to.address));
    }
    /// From now on the machine reaches nobody, and nobody reaches it.
    pub fn isolate(&self, machine: &Machine) {
        for way in ["saddr", "daddr"] {
            self.switch.run(&format!("nft add rule bridge ways cut ip {way} {} drop", machine.address));
        }
    }
    /// Nothing is lost any more.
    pub fn heal(&self) {
        self.switch.run("nft flush chain bridge ways cut");
    }
}

fn machine(switch: &Namespace, n: u8) -> Machine {
    // an address of documentation (RFC 5737), which no network has that a machine of ours might be in
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
    let (namespace, keeper) = Namespace::make();
    switch.run(&format!("ip link add port{n} type veth peer name eth0 netns {}", keeper.0.id()));
    switch.run(&format!("ip link set port{n} master switch up"));
    namespace.run(&format!("ip address add {address}/24 dev eth0"));
    namespace.run("ip link set eth0 up");
    namespace.run("ip link set lo up");
    keeper.end();
    Machine { namespace, address }
}

impl Machine {
    /// Does something on this machine. Threads and processes that are started meanwhile are there, too, and stay.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(work)
    }
}

struct Namespace(File);

/// A process that lives in a new namespace until it is held by others.
struct Keeper(Child);

impl Namespace {
    fn make() -> (Self, Keeper) {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare is there: install it with `./deploy/packages test`");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "made\n" {
            let mut why = String::new();
            keeper.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            keeper.wait().unwrap();
            panic!(
                "no network namespace can be made here ({}): run this test as root; in a container, give it the \
                 capabilities SYS_ADMIN and NET_ADMIN",
                why.trim()
            );
        }
        (Self(File::open(format!("/proc/{}/ns/net", keeper.id())).unwrap()), Keeper(keeper))
    }
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let moved = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        // a thread of its own, which takes its namespace with it when it ends
        std::thread::scope(|scope| scope.spawn(moved).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }
    /// Runs a command of words without blanks.
    fn run(&self, command: &str) {
        let mut words = command.split(' ');
        let program = words.next().unwrap();
        let done = self.inside(|| Command::new(program).args(words).stdin(Stdio::null()).output());
        let done = done.unwrap_or_else(|error| {
            panic!("{program} can't be run ({error}): install it with `./deploy/packages test`")
        });
        let why = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "`{command}` fails in a network namespace ({}): the kernel must offer veth, bridges and nftables for them",
            why.trim()
        );
    }
}

impl Keeper {
    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
