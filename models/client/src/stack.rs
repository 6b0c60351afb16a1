//! The stack, in the order in which a request travels.

use crate::{
    address::Address,
    balance::{Balance, BalanceParams, Endpoint},
    connect::{Connect, ConnectParams, Dial},
    deadline::DeadlineLayer,
    discovery::Endpoints,
    eject::{EjectLayer, EjectParams, Health},
    metrics::Metrics,
    pool::{Pool, PoolParams},
    request::{Fault, Reply, Sending},
    retry::{RetryLayer, RetryParams},
    sign::SignLayer,
    trace::TraceLayer,
};
use std::sync::Arc;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

/// The parameters of every layer that has some.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// How often a call is sent again.
    pub retry: RetryParams,
    /// How its endpoint is chosen.
    pub balance: BalanceParams,
    /// When an endpoint gets no more calls.
    pub eject: EjectParams,
    /// How many connections an endpoint gets.
    pub pool: PoolParams,
    /// How they are opened.
    pub connect: ConnectParams,
}

/// The way to one service.
pub(crate) type Stack = BoxCloneSyncService<Sending, Reply, Fault>;

/// The way to a service whose endpoints are known so.
pub(crate) fn stack(
    service: &str,
    known: Endpoints,
    dial: Arc<dyn Dial>,
    params: &Params,
    metrics: &Arc<Metrics>,
) -> Stack {
    let below = (params.clone(), metrics.clone());
    let make = move |address: &Address| endpoint(address, dial.clone(), &below.0, &below.1);
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // first, so that everything below is found under the request's id
            .layer(TraceLayer(metrics.trace.clone()))
            // around the retries: one deadline for all tries
            .layer(DeadlineLayer(metrics.deadline.clone()))
            // above the balancer, so that another try may go elsewhere
            .layer(RetryLayer::new(&params.retry, metrics.retry.clone()))
            // below the retries: each try proves anew in whose name it comes
            .layer(SignLayer)
            .service(Balance::new(service.into(), known, Box::new(make), &params.balance, metrics.balance.clone())),
    )
}

/// The way to one endpoint.
fn endpoint(
    address: &Address,
    dial: Arc<dyn Dial>,
    params: &Params,
    metrics: &Metrics,
) -> Endpoint<impl crate::request::Step + use<>> {
    let health = Health::new(address.to_string().into(), params.eject.clone(), metrics.eject.clone());
    let connect = Connect::new(address.clone(), dial, params.connect.clone(), metrics.pool.open.clone());
    let service = ServiceBuilder::new()
        // sees how every call ends, those included that get no connection
        .layer(EjectLayer(health.clone()))
        .service(Pool::new(address, connect, &params.pool, metrics.pool.clone()));
    Endpoint::new(address.clone(), health, service)
}
