//! What stops guests when compute has not said for too long that they may go on: a process of its own, or a simulated one. Where
//! it runs, compute may take over from this node without being able to switch it off.
//!
//! The agent asks compute for leases (`GET /compute/v1/nodelease/{node}`) and hands them on. A lease lasts from the moment at which it
//! was *asked for*, so whatever is slow only makes it shorter. Leases that follow each other without a gap are a *tenure*. When one
//! ends the watchdog ends the agent and whatever else may start a guest, then the guests, and lets nothing run until the next
//! one begins: only with an agent that has asked for no orders yet, so that nothing from before the gap is carried out after it.

use crate::{control_plane::ControlPlane, failure::Result, pulse::Listener};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How often it is looked whether there is a watchdog.
const LOOK: Duration = Duration::from_secs(5);
/// The longest pause after a lease that was not given.
const AGAIN: Duration = Duration::from_secs(1);
/// So many leases are asked for in the time of one, so that some of them may be lost.
const LEASES: u32 = 5;

/// A watchdog, as its agent sees it.
#[async_trait]
pub trait Watchdog: Send + Sync + 'static {
    /// The time since some moment, by a clock that goes on while the machine is suspended.
    fn now(&self) -> Duration;
    /// After how long without a lease it begins to stop everything; nothing where it does not run.
    async fn within(&self) -> Option<Duration>;
    /// Compute has said yes to what was asked at this moment. A `fresh` agent has asked for no orders yet. False if the tenure has
    /// ended: an agent that is not fresh must end.
    async fn extend(&self, asked: Duration, fresh: bool) -> Result<bool>;
}

/// The lease that a watchdog holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How long each one lasts.
    pub within: Duration,
    /// Until when the last one does. There was none at first: then nobody relies on it.
    pub until: Option<Duration>,
}

impl Lease {
    /// Takes a lease that was asked for at this moment, and answers whether it goes on from then. One of the future, or that is over
    /// already, is none; and only a `fresh` agent begins a tenure.
    pub fn extend(&mut self, asked: Duration, fresh: bool, now: Duration) -> bool {
        let until = asked + self.within;
        let begins = self.until.is_none() || self.is_over(now);
        let good = asked <= now && now < until && (fresh || !begins);
        if good {
            self.until = self.until.max(Some(until));
        }
        good
    }
    /// Whether nothing may run any more.
    pub fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// Gets leases for as long as the agent's wheel turns, and says when orders may be asked for. It returns when the agent has to end: then
/// another one begins, which knows no orders.
pub(crate) async fn keep(
    of: Arc<dyn ControlPlane>,
    watchdog: Arc<dyn Watchdog>,
    mut wheel: Listener,
    may_ask: watch::Sender<bool>,
) {
    // one that is not there when the agent begins is not waited for: nobody relies on it
    let mut tenure = if watchdog.within().await.is_some() { Tenure::None } else { Tenure::Unwatched };
    loop {
        may_ask.send_replace(tenure != Tenure::None);
        wheel.alive().await;
        let pause = match (watchdog.within().await, tenure) {
            // it has gone before anything was asked: the next agent does not wait for it
            (None, Tenure::None) => return,
            (None, _) => LOOK,
            (Some(_), Tenure::Unwatched) => {
                tracing::info!("a watchdog has begun: the agent begins anew with it");
                return;
            }
            (Some(_), Tenure::Until(until)) if watchdog.now() >= until => {
                tracing::error!(
                    "compute has not said for too long that the guests may go on: the agent ends, as they do"
                );
                return;
            }
            (Some(within), _) => match ask(of.as_ref(), watchdog.as_ref(), within, tenure == Tenure::None).await {
                Ok(Some(until)) => {
                    tenure = Tenure::Until(until);
                    within / LEASES
                }
                Ok(None) if tenure != Tenure::None => {
                    tracing::error!("the watchdog has stopped the guests: the agent ends, too");
                    return;
                }
                // it came too late, and the next one may not
                Ok(None) => AGAIN.min(within / LEASES),
                Err(reason) => {
                    tracing::debug!(reason, "there was no lease for the guests");
                    AGAIN.min(within / LEASES)
                }
            },
        };
        // the end of the last lease is not slept through; one that is over already ends nothing while the watchdog is away
        let rest = if let Tenure::Until(until) = tenure { until.saturating_sub(watchdog.now()) } else { pause };
        sleep(if rest.is_zero() { pause } else { pause.min(rest) }).await;
    }
}

/// What an agent knows of the time in which guests may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tenure {
    /// There has been no lease yet.
    None,
    /// Until then, by the watchdog's clock.
    Until(Duration),
    /// There was no watchdog.
    Unwatched,
}

