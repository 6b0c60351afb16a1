//! `cirro-node-agent`: drives libvirt on one host, as the control plane asks.

mod join;

use cirro_client::{Credential, Renewal};
use cirro_models::{SiteRole, identity::Secret};
use cirro_node_agent::{
    accelerator,
    config::Config,
    connection::Connection,
    hypervisor::Libvirt,
    supervise,
    test_driver::{self, TestDriver},
    watchdog,
};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    failure::{Failure, OrSay, Result, off_thread},
    http::HttpControlPlane,
    hypervisor::Hypervisor,
};
use clap::{Parser, Subcommand};
use join::Join;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(name = "cirro-node-agent", version, about = "Drives libvirt on one host, as Cirro's control plane asks")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Watches the control plane and keeps this host's guests as it asks, until it is told to end; guests run on.
    Run {
        /// The configuration: a JSON file that only its owner may read.
        #[arg(long)]
        config: PathBuf,
        /// End, too, when standard input is closed: by the end, however it comes, of the process that started the agent.
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Makes this host a node of a site: shows a join token, gets a certificate, and writes the configuration for `run`.
    Join(Join),
    /// Says what this host offers to guests.
    Probe {
        /// The configuration: a JSON file that only its owner may read.
        #[arg(long)]
        config: PathBuf,
    },
    /// Stops this host's guests when the control plane has not said for long that they may go on, even if the agent hangs. Where
    /// it runs, what is to be recreated goes elsewhere when this host is lost, although nobody can switch it off.
    Watchdog {
        /// The agent's configuration.
        #[arg(long)]
        config: PathBuf,
        /// After how many seconds without a word.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=300))]
        within: u64,
        /// The file with the number of libvirt's process, which is ended, too: it may still be at what it was told.
        #[arg(long)]
        daemon_pid_file: Option<PathBuf>,
        /// A watchdog device, which resets the host if this process ends or can't end a guest.
        #[arg(long)]
        device: Option<PathBuf>,
        /// After how many seconds the device does so: see `wdctl`.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=300))]
        device_within: u64,
    },
    /// Runs a command below a process that takes in its orphans, and ends with the command's code.
    Supervise {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_standard_error();
    if let Verb::Watchdog { config, within, daemon_pid_file, device, device_within } = arguments.verb {
        let watch = Config::read(&config).and_then(|config| {
            watchdog::run(&watchdog::Options {
                data: config.data_dir,
                within: Duration::from_secs(within),
                daemon_pid_file,
                device,
                device_within: Duration::from_secs(device_within),
            })
        });
        return ended(watch);
    }
    // Two threads: everything that takes time is done by libvirt, by QEMU or off these threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime.or_say(|| "the agent can't start its threads") {
        Ok(runtime) => runtime.block_on(perform(arguments.verb)),
        Err(failure) => Err(failure),
    };
    ended(outcome)
}

fn ended(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        eprintln!("cirro-node-agent: {}", failure.with_causes());
        ExitCode::FAILURE
    })
}

async fn perform(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Run { config, until_stdin_closes } => run(Config::read(&config)?, until_stdin_closes).await,
        Verb::Join(join) => join.run().await,
        Verb::Probe { config } => probe(Config::read(&config)?).await,
        Verb::Supervise { command } => supervise::run(&command).await,
        // it has no runtime
        Verb::Watchdog { .. } => Ok(ExitCode::FAILURE),
    }
}

async fn run(config: Config, until_stdin_closes: bool) -> Result<ExitCode> {
    let closed = stdin_closed(until_stdin_closes)?;
    let trouble = || "the agent can't hear signals";
    let mut term = signal(SignalKind::terminate()).or_say(trouble)?;
    let mut int = signal(SignalKind::interrupt()).or_say(trouble)?;
    let (control_plane, renewal) = control_plane(&config).await?;
    // it ends with the process
    renewal.map(|renewal| tokio::spawn(renewal.run()));
    let hypervisor: Arc<dyn Hypervisor> = if test_driver::is_meant_by(&config.libvirt_uri) {
        Arc::new(TestDriver::new(config.node_id, &config.libvirt_uri)?)
    } else {
        Arc::new(Libvirt::open(&config, control_plane.clone()).await?)
    };
    let health = hypervisor.health().await;
    tracing::info!(node = %config.node_id, url = config.url, accelerator = %health.accelerator, "the node agent begins");
    let settings = Settings { concurrency: config.concurrency.clamp(1, 64), ..Settings::default() };
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, () = closed => {} }
    };
    let watchdog = Arc::new(watchdog::Link::new(&config.data_dir));
    match Agent::new(control_plane, hypervisor, settings).watched_by(watchdog).run(stop).await {
        Ended::Told => tracing::info!("the node agent has ended; its guests run on"),
        // whoever has started it starts another one
        Ended::Unwatched => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// Resolves when standard input is at its end; never, if nobody asked for that. A thread of its own waits for it: a
/// runtime would not end before the read does.
fn stdin_closed(asked: bool) -> Result<impl Future<Output = ()> + Send> {
    let (closed, heard) = tokio::sync::oneshot::channel::<()>();
    if asked {
        let wait = move || {
            // whatever ends the reading means the same
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(closed);
        };
        std::thread::Builder::new().name("stdin".to_owned()).spawn(wait).or_say(|| "the agent can't start a thread")?;
        return Ok(futures_util::future::Either::Left(async move { drop(heard.await) }));
    }
    Ok(futures_util::future::Either::Right(std::future::pending()))
}

/// The way to the control plane, and what keeps the node's certificate fresh, if it has one.
async fn control_plane(config: &Config) -> Result<(Arc<HttpControlPlane>, Option<Renewal>)> {
    let unusable = || "the configuration's url is not usable";
    let Some(folder) = config.credential_dir.clone() else {
        let session = HttpControlPlane::new(&config.url, config.node_id, Secret::new(config.credential()?));
        return session.map(|session| (Arc::new(session), None)).or_say(unusable);
    };
    let read = folder.clone();
    let unread = || format!("the credential in {} can't be used", folder.display());
    let credential = off_thread(move || Credential::load(&read).or_say(|| "it can't be read")).await.or_say(unread)?;
    if credential.role() != SiteRole::Node(config.node_id) {
        let shown = format!("{credential:?}, and the configuration is of node {}", config.node_id);
        return Err(Failure::new(format!("the folder {} holds the {shown}: join again", folder.display())));
    }
    let (certified, renewal) = HttpControlPlane::certified(&config.url, credential, folder).or_say(unusable)?;
    Ok((Arc::new(certified), Some(renewal)))
}

async fn probe(config: Config) -> Result<ExitCode> {
    let libvirt = Arc::new(Connection::new(&config.libvirt_uri)?);
    let version =
        libvirt.with(|libvirt| libvirt.get_lib_version().or_say(|| "libvirt does not tell its version")).await?;
    let accelerator = accelerator::decide(&libvirt, &config).await?;
    println!(
        "libvirt      {}.{}.{} on {}",
        version / 1_000_000,
        version / 1000 % 1000,
        version % 1000,
        config.libvirt_uri
    );
    println!("accelerator  {accelerator}");
    println!("data         {}", config.data_dir.display());
    println!("volumes      {}", config.pool().display());
    Ok(ExitCode::SUCCESS)
}

/// Lines for people on a terminal, JSON for machines elsewhere.
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("CIRRO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
