//! `cirro site up`: a site of real processes on one machine, for people to try and for tests. It starts them, and starts
//! again what ends. In production, systemd does that.

mod options;
mod process;
mod simulated;

pub(super) use options::database;
pub use options::{Options, Workers};

use crate::{
    data::Data,
    http::wait_for_the_end,
    simulated::{Simulation, apart},
    site::{self, AUTHORITY, FIRST_ADMIN, METRICS_TOKEN, Whole},
};
use cirro_client::Http;
use cirro_models::{Context, Error, Result, Service};
use process::{Change, Process};
use serde_json::json;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Who runs, with what number: a file in the site's folder, for people and tests.
pub const PROCESSES: &str = "processes.json";
/// How long the site may take until all of it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the start tells.
pub struct Started {
    /// Where the site answers.
    pub url: String,
    listen: SocketAddr,
    /// Whom callers must trust.
    pub ca_file: PathBuf,
    /// The file with the first administrator's login.
    pub first_admin: PathBuf,
    /// Whether this is the site's first start.
    pub new: bool,
}

/// Runs a site until it is told to end. `ready` is called when all of it answers.
///
/// # Errors
/// One sentence that says what to do, for whatever keeps the site from starting.
pub async fn run(options: Options, ready: impl FnOnce(&Started) -> Result<()>) -> Result<()> {
    if let Some(simulation) = &options.simulation {
        simulation.check(Simulation::MOST_APART)?;
    }
    let data = Data::open(&options.data)?;
    let folder = data.folder("site")?;
    let new = {
        let (folder, name, edge) = (folder.clone(), options.name.clone(), edge(&options));
        tokio::task::spawn_blocking(move || site::init(&folder, &name, &edge)).await.map_err(Error::internal)??.new
    };
    for service in Service::ALL {
        let name = database(&options.postgres, &options.name, service)?.1;
        cirro_server::db::create(&options.postgres, &name).await?;
    }
    let processes = processes(&options, &data, &folder)?;

    let url = format!("https://{}", options.listen);
    let nodes = options.nodes.map(|address| format!("https://{address}"));
    let (registry, bus) = (options.registry()?, Some(url.clone()));
    Whole { registry, bus, credential: folder.join("bus"), nodes }.note(&options.data)?;

    let (changes, changed) = mpsc::channel(64);
    let turns = in_turn(processes).map(|turn| Turn::start(turn, &changes));
    tokio::spawn(note(data.path(PROCESSES), changed));
    let mut machines = None;

    let ca_file = folder.join(AUTHORITY).join("ca.pem");
    let started = Started { url, listen: options.listen, ca_file, first_admin: folder.join(FIRST_ADMIN), new };
    let begun = async {
        answers(&started).await?;
        Ok::<_, Error>(match &options.simulation {
            Some(simulation) => simulated::begin(simulation, &options, &changes).await.map(Some),
            None => Ok(None),
        })
    };
    tokio::select! {
        told = wait_for_the_end(false) => told?,
        begun = begun => {
            // a login that nobody can be told later is kept also where nodes can't join
            let simulated = begun?;
            ready(&started)?;
            machines = simulated?;
            wait_for_the_end(false).await?;
        }
    }
    tracing::info!("the site ends; its guests run on");
    for turn in machines.into_iter().chain(turns) {
        turn.end().await?;
    }
    Ok(())
}

/// Processes that are told to end at the same time.
struct Turn {
    end: watch::Sender<()>,
    kept: Vec<JoinHandle<()>>,
}

impl Turn {
    fn start(processes: Vec<Process>, changes: &mpsc::Sender<Change>) -> Self {
        let (end, ended) = watch::channel(());
        let keep = |process: Process| tokio::spawn(process.keep(changes.clone(), ended.clone()));
        Self { end, kept: processes.into_iter().map(keep).collect() }
    }
    /// Ends them, and returns when all have.
    async fn end(self) -> Result<()> {
        drop(self.end);
        for process in self.kept {
            process.await.map_err(Error::internal)?;
        }
        Ok(())
    }
}

/// The order in which a site ends: who follows another service's changes is gone before that service, so that nobody
/// calls, and warns of, what has ended on purpose. Storage follows compute, and all follow identity.
fn in_turn(processes: Vec<Process>) -> [Vec<Process>; 3] {
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for process in processes {
        let turn = match process.service {
            Some(Service::Identity) => 2,
            Some(Service::Compute) => 1,
            Some(Service::Storage | Service::Images) | None => 0,
        };
        turns[turn].push(process);
    }
    turns
}

