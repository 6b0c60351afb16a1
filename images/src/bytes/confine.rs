//! Runs a tool over bytes that an attacker may have made, so that the tool can do no harm when it falls for them.
//!
//! The tool gets one open file as its standard input and nothing else: it runs as an unprivileged user without
//! capabilities (when Cirro is root), without a network where the kernel allows that, with limits on time, memory,
//! files and written bytes, with an empty environment, and its output is bounded. The wrappers are util-linux's
//! `unshare`, `setpriv` and `prlimit`, which each `exec` the next: one process, killed at the time limit.
//!
//! The tool opens `/dev/stdin` again by its own rights. That checks the file's mode but no folder on the way, so the file
//! is made readable for all while it is judged, and the store's folder stays 0700.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::{OnceCell, Semaphore},
};

use super::error::Fault;

/// Where the tools are, and as whom they run. The default is what Debian has.
#[derive(Debug, Clone)]
pub struct Tools {
    /// QEMU's image tool.
    pub qemu_img: PathBuf,
    /// The user, from `/etc/passwd`, as whom it runs when Cirro is root.
    pub user: String,
}

impl Default for Tools {
    fn default() -> Self {
        Self { qemu_img: "/usr/bin/qemu-img".into(), user: "nobody".into() }
    }
}

/// What one run of a tool may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long it may take.
    pub wall: Duration,
    /// CPU time, in seconds. An image with 200 GiB of allocated clusters takes 0.2.
    pub cpu_seconds: u32,
    /// Address space, in bytes. qemu-img checks an image of many small clusters in less than 256 MiB; it counts
    /// references in two bytes per cluster of the file.
    pub address_space: u64,
    /// How much it may say, in bytes.
    pub output: u64,
    /// How many tools run at the same time; more wait.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wall: Duration::from_mins(1), cpu_seconds: 30, address_space: 1 << 30, output: 1 << 20, at_once: 2 }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    Exit {
        status: ExitStatus,
        stdout: Vec<u8>,
        /// At most 4 KiB, not to be shown as it is.
        stderr: Vec<u8>,
    },
    /// It took longer than [`Limits::wall`] and was killed.
    TooSlow,
}

/// Runs tools confined.
#[derive(Debug)]
pub(super) struct Confined {
    settings: Arc<Settings>,
    permits: Semaphore,
    /// The wrappers that work here, found out at the first use: a container may not allow new namespaces.
    wrappers: OnceCell<Vec<String>>,
}

const UNSHARE: &str = "/usr/bin/unshare";
const SETPRIV: &str = "/usr/bin/setpriv";
const PRLIMIT: &str = "/usr/bin/prlimit";

impl Confined {
    pub(super) fn new(tools: Tools, limits: Limits) -> Self {
        let permits = Semaphore::new(limits.at_once.clamp(1, 1024));
        Self { settings: Arc::new(Settings { tools, limits }), permits, wrappers: OnceCell::new() }
    }

    /// Runs `qemu-img` with these arguments; `/dev/stdin` among them is `input`, readable only.
    ///
    /// # Errors
    /// [`Fault::ToolMissing`] when it can't be started.
    pub(super) async fn qemu_img(&self, arguments: &[&str], input: File) -> Result<Ended, Fault> {
        let wrappers = self.wrappers.get_or_try_init(|| self.find_wrappers()).await?;
        // Never closed, so this only waits.
        let _permit = self.permits.acquire().await;
        let ended = self.run(wrappers, arguments, input.into()).await;
        ended.map_err(|_| missing(&self.settings.tools.qemu_img, "qemu-utils"))
    }

    /// The strictest wrappers under which the tool starts at all.
    async fn find_wrappers(&self) -> Result<Vec<String>, Fault> {
        let settings = Arc::clone(&self.settings);
        let wrappers = tokio::task::spawn_blocking(move || settings.wrappers()).await;
        let (privileges, namespaces) = wrappers.map_err(|_| missing(SETPRIV, "util-linux"))??;
        let strict = [namespaces, privileges.clone()].concat();
        for wrappers in [strict, privileges] {
            let ended = self.run(&wrappers, &["--version"], Stdio::null()).await;
            if matches!(&ended, Ok(Ended::Exit { status, .. }) if status.success()) {
                tracing::debug!(wrappers = wrappers.join(" "), "image tools run confined");
                return Ok(wrappers);
            }
            tracing::debug!(wrappers = wrappers.join(" "), ?ended, "image tools do not start this way");
        }
        Err(missing(&self.settings.tools.qemu_img, "qemu-utils"))
    }

