//! `cirro`: everything a user or operator types.
//!
//! A command is read ([`args`]), a [`site::Site`] is opened for it (address, login, output), and the noun's file in
//! [`nouns`] says what its arguments mean. The verbs themselves are written once for every model, in [`verbs`].

mod args;
mod audit;
mod bytes;
mod capacity;
mod escape;
mod events;
mod failure;
mod heard;
mod input;
mod launch;
mod login;
mod names;
mod nouns;
mod out;
mod profile;
mod quantity;
mod quota;
mod resolve;
mod serve;
mod simulated;
mod site;
mod site_verbs;
mod table;
mod undo;
mod up;
mod verbs;
mod wait;
mod why;
mod why_not;

use args::{Cli, Command, Global};
use cirro_deploy::spans::Spans;
use cirro_models::Trace;
use clap::Parser;
use failure::Failure;
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::{Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// For what is awaited: requests are answered on others, and the database has its own.
const THREADS: usize = 2;

fn main() -> ExitCode {
    // first of all who use it: it must not clean up at the exit while threads of a site still have connections
    openssl::init();
    let Cli { global, command } = Cli::parse();
    match run(&global, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no threads can be started: {error}")))?;
    // a command that serves tells of itself
    let spans = match command.serves() {
        Some(name) => Spans::from_environment(name, runtime.handle())?,
        None => None,
    };
    log(command.default_log(), spans.clone())?;
    let outcome = runtime.block_on(command.run(global));
    if let Some(spans) = spans {
        spans.end();
    }
    // a prompt or a disk that still blocks must not keep a finished command
    runtime.shutdown_background();
    outcome
}

/// Commands log nothing, unless `CIRRO_LOG` says what (such as `debug`); a command that serves gives a default.
fn log(default: Option<&str>, spans: Option<Spans>) -> Result<(), Failure> {
    let Some(filter) = std::env::var("CIRRO_LOG").ok().or(default.map(str::to_owned)) else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).map_err(|error| {
        Failure::usage(format!("CIRRO_LOG={filter} can't be understood ({error}): try CIRRO_LOG=debug"))
    })?;
    // lines for people, and JSON for what collects logs
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.boxed()
    } else {
        // the innermost span stands among the others
        lines.json().flatten_event(true).with_current_span(false).boxed()
    };
    match spans {
        // one filter for all costs less than one for each
        None => tracing_subscriber::registry().with(lines).with(filter).try_init().ok(),
        Some(spans) => {
            let parts = tracing_subscriber::filter::Targets::new().with_target(Trace::TARGET, LevelFilter::TRACE);
            let all = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans.with_filter(parts));
            all.try_init().ok()
        }
    };
    Ok(())
}
