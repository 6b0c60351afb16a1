//! The four services over their SQLite files, put together.

use crate::{data::Data, tasks};
use cirro_compute::fence::Takeover;
use cirro_images::{
    UploadLimits,
    bytes::{ByteStore, Options},
};
use cirro_models::{Error, Result};
use cirro_server::{Database, Owner, db::Migrations, owner::Running, token::Verifier};
use std::sync::Arc;

/// The services of a site in this process.
pub(crate) struct Site {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) identity: Running,
    pub(crate) compute: Running,
    pub(crate) storage: Running,
    pub(crate) images: Running,
}

async fn database(data: &Data, name: &str, migrations: Migrations) -> Result<Database> {
    // it holds password hashes and signing keys, and anybody may pass through the folder; SQLite makes the files beside
    // it with the same mode
    let file = data.private_file(&format!("{name}.sqlite"))?;
    Database::open(&format!("sqlite:{}", file.display()), migrations).await
}

/// Opens the databases and puts the services together.
pub(crate) async fn open(data: &Data, takeover: Takeover) -> Result<Site> {
    let verifier = Arc::new(Verifier::default());
    let bytes = ByteStore::open_at(data.folder("images")?, Options::default()).await.map_err(|error| {
        Error::unavailable(format!("the folder of images can't be used ({error}): check its rights"))
    })?;
    let owners = vec![
        cirro_identity::service(database(data, "identity", cirro_identity::MIGRATIONS).await?, verifier.clone(), None)
            .await?,
        cirro_compute::service_with(database(data, "compute", cirro_compute::MIGRATIONS).await?, takeover),
        cirro_storage::service(database(data, "storage", cirro_storage::MIGRATIONS).await?),
        cirro_images::service(
            database(data, "images", cirro_images::MIGRATIONS).await?,
            bytes,
            &UploadLimits::default(),
        ),
    ];
    let running: [Running; 4] =
        Owner::mount_together(owners).try_into().map_err(|_| Error::internal("four services make four"))?;
    let [identity, compute, storage, images] = running;
    Ok(Site { verifier, identity, compute, storage, images })
}

impl Site {
    /// All services.
    pub(crate) fn all(&self) -> [&Running; 4] {
        [&self.identity, &self.compute, &self.storage, &self.images]
    }
    /// Starts what the services do without being asked.
    pub(crate) fn tend(&self) {
        for service in self.all() {
            tasks::start(service);
        }
        let (identity, verifier) = (self.identity.clone(), self.verifier.clone());
        tokio::spawn(async move { cirro_server::token::follow(verifier, || identity.own_context()).await });
    }
}