    async fn run(&self, wrappers: &[String], arguments: &[&str], input: Stdio) -> io::Result<Ended> {
        let mut words = wrappers.iter().map(OsStr::new).chain([self.settings.tools.qemu_img.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(arguments);
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
        // glibc would map 64 MiB of address space for each of the tool's many threads.
        command.env("MALLOC_ARENA_MAX", "1");
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Starting a process waits for its exec: not on an async thread.
        let child = tokio::task::spawn_blocking(move || command.spawn()).await.map_err(io::Error::other)??;
        match tokio::time::timeout(self.settings.limits.wall, self.collect(child)).await {
            Ok(ended) => ended,
            // The child was dropped with the future, and dropping it kills it.
            Err(_) => Ok(Ended::TooSlow),
        }
    }

    async fn collect(&self, mut child: Child) -> io::Result<Ended> {
        let stdout = read_bounded(child.stdout.take(), self.settings.limits.output);
        let stderr = read_bounded(child.stderr.take(), 4096);
        let (stdout, stderr) = tokio::try_join!(stdout, stderr)?;
        Ok(Ended::Exit { status: child.wait().await?, stdout, stderr })
    }
}

#[derive(Debug)]
struct Settings {
    tools: Tools,
    limits: Limits,
}

impl Settings {
    /// The words before the tool: (privileges and limits, namespaces). Reads files.
    fn wrappers(&self) -> Result<(Vec<String>, Vec<String>), Fault> {
        let wrappers = [SETPRIV, PRLIMIT].map(|wrapper| (Path::new(wrapper), "util-linux"));
        let tools = wrappers.into_iter().chain([(self.tools.qemu_img.as_path(), "qemu-utils")]);
        if let Some((path, package)) = tools.into_iter().find(|(path, _)| !path.exists()) {
            return Err(missing(path, package));
        }
        let root = rustix::process::geteuid().is_root();
        let mut privileges = vec![SETPRIV.to_owned()];
        if root {
            let (uid, gid) = ids(&self.tools.user)?;
            privileges.extend([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
            privileges.push("--bounding-set=-all".to_owned());
        }
        privileges.extend(["--inh-caps=-all", "--no-new-privs", "--", PRLIMIT].map(str::to_owned));
        privileges.extend([
            format!("--cpu={}", self.limits.cpu_seconds),
            format!("--as={}", self.limits.address_space),
            "--fsize=0".to_owned(),
            // Also what each of the tool's threads maps for its stack, 8 MiB otherwise.
            "--stack=1048576".to_owned(),
            "--nofile=64".to_owned(),
            "--core=0".to_owned(),
            "--".to_owned(),
        ]);
        // Without rights of its own, a process makes other namespaces only inside a user namespace.
        let user_namespace = (!root).then_some("--user");
        let namespaces = [Some(UNSHARE), user_namespace, Some("--net"), Some("--ipc"), Some("--")];
        Ok((privileges, namespaces.into_iter().flatten().map(str::to_owned).collect()))
    }
}

/// A user's ids from `/etc/passwd` (passwd(5)): `name:password:uid:gid:…`. Never those of root.
fn ids(user: &str) -> Result<(u32, u32), Fault> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.first() == Some(&user));
    let number = |at: usize| entry.as_ref()?.get(at)?.parse().ok().filter(|&id: &u32| id != 0);
    match (number(2), number(3)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(Fault::ToolMissing { tool: format!("the unprivileged user {user}"), package: "base-passwd" }),
    }
}

fn missing(tool: impl AsRef<Path>, package: &'static str) -> Fault {
    let tool = tool.as_ref();
    let name = tool.file_name().unwrap_or(tool.as_os_str()).to_string_lossy().into_owned();
    Fault::ToolMissing { tool: name, package }
}

/// Reads up to `most` bytes and then closes the pipe, so that a talkative tool dies of it.
async fn read_bounded(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
