//! `cirro-node-agent watchdog`: a process beside the agent that stops this host's guests when compute has not said for too long
//! that they may go on, though the agent hangs, libvirt hangs, or nobody else is left. See [`cirro_node_agent_core::watchdog`] for
//! what is promised; this is the part that keeps it.
//!
//! It uses neither libvirt nor an async runtime: the guests are found in `/proc`, and ended by SIGKILL. That it was killed itself is seen to by
//! whoever starts it again (the end of the last lease is kept in a file), and by the machine's own watchdog device, if it is
//! given one: that resets the machine when it is not written to for some time.

mod link;
mod prey;

pub use link::Link;

use cirro_node_agent_core::{
    failure::{Failure, OrSay, Result},
    watchdog::Lease,
};
use parking_lot::Mutex;
use prey::Prey;
use rustix::{
    fs::{FlockOperation, Mode, flock},
    process::umask,
    time::{ClockId, clock_gettime},
};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// How often it is looked whether the lease is over, and, when it is, whether anything runs.
const TICK: Duration = Duration::from_millis(200);
/// The most agents at a time. There is one, and for moments another.
const AGENTS: usize = 8;
/// What an agent sends: whether it is fresh, and when it asked, in nanoseconds.
const WORDS: usize = 9;

/// What a watchdog is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The agent's `data_dir`.
    pub data: PathBuf,
    /// How long a lease lasts.
    pub within: Duration,
    /// The file in which the process that starts guests says which one it is: it may still be at what it was told.
    pub daemon_pid_file: Option<PathBuf>,
    /// A watchdog device, as `/dev/watchdog` (Linux, Documentation/watchdog/watchdog-api.rst).
    pub device: Option<PathBuf>,
    /// After how long without a word that device resets the machine.
    pub device_within: Duration,
}

/// Where a watchdog is spoken to.
pub fn socket(data: &Path) -> PathBuf {
    data.join("watchdog.sock")
}

/// The time since the machine was started, suspended or not.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the threads share.
struct Watchdog {
    lease: Mutex<Lease>,
    /// Until when that lasts, in nanoseconds; 0 before the first. It is read without the lock, which whoever writes to a disk
    /// that hangs may keep.
    until: AtomicU64,
    agents: Mutex<Vec<Prey>>,
    kept: Kept,
    /// What the device takes is the agent's and compute's business, too.
    tells: Duration,
}

/// Watches for ever.
///
/// # Errors
/// It can't begin; once it has, it does not end.
pub fn run(options: &Options) -> Result<ExitCode> {
    // what is made here is nobody else's
    umask(Mode::from_raw_mode(0o077));
    let _lock = lock(&options.data)?;
    let kept = Kept::at(&options.data)?;
    // one of a watchdog that took longer is cut short: compute may have been told by now that this one does not
    let until = kept.read().map(|until| until.min(now() + options.within));
    let lease = Mutex::new(Lease { within: options.within, until });
    let mut device = Device::open(options)?;
    let listener = listen(&socket(&options.data))?;
    let tells = options.within + device.as_ref().map_or(Duration::ZERO, |_| options.device_within);
    let until = AtomicU64::new(until.map_or(0, nanoseconds));
    let watchdog = Arc::new(Watchdog { lease, until, agents: Mutex::default(), kept, tells });
    let heard = watchdog.clone();
    thread::Builder::new()
        .name("agents".to_owned())
        .spawn(move || listener.incoming().flatten().for_each(|agent| heard.clone().greet(agent)))
        .or_say(|| "the watchdog can't start a thread")?;
    tracing::info!(within_s = watchdog.tells.as_secs(), data = %options.data.display(), "the watchdog begins");
    let mut over = false;
    loop {
        // until it is known what runs the device hears nothing
        let quiet = if watchdog.is_over() {
            if !std::mem::replace(&mut over, true) {
                tracing::error!("compute has not said for too long that the guests may go on: they are stopped");
                watchdog.end_who_starts(options);
            }
            stop_guests(&options.data)
        } else {
            if std::mem::replace(&mut over, false) {
                tracing::info!("compute says again that guests may run");
            }
            true
        };
        if let Some(device) = device.as_mut().filter(|_| quiet) {
            device.pat();
        }
        thread::sleep(TICK);
    }
}

impl Watchdog {
    fn is_over(&self) -> bool {
        let until = self.until.load(Relaxed);
        until > 0 && nanoseconds(now()) >= until
    }

