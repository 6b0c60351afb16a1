//! Balance: which endpoint gets the call. The least loaded of those that are up; with an aperture, of the few that the
//! load needs. An endpoint that was ejected and is due gets one call that may be repeated, as a probe.

pub(crate) mod aperture;
mod pick;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use crate::{
    address::Address,
    discovery::Endpoints,
    eject::{Health, Standing},
    metrics::{Counter, Gauge},
    request::{Fault, Reply, Sending, Step, Way},
};
use aperture::Aperture;
pub use aperture::ApertureParams;
use parking_lot::Mutex;
use pick::{Seen, pick};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt};

/// How endpoints are chosen.
#[derive(Debug, Clone)]
pub struct BalanceParams {
    /// Use no more endpoints than the load needs. Off by default: it pays with many clients and many endpoints.
    pub aperture: Option<ApertureParams>,
    /// How long a call waits while no endpoint is known at all.
    pub patience: Duration,
}

impl Default for BalanceParams {
    fn default() -> Self {
        Self { aperture: None, patience: Duration::from_secs(2) }
    }
}

/// One endpoint: its way down, and what is known of it.
pub(crate) struct Endpoint<S> {
    pub(crate) address: Address,
    pub(crate) name: Arc<str>,
    pub(crate) health: Arc<Health>,
    pub(crate) service: S,
    load: AtomicUsize,
}

impl<S> Endpoint<S> {
    /// An endpoint without load.
    pub(crate) fn new(address: Address, health: Arc<Health>, service: S) -> Self {
        Self { name: address.to_string().into(), address, health, service, load: AtomicUsize::new(0) }
    }
}

/// A call under way to an endpoint.
struct Load<S>(Arc<Endpoint<S>>);

impl<S> Drop for Load<S> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

/// Makes the way down to an address.
type Make<S> = Box<dyn Fn(&Address) -> Endpoint<S> + Send + Sync>;

/// Chooses among the endpoints that are known now.
pub(crate) struct Balance<S> {
    inner: Arc<Inner<S>>,
}

impl<S> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<S> {
    service: Arc<str>,
    known: Endpoints,
    make: Make<S>,
    params: BalanceParams,
    /// Gives each process an order of its own, so that not all apertures open on the same endpoints.
    order: RandomState,
    chosen: Mutex<Chosen<S>>,
    metrics: Arc<BalanceMetrics>,
}

struct Chosen<S> {
    /// What the endpoints were made from.
    from: Arc<[Address]>,
    endpoints: Vec<Arc<Endpoint<S>>>,
    aperture: Option<Aperture>,
    start: usize,
}

impl<S: Step> Balance<S> {
    /// Chooses among what `known` says, for calls to this service.
    pub(crate) fn new(
        service: Arc<str>,
        known: Endpoints,
        make: Make<S>,
        params: &BalanceParams,
        metrics: Arc<BalanceMetrics>,
    ) -> Self {
        let aperture = params.aperture.clone().map(Aperture::new);
        let chosen = Mutex::new(Chosen { from: Arc::from([]), endpoints: Vec::new(), aperture, start: 0 });
        let (params, order) = (params.clone(), RandomState::new());
        Self { inner: Arc::new(Inner { service, known, make, params, order, chosen, metrics }) }
    }
}

impl<S: Step> Service<Sending> for Balance<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, sending: Sending) -> Way {
        let inner = self.inner.clone();
        Box::pin(async move {
            let load = match inner.choose(&sending) {
                Some(load) => load,
                None => inner.wait(&sending).await?,
            };
            let answer = load.0.service.clone().oneshot(sending).await;
            answer.map(|reply| reply.holding(load))
        })
    }
}

impl<S: Step> Inner<S> {
    /// The endpoint for this call, if any is known. Choosing and counting are one step, so that calls that come at once
    /// do not all choose the same.
    fn choose(&self, sending: &Sending) -> Option<Load<S>> {
        let mut chosen = self.chosen.lock();
        self.follow(&mut chosen);
        let repeatable = sending.repeatable();
        let Chosen { endpoints, aperture, start, .. } = &mut *chosen;
        let mut seen: Vec<Seen> = endpoints.iter().map(|endpoint| endpoint.seen(sending)).collect();
        // only a call that may be repeated: it is the one that pays if the endpoint is still down
        let probe = seen.iter().position(|one| repeatable && one.standing == Standing::Due && !one.tried);
        let place = if let Some(place) = probe {
            endpoints[place].health.probe();
            self.metrics.probes.add();
            place
        } else {
            if let Some(aperture) = aperture {
                narrow(&mut seen, aperture);
            }
            pick(&seen, *start)?
        };
        if probe.is_none() && seen[place].standing != Standing::Up {
            self.metrics.all_down.add();
        }
        *start = start.wrapping_add(1);
        let endpoint = endpoints[place].clone();
        endpoint.load.fetch_add(1, Relaxed);
        Some(Load(endpoint))
    }
    /// Takes over what discovery says now. An endpoint that stays keeps its connections and its health.
    fn follow(&self, chosen: &mut Chosen<S>) {
        let now = self.known.now();
        if Arc::ptr_eq(&now, &chosen.from) {
            return;
        }
        let mut before = std::mem::take(&mut chosen.endpoints);
        chosen.endpoints = now
            .iter()
            .map(|address| match before.iter().position(|endpoint| endpoint.address == *address) {
                Some(place) => before.swap_remove(place),
                None => Arc::new((self.make)(address)),
            })
            .collect();
        chosen.endpoints.sort_by_cached_key(|endpoint| self.order.hash_one(&endpoint.address));
        let count = |endpoints: usize| i64::try_from(endpoints).unwrap_or(i64::MAX);
        self.metrics.endpoints.change(count(now.len()) - count(chosen.from.len()));
        chosen.from = now;
    }
    /// Waits a little for the first endpoint to become known.
    async fn wait(&self, sending: &Sending) -> Result<Load<S>, Fault> {
        let mut known = self.known.clone();
        let appears = async {
            loop {
                if let Some(load) = self.choose(sending) {
                    return Some(load);
                }
                known.changed().await?;
            }
        };
        let empty = || Fault::Empty { service: self.service.clone() };
        timeout(self.params.patience, appears).await.ok().flatten().ok_or_else(empty)
    }
}

impl<S> Endpoint<S> {
    fn seen(&self, sending: &Sending) -> Seen {
        let tried = sending.tried.contains(&self.name);
        Seen { standing: self.health.standing(), load: self.load.load(Relaxed), tried }
    }
}

/// Leaves only as many endpoints up as the aperture is wide: the first ones of this process's order. One that is down is
/// replaced by the next.
fn narrow(seen: &mut [Seen], aperture: &mut Aperture) {
    let underway = seen.iter().map(|one| one.load).sum();
    let up = seen.iter().filter(|one| one.standing == Standing::Up && !one.tried).count();
    let size = aperture.observe(underway, up, Instant::now());
    let beyond = seen.iter_mut().filter(|one| one.standing == Standing::Up && !one.tried).skip(size);
    beyond.for_each(|one| one.standing = Standing::Down);
}

/// What this layer counted.
#[derive(Debug, Default)]
pub struct BalanceMetrics {
    /// Endpoints that are known.
    pub endpoints: Gauge,
    /// Calls that probed an endpoint that was out.
    pub probes: Counter,
    /// Calls that went to a down endpoint because all were.
    pub all_down: Counter,
}
