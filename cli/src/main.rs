//! `cirro`: everything a user or operator types.
//!
//! A command is read ([`args`]), a [`site::Site`] is opened for it (address, login, output), and the noun's file in
//! [`nouns`] says what its arguments mean. The verbs themselves are written once for every model, in [`verbs`].

mod args;
mod bytes;
mod escape;
mod failure;
mod heard;
mod input;
mod login;
mod names;
mod nouns;
mod out;
mod profile;
mod quantity;
mod resolve;
mod serve;
mod site;
mod site_verbs;
mod table;
mod up;
mod verbs;
mod wait;

use args::{Cli, Command, Global};
use clap::Parser;
use failure::Failure;
use std::{io::IsTerminal, process::ExitCode};

fn main() -> ExitCode {
    // first of all who use it: it must not clean up at the exit while threads of a site still have connections
    openssl::init();
    let Cli { global, command } = Cli::parse();
    let outcome = log(command.default_log()).and_then(|()| run(&global, command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no threads can be started: {error}")))?;
    let outcome = runtime.block_on(command.run(global));
    // a prompt or a disk that still blocks must not keep a finished command
    runtime.shutdown_background();
    outcome
}

/// Commands log nothing, unless `CIRRO_LOG` says what (such as `debug`); a command that serves gives a default.
fn log(default: Option<&str>) -> Result<(), Failure> {
    let Some(filter) = std::env::var("CIRRO_LOG").ok().or(default.map(str::to_owned)) else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).map_err(|error| {
        Failure::usage(format!("CIRRO_LOG={filter} can't be understood ({error}): try CIRRO_LOG=debug"))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // lines for people, and JSON for what collects logs
    if std::io::stderr().is_terminal() {
        log.try_init().ok();
    } else {
        // the innermost span stands among the others
        log.json().flatten_event(true).with_current_span(false).try_init().ok();
    }
    Ok(())
}