    /// Listens to an agent on a thread of its own.
    fn greet(self: Arc<Self>, agent: UnixStream) {
        let listen = move || {
            let Some(prey) = Prey::peer(&agent) else { return };
            let mine = prey.pid();
            {
                let mut agents = self.agents.lock();
                if agents.len() >= AGENTS {
                    return;
                }
                agents.push(prey);
            }
            let _ = self.talk(agent);
            // one that has connected twice is still there once
            let mut agents = self.agents.lock();
            if let Some(at) = agents.iter().position(|other| other.pid() == mine) {
                agents.swap_remove(at);
            }
        };
        // an agent that is not listened to gets no lease, which is safe
        let _ = thread::Builder::new().name("agent".to_owned()).spawn(listen);
    }

    fn talk(&self, mut agent: UnixStream) -> std::io::Result<()> {
        agent.write_all(&self.tells.as_secs().to_be_bytes())?;
        let mut words = [0; WORDS];
        loop {
            agent.read_exact(&mut words)?;
            let (fresh, asked) = (words[0] == 1, u64::from_be_bytes(words[1..].try_into().unwrap_or_default()));
            agent.write_all(&[u8::from(self.extend(Duration::from_nanos(asked), fresh))])?;
        }
    }

    fn extend(&self, asked: Duration, fresh: bool) -> bool {
        let mut lease = self.lease.lock();
        let mut longer = *lease;
        if !longer.extend(asked, fresh, now()) {
            return false;
        }
        // one that would be forgotten with this process counts for nothing
        if let Err(failure) = self.kept.write(longer.until) {
            tracing::error!(reason = failure.with_causes(), "a lease can't be kept, so it is not taken");
            return false;
        }
        // it may have taken long
        let good = lease.extend(asked, fresh, now());
        self.until.store(lease.until.map_or(0, nanoseconds), Relaxed);
        good
    }

    /// Agents, and what still may do what they have asked for.
    fn end_who_starts(&self, options: &Options) {
        for agent in self.agents.lock().iter() {
            agent.kill("an agent");
        }
        if let Some(daemon) = options.daemon_pid_file.as_deref().and_then(Prey::named_in) {
            daemon.kill("the process that starts guests");
        }
    }
}

/// Stops what runs; says whether nothing is left of it.
fn stop_guests(data: &Path) -> bool {
    match prey::guests(data) {
        Ok(guests) => {
            for guest in &guests {
                guest.kill("a guest");
            }
            guests.is_empty()
        }
        Err(error) => {
            tracing::error!(%error, "the processes of this machine can't be seen");
            false
        }
    }
}

fn lock(data: &Path) -> Result<File> {
    let path = data.join("watchdog.lock");
    let file = File::create(&path).or_say(|| format!("can't make {}", path.display()))?;
    let other = || format!("another watchdog watches {}: end it first", data.display());
    flock(&file, FlockOperation::NonBlockingLockExclusive).or_say(other)?;
    Ok(file)
}

fn listen(at: &Path) -> Result<UnixListener> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::because(format!("can't make way for {}", at.display()), error));
        }
        _ => {}
    }
    UnixListener::bind(at).or_say(|| format!("can't listen at {}", at.display()))
}

/// The file that says until when the last lease lasts. It counts for one boot of the machine, after which no guest runs.
struct Kept {
    path: PathBuf,
    boot: String,
}

impl Kept {
    fn at(data: &Path) -> Result<Self> {
        let boot =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").or_say(|| "the boot of this machine has no name")?;
        Ok(Self { path: data.join("watchdog.lease"), boot: boot.trim().to_owned() })
    }
    fn read(&self) -> Option<Duration> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (boot, until) = text.trim().split_once(' ')?;
        (boot == self.boot).then(|| until.parse().ok().map(Duration::from_nanos))?
    }
    fn write(&self, until: Option<Duration>) -> Result<()> {
        let until = until.map_or(0, nanoseconds);
        let beside = self.path.with_extension("new");
        let trouble = || format!("can't write {}", self.path.display());
        fs::write(&beside, format!("{} {until}\n", self.boot)).or_say(trouble)?;
        fs::rename(&beside, &self.path).or_say(trouble)
    }
}

/// The machine's own watchdog. Whatever ends this process resets the machine: it is never told to stop.
struct Device(File);

impl Device {
    fn open(options: &Options) -> Result<Option<Self>> {
        let Some(path) = &options.device else { return Ok(None) };
        let opened = fs::OpenOptions::new().append(true).open(path);
        opened.map(|file| Some(Self(file))).or_say(|| format!("can't open the watchdog device {}", path.display()))
    }
    fn pat(&mut self) {
        if let Err(error) = self.0.write_all(b".") {
            tracing::error!(%error, "the watchdog device does not listen: it may reset this machine");
        }
    }
}