/// Asks for a lease and hands it on; answers until when it lasts, if the tenure has not ended.
async fn ask(
    of: &dyn ControlPlane,
    watchdog: &dyn Watchdog,
    within: Duration,
    fresh: bool,
) -> std::result::Result<Option<Duration>, String> {
    let asked = watchdog.now();
    let answer = timeout(within / LEASES, of.lease(within)).await;
    answer.map_err(|_| "compute does not answer".to_owned())?.map_err(|error| error.to_string())?;
    let goes_on = watchdog.extend(asked, fresh).await.map_err(|failure| failure.with_causes())?;
    Ok(goes_on.then_some(asked + within))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::Desk, pulse::Pulse};
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    use tokio::time::{Instant, advance};

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_lasts_from_when_it_was_asked_for_and_only_a_fresh_agent_begins_a_tenure() {
        let mut lease = Lease { within: 30 * S, until: None };
        assert!(!lease.is_over(1_000_000 * S), "nobody relies on a watchdog that has never had a lease");
        assert!(!lease.extend(10 * S, false, 15 * S), "whoever knows orders begins nothing");
        assert!(lease.extend(10 * S, true, 15 * S));
        assert!(!lease.is_over(39 * S) && lease.is_over(40 * S));
        assert!(lease.extend(5 * S, false, 16 * S), "an answer that was overtaken");
        assert!(!lease.is_over(39 * S) && lease.is_over(40 * S));
        assert!(!lease.extend(10 * S, true, 40 * S), "it came too late");
        assert!(!lease.extend(51 * S, true, 50 * S), "nothing was asked for in the future");
        assert!(!lease.extend(45 * S, false, 50 * S), "the tenure has ended");
        assert!(lease.is_over(50 * S));
        assert!(lease.extend(50 * S, true, 50 * S) && lease.extend(60 * S, false, 61 * S) && !lease.is_over(89 * S));
    }

    struct Played {
        asked: AtomicUsize,
        began: Instant,
        lease: Mutex<Lease>,
        there: AtomicBool,
    }

    impl Played {
        fn new(there: bool) -> Arc<Self> {
            let lease = Mutex::new(Lease { within: 30 * S, until: None });
            Arc::new(Self { asked: AtomicUsize::new(0), began: Instant::now(), lease, there: AtomicBool::new(there) })
        }
        fn is_over(&self) -> bool {
            self.lease.lock().is_over(self.now())
        }
    }

    #[async_trait]
    impl Watchdog for Played {
        fn now(&self) -> Duration {
            self.began.elapsed()
        }
        async fn within(&self) -> Option<Duration> {
            self.asked.fetch_add(1, Relaxed);
            self.there.load(Relaxed).then(|| self.lease.lock().within)
        }
        async fn extend(&self, asked: Duration, fresh: bool) -> Result<bool> {
            Ok(self.lease.lock().extend(asked, fresh, self.now()))
        }
    }

    async fn pass(seconds: u32, wheel: Option<&Pulse>) {
        for _ in 0..seconds {
            wheel.inspect(|wheel| wheel.beat(Duration::ZERO));
            advance(S).await;
            // whoever is woken by that goes first
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_got_while_compute_gives_them_and_the_agent_ends_with_the_last() {
        let ((pulse, wheel), desk, watchdog) = (Pulse::new(), Arc::new(Desk::new(None)), Played::new(true));
        let (may_ask, asks) = watch::channel(false);
        desk.with(|papers| papers.down = true);
        let keeping = tokio::spawn(keep(desk.clone(), watchdog.clone(), wheel, may_ask));
        pass(100, Some(&pulse)).await;
        assert!(!*asks.borrow() && !keeping.is_finished(), "no orders before the first lease");
        desk.with(|papers| papers.down = false);
        pass(300, Some(&pulse)).await;
        assert!(*asks.borrow() && !watchdog.is_over() && watchdog.lease.lock().until.is_some());
        desk.with(|papers| papers.down = true);
        pass(22, Some(&pulse)).await;
        assert!(!watchdog.is_over() && !keeping.is_finished());
        pass(10, Some(&pulse)).await;
        assert!(watchdog.is_over() && keeping.is_finished(), "compute gives none");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_hung_for_longer_than_a_lease_ends_and_one_with_a_new_watchdog_begins_anew() {
        let ((pulse, wheel), desk, watchdog) = (Pulse::new(), Arc::new(Desk::new(None)), Played::new(true));
        let keeping = tokio::spawn(keep(desk.clone(), watchdog.clone(), wheel, watch::channel(false).0));
        pass(30, Some(&pulse)).await;
        pass(200, None).await;
        assert!(watchdog.is_over() && !keeping.is_finished(), "it hangs");
        pass(10, Some(&pulse)).await;
        assert!(watchdog.is_over() && keeping.is_finished(), "and ends when it goes on");

        let ((pulse, wheel), watchdog, (may_ask, asks)) = (Pulse::new(), Played::new(false), watch::channel(false));
        let keeping = tokio::spawn(keep(desk, watchdog.clone(), wheel, may_ask));
        pass(30, Some(&pulse)).await;
        assert!(*asks.borrow() && !keeping.is_finished(), "nobody relies on what is not there");
        watchdog.there.store(true, Relaxed);
        pass(10, Some(&pulse)).await;
        assert!(keeping.is_finished() && watchdog.lease.lock().until.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_outlives_its_watchdog_and_does_not_wait_for_one_that_has_never_given_a_lease() {
        let ((pulse, wheel), desk, watchdog) = (Pulse::new(), Arc::new(Desk::new(None)), Played::new(true));
        let keeping = tokio::spawn(keep(desk.clone(), watchdog.clone(), wheel, watch::channel(false).0));
        pass(30, Some(&pulse)).await;
        watchdog.there.store(false, Relaxed);
        pass(40, Some(&pulse)).await;
        assert!(watchdog.is_over() && !keeping.is_finished(), "it looks after the guests that are there");
        let asked = watchdog.asked.load(Relaxed);
        pass(100, Some(&pulse)).await;
        let more = watchdog.asked.load(Relaxed) - asked;
        assert!((10..=25).contains(&more), "it looks for the watchdog every five seconds, and did {more} times");
        watchdog.there.store(true, Relaxed);
        pass(10, Some(&pulse)).await;
        assert!(keeping.is_finished(), "what it knows is from before the gap");

        let ((pulse, wheel), watchdog, (may_ask, asks)) = (Pulse::new(), Played::new(true), watch::channel(false));
        desk.with(|papers| papers.down = true);
        let keeping = tokio::spawn(keep(desk, watchdog.clone(), wheel, may_ask));
        pass(10, Some(&pulse)).await;
        assert!(!*asks.borrow() && !keeping.is_finished());
        watchdog.there.store(false, Relaxed);
        pass(10, Some(&pulse)).await;
        assert!(keeping.is_finished(), "the next one asks without it");
    }
}