/// Under which names the bus is called.
fn edge(options: &Options) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let own = options.listen.ip();
    if !own.is_loopback() && !own.is_unspecified() {
        names.push(own.to_string());
    }
    names
}

/// Everything that is to run.
fn processes(options: &Options, data: &Data, folder: &Path) -> Result<Vec<Process>> {
    let (registry, logs) = (options.registry()?, data.folder("logs")?);
    let (images, backups) = (data.folder("images")?, data.folder("backups")?);
    let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
    // what simulates a machine knows whether it is off
    let fence = options.simulation.as_ref().map(|_| apart::fence(&options.data)).transpose()?;
    let fence = fence.map(|fence| ["--fence-command".into(), OsString::from(fence)]).into_iter().flatten();
    let fence: Vec<OsString> = fence.collect();
    let mut processes = Vec::new();
    for service in Service::ALL {
        let name = service.name();
        for n in 1..=options.workers.of(service) {
            let mut typed = words(&["serve", name, "--until-stdin-closes", "--registry", &registry]);
            typed.extend(words(&["--listen", &free_port()?.to_string(), "--credential"]));
            typed.push(folder.join(name).into());
            typed.extend([OsString::from("--backup-dir"), backups.clone().into()]);
            typed.extend([OsString::from("--metrics-token-file"), folder.join(METRICS_TOKEN).into()]);
            match service {
                Service::Identity => typed.extend([
                    OsString::from("--authority"),
                    folder.join(AUTHORITY).into(),
                    OsString::from("--first-admin"),
                    folder.join(FIRST_ADMIN).into(),
                ]),
                Service::Images => typed.extend([OsString::from("--data"), images.clone().into()]),
                Service::Compute => typed.extend(fence.iter().cloned()),
                Service::Storage => {}
            }
            let secrets = vec![("CIRRO_DATABASE", database(&options.postgres, &options.name, service)?.0)];
            let name = format!("{name}-{n}");
            let log = logs.join(format!("{name}.log"));
            processes.push(Process { name, service: Some(service), words: typed, secrets, log });
        }
    }
    let mut typed = words(&["site", "bus", "--watch", "--until-stdin-closes", "--registry", &registry]);
    typed.extend(words(&["--listen", &options.listen.to_string()]));
    if let Some(nodes) = options.nodes {
        typed.extend(words(&["--nodes-listen", &nodes.to_string()]));
    }
    let own = [OsString::from("--credential"), folder.join("bus").into(), "--dir".into(), data.path("bus").into()];
    typed.extend(own);
    let (name, log) = ("bus".to_owned(), logs.join("bus.log"));
    processes.push(Process { name, service: None, words: typed, secrets: Vec::new(), log });
    Ok(processes)
}

/// A port of loopback that nobody uses now, from below the range that connections to elsewhere take theirs from. A process
/// keeps it over restarts, so that nobody needs to hear of those.
fn free_port() -> Result<SocketAddr> {
    let random = || SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
    let free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let found = std::iter::repeat_with(random).take(100).find(free);
    found
        .ok_or_else(|| Error::unavailable("this machine has no free port between 20000 and 32000: end what takes them"))
}

/// Keeps the file that says who runs.
async fn note(file: PathBuf, mut changes: mpsc::Receiver<Change>) {
    let mut running = BTreeMap::new();
    while let Some(Change { name, pid }) = changes.recv().await {
        match pid {
            Some(pid) => running.insert(name, pid),
            None => running.remove(&name),
        };
        let text = json!(running).to_string();
        let partial = file.with_extension("new");
        let written = match tokio::fs::write(&partial, text).await {
            Ok(()) => tokio::fs::rename(&partial, &file).await,
            failed => failed,
        };
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.display(), "who runs can't be noted");
        }
    }
}

/// Waits until every service answers through the bus.
async fn answers(started: &Started) -> Result<()> {
    let wait = async {
        for service in Service::ALL {
            let path = format!("/{}/v1/openapi.json", service.name());
            while !asked(started, &path).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| {
        Error::unavailable(format!("not all of the site answers after {} s: see its logs", PATIENCE.as_secs()))
    })
}

async fn asked(started: &Started, path: &str) -> bool {
    // the client would tell of an address where nobody listens yet
    if TcpStream::connect(started.listen).await.is_err() {
        return false;
    }
    let Ok(http) = Http::new(&started.url, Some(&started.ca_file)) else { return false };
    let ctx = Context::client(Arc::default(), None);
    http.answer(&ctx, "GET", path, None, &[]).await.is_ok_and(|answer| answer.status == 200)
}
