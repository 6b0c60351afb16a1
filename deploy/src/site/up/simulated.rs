//! A site's simulated nodes: one more process of it.

use super::{
    Options, Turn,
    process::{Change, Process},
};
use crate::simulated::{Simulation, power};
use cirro_models::{Error, Result};
use std::{ffi::OsString, path::Path, time::Duration};
use tokio::sync::mpsc::Sender;

/// Its name, as that of its log.
const NAME: &str = "simulated-1";
/// How long nodes may take to join: at least, and each.
const PATIENCE: [Duration; 2] = [Duration::from_secs(60), Duration::from_millis(500)];
/// How often there is a look whether they have.
const LOOK: Duration = Duration::from_millis(100);

/// The process that simulates them.
fn process(simulation: &Simulation, data: &Path, logs: &Path) -> Process {
    let mut words: Vec<OsString> = ["site", "simulate", "--until-stdin-closes", "--data"].map(Into::into).to_vec();
    words.push(data.into());
    let mut say = |flag: &str, value: String| words.push(format!("--{flag}={value}").into());
    say("nodes", simulation.nodes.to_string());
    say("first", simulation.first.to_string());
    say("seed", simulation.seed.to_string());
    say("boot-ms", simulation.boot.to_string());
    say("node-vcpus", simulation.vcpus.to_string());
    simulation.failing.iter().for_each(|failing| say("fail", failing.to_string()));
    if let Some(ledger) = &simulation.ledger {
        words.extend(["--ledger".into(), ledger.into()]);
    }
    let log = logs.join(format!("{NAME}.log"));
    Process { name: NAME.to_owned(), service: None, words, secrets: Vec::new(), log }
}

/// Starts it, and waits until its machines answer for their power: then their agents work.
pub(super) async fn begin(simulation: &Simulation, options: &Options, changes: &Sender<Change>) -> Result<Turn> {
    let process = process(simulation, &options.data, &options.data.join("logs"));
    let turn = Turn::start(vec![process], changes);
    let last = Simulation::name(simulation.numbers().end.saturating_sub(1))?;
    let wait = async {
        while power::ask(&options.data, power::Order::Status, &last).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let patience = PATIENCE[0] + PATIENCE[1] * simulation.nodes;
    let waited = tokio::time::timeout(patience, wait).await;
    waited.map(|()| turn).map_err(|_| {
        let what = format!("not all simulated nodes have joined after {} s", patience.as_secs());
        Error::unavailable(format!("{what}: see {NAME}.log in {}", options.data.join("logs").display()))
    })
}
