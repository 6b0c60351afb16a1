//! The machines of one process with their agents, from their begin to their end.

use super::{
    Simulation,
    failing::{Ending, Plight, plights},
    threads::Threads,
    watchdog::Watchdog,
};
use cirro_compute::fence::Patience;
use cirro_models::{Name, Result};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    control_plane::ControlPlane,
    simulated::{Knobs, Ledger, Simulated},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// A simulated machine tells of every change by itself, so nobody need look often.
const LOOK: Duration = Duration::from_mins(1);
/// The pause before an agent that has ended is followed by another one.
const RESTART: Duration = Duration::from_secs(1);

/// Simulated agents report often enough not to be taken for silent.
pub(crate) fn settings(patience: Patience) -> Settings {
    let usual = Settings::default();
    Settings { heartbeat: usual.heartbeat.min(patience.silent / 4).min(patience.stuck / 2), look: LOOK, ..usual }
}

/// The machines of one process.
pub(crate) struct Lives {
    simulation: Simulation,
    settings: Settings,
    ledger: Option<Ledger>,
    plights: BTreeMap<u32, Plight>,
    began: Instant,
    made: HashMap<Name, Arc<Simulated>>,
    end: watch::Sender<()>,
    threads: Threads,
}

impl Lives {
    /// None has begun.
    pub(crate) fn new(simulation: Simulation, settings: Settings, ledger: Option<Ledger>) -> Result<Self> {
        let plights = plights(&simulation.failing, &simulation.numbers(), simulation.seed);
        let (began, end) = (Instant::now(), watch::Sender::new(()));
        let threads = Threads::begin()?;
        Ok(Self { simulation, settings, ledger, plights, began, made: HashMap::new(), end, threads })
    }
    /// A machine begins, with what the ledger says of it, and its agent.
    pub(crate) fn begin(&mut self, number: u32, control_plane: Arc<dyn ControlPlane>) -> Result<()> {
        let name = Simulation::name(number)?;
        let plight = self.plights.remove(&number).unwrap_or_default();
        let machine = Simulated::new(self.knobs(number))
            .failing(self.began, plight.faults.clone())
            .recorded(self.ledger.as_ref().map(|ledger| ledger.book(name.clone())));
        let machine = Arc::new(machine);
        self.made.insert(name, machine.clone());
        let watchdog = self.simulation.watchdog.map(|within| Arc::new(Watchdog::new(within)));
        if let Some(watchdog) = &watchdog {
            self.threads.spawn(watchdog.clone().watch(machine.clone()));
        }
        let (settings, machine_of_agent) = (self.settings, machine.clone());
        let agent = move || {
            let agent = Agent::new(control_plane.clone(), machine_of_agent.clone(), settings);
            match &watchdog {
                Some(watchdog) => agent.watched_by(watchdog.clone()),
                None => agent,
            }
        };
        self.threads.spawn(live(agent, machine, self.began, plight, self.end.subscribe()));
        Ok(())
    }
    /// The machines by name.
    pub(crate) fn machines(&self) -> HashMap<Name, Arc<Simulated>> {
        self.made.clone()
    }
    /// Ends the agents; the ledger is complete then.
    pub(crate) async fn end(self) {
        drop(self.end);
        if let Some(ledger) = self.ledger {
            ledger.end().await;
        }
    }

    fn knobs(&self, number: u32) -> Knobs {
        let simulation = &self.simulation;
        Knobs {
            vcpus: i64::from(simulation.vcpus),
            memory_mib: simulation.memory_mib(),
            boot: simulation.boot.times(),
            // each node has its own chance
            seed: simulation.seed ^ (u64::from(number) << 32),
            ..Knobs::default()
        }
    }
}

/// One agent after the other, until their process ends or they meet their own end.
async fn live(
    agent: impl Fn() -> Agent + Send,
    machine: Arc<Simulated>,
    began: Instant,
    plight: Plight,
    ended: watch::Receiver<()>,
) {
    if machine.is_lost() {
        tracing::info!("a simulated node stays away: its machine was lost, as the ledger says");
        return;
    }
    let its_end = async {
        match plight.ending {
            Some((ending, at)) => {
                tokio::time::sleep_until(began + at).await;
                ending
            }
            None => std::future::pending().await,
        }
    };
    // the agent's future is dropped there, as by `kill -9`
    let ending = tokio::select! {
        () = agents(agent, ended) => return,
        // somebody has switched it off
        () = machine.until_lost() => return,
        ending = its_end => ending,
    };
    tracing::info!(?ending, "a simulated node meets its end, as --fail says");
    if ending == Ending::Crash
        && let Err(failure) = machine.lose().await
    {
        tracing::error!(reason = failure.with_causes(), "a simulated machine could not crash");
    }
}

/// An agent whose watchdog has stopped its guests is followed by another one, as a service's process is.
async fn agents(agent: impl Fn() -> Agent + Send, ended: watch::Receiver<()>) {
    loop {
        let mut end = ended.clone();
        let stop = async move { drop(end.changed().await) };
        if agent().run(stop).await == Ended::Told {
            return;
        }
        tokio::time::sleep(RESTART).await;
    }
}
