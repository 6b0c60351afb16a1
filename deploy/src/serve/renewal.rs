//! What keeps the certificate of a process fresh.

use crate::serve::Options;
use cirro_client::{Credential, Http, Place, Reach, Renewal, Tls};
use cirro_models::{Result, Service};
use cirro_server::tls::ServingTls;
use std::{path::Path, sync::Arc};

/// Renews the credential of a process, in its folder, and swaps what it calls and what it serves with; to be run.
pub(super) fn of(options: &Options, held: &Credential, calls: &Tls, serves: &ServingTls) -> Result<Renewal> {
    // identity's own processes ask one of themselves
    let serves = serves.clone();
    let place = options.registry_of(Service::Identity);
    asking(&place, &options.credential, held, calls, move |fresh| serves.swap(fresh))
}

/// Renews the credential in `folder` by asking identity, which `place` says where to find, and swaps what calls are made
/// with; `swapped` does what else there is to do.
pub(crate) fn asking(
    place: &str,
    folder: &Path,
    held: &Credential,
    calls: &Tls,
    swapped: impl Fn(&Credential) -> Result<()> + Send + Sync + 'static,
) -> Result<Renewal> {
    let (registry_tls, site) = (Some(held.registry_tls(calls)), Some(held.site().to_string()));
    let reach = Reach { tls: Some(calls.clone()), site, registry_tls, ..Reach::default() };
    let http = Arc::new(Http::each_at(&[(Service::Identity, place.parse::<Place>()?)], &reach)?);
    let calls = calls.clone();
    let swap = move |fresh: &Credential| {
        calls.swap(fresh.ca(), Some(&fresh.identity()?))?;
        swapped(fresh)
    };
    Ok(Renewal::new(held.clone(), folder.to_owned(), http, Box::new(swap)))
}
