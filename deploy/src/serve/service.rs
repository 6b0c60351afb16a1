//! One service with its database, by name.

use crate::{serve::Options, up};
use cirro_compute::fence::Takeover;
use cirro_identity::{
    authority::Authority,
    bootstrap::{self, FirstAdmin},
};
use cirro_images::{
    UploadLimits,
    bytes::{ByteStore, Options as StoreOptions},
};
use cirro_models::{Error, Result, Service};
use cirro_server::{Database, Owner, owner::Running, token::Verifier};
use std::{path::PathBuf, sync::Arc};

/// Opens the service's database, brings its tables up to date, and puts the service together.
pub(super) async fn open(options: &Options, verifier: &Arc<Verifier>) -> Result<Owner> {
    let database = |migrations| Database::open_keeping(&options.database, migrations, options.backups.clone());
    Ok(match options.service {
        Service::Identity => {
            let authority = authority(options.authority.clone()).await?;
            cirro_identity::service(database(cirro_identity::MIGRATIONS).await?, verifier.clone(), authority).await?
        }
        Service::Compute => {
            let fence = up::fence(options.fence_command.clone())?;
            let takeover = Takeover { fence, patience: options.patience };
            cirro_compute::service_with(database(cirro_compute::MIGRATIONS).await?, takeover)
        }
        Service::Storage => cirro_storage::service(database(cirro_storage::MIGRATIONS).await?),
        Service::Images => {
            let folder = options.data.clone().ok_or_else(|| {
                Error::invalid(
                    "data",
                    "images needs a folder for bytes, the same for all of its processes: add --data DIR",
                )
            })?;
            let bytes = ByteStore::open_at(folder, StoreOptions::default()).await.map_err(|error| {
                Error::unavailable(format!("the folder of images can't be used ({error}): check its rights"))
            })?;
            cirro_images::service(database(cirro_images::MIGRATIONS).await?, bytes, &UploadLimits::default())
        }
    })
}

/// The site's authority, without which no machine joins and no certificate is renewed.
async fn authority(folder: Option<PathBuf>) -> Result<Option<Arc<Authority>>> {
    let Some(folder) = folder else { return Ok(None) };
    let load = move || Authority::load(&folder);
    tokio::task::spawn_blocking(load).await.map_err(Error::internal)?.map(|authority| Some(Arc::new(authority)))
}

/// What a new site gets; nothing when it is not new.
pub(super) async fn first_start(options: &Options, running: &Running) -> Result<()> {
    let ctx = running.own_context();
    match options.service {
        Service::Identity if bootstrap::is_first_start(&ctx).await? => {
            let Some(file) = &options.first_admin else {
                return Err(Error::invalid(
                    "first_admin",
                    "this site has no user yet: add --first-admin FILE with the file that `cirro site init` has written",
                ));
            };
            let text = tokio::fs::read_to_string(file).await.map_err(|error| {
                Error::unavailable(format!(
                    "the first administrator's login {} can't be read ({error})",
                    file.display()
                ))
            })?;
            let admin: FirstAdmin = serde_json::from_str(&text).map_err(|error| {
                let what = format!("{} is no such login ({error}): make it with `cirro site init`", file.display());
                Error::invalid("first_admin", what)
            })?;
            if bootstrap::first_start(&ctx, admin).await? {
                tracing::info!(file = %file.display(), "the site has its first administrator now, who logs in as that file says");
            }
            Ok(())
        }
        Service::Compute => cirro_compute::defaults::flavors(&ctx).await,
        _ => Ok(()),
    }
}
