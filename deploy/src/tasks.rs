//! What services do without being asked.

use cirro_models::Service;
use cirro_server::owner::Running;

/// Starts what a service does without being asked; it ends with the runtime.
pub(crate) fn start(running: &Running) {
    tokio::spawn(running.clone().tend());
    let service = running.clone();
    let ctx = move || service.own_context();
    match running.service() {
        Service::Identity => drop(tokio::spawn(cirro_identity::tasks::run(ctx))),
        Service::Compute => drop(tokio::spawn(cirro_compute::tasks::run(ctx))),
        Service::Storage => drop(tokio::spawn(cirro_storage::tasks::run(ctx))),
        Service::Images => drop(tokio::spawn(cirro_images::tasks::run(ctx))),
    }
}
