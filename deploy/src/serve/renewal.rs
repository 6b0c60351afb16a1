//! What keeps the certificate of a process fresh.

use crate::serve::Options;
use cirro_client::{Credential, Http, Place, Reach, Renewal, Tls};
use cirro_models::{Result, Service};
use cirro_server::tls::ServingTls;
use std::sync::Arc;

/// Renews the credential of a process, in its folder, and swaps what it calls and what it serves with; to be run.
pub(super) fn of(options: &Options, held: &Credential, calls: &Tls, serves: &ServingTls) -> Result<Renewal> {
    // identity's own processes ask one of themselves
    let place = options.registry_of(Service::Identity).parse::<Place>()?;
    let reach = Reach { tls: Some(calls.clone()), site: Some(held.site().to_string()), ..Reach::default() };
    let http = Arc::new(Http::each_at(&[(Service::Identity, place)], &reach)?);
    let (calls, serves) = (calls.clone(), serves.clone());
    let swap = move |fresh: &Credential| {
        calls.swap(fresh.ca(), Some(&fresh.identity()?))?;
        serves.swap(fresh)
    };
    Ok(Renewal::new(held.clone(), options.credential.clone(), http, Box::new(swap)))
}
