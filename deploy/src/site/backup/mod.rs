//! `cirro site backup` and `restore`: all databases of a site, its authority and its credentials, in one file.
//!
//! The site runs on while it is taken. Each database's copy is of one moment, but not the same one for all: what a guest's
//! node says puts right what differs. The bytes of images and the disks of guests are not in it.

mod archive;

use crate::site::AUTHORITY;
use archive::{Reader, Writer};
use cirro_models::{Error, Result, Service, Timestamp};
use cirro_server::db::{Migrations, backup};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that says what the others are.
const MANIFEST: &str = "backup.json";
/// The highest kind of backup that this release understands.
const FORMAT: u32 = 1;

/// Where the parts of a site are.
pub struct Parts {
    /// The URL of each service's database. It may hold a password.
    pub databases: Vec<(Service, String)>,
    /// The folder that `cirro site init` made, if the site has one.
    pub folder: Option<PathBuf>,
    /// A database of the PostgreSQL server that the others are on, and their names there.
    server: Option<(String, Vec<String>)>,
}

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// How it is put together.
    pub format: u32,
    /// When it was begun.
    pub taken_at: Timestamp,
    /// The release that took it.
    pub version: String,
    /// The services whose databases are in it, by kind: `sqlite` or `postgres`.
    pub databases: Vec<(String, String)>,
    /// Whether the site's authority and credentials are in it.
    pub folder: bool,
}

impl Parts {
    /// The parts of a site that `cirro up` or `cirro site up` keeps in this folder; of the latter, databases of
    /// `postgres`, a server's URL, for the site `name`.
    pub fn of(data: &Path, postgres: Option<&str>, name: Option<&cirro_models::Name>) -> Result<Self> {
        let folder = Some(data.join("site")).filter(|folder| folder.join(AUTHORITY).exists());
        let (databases, server) = match (postgres, name) {
            (Some(postgres), Some(name)) => {
                let (mut databases, mut names) = (Vec::new(), Vec::new());
                for service in Service::ALL {
                    let (url, name) = super::up::database(postgres, name, service)?;
                    databases.push((service, url));
                    names.push(name);
                }
                (databases, Some((postgres.to_owned(), names)))
            }
            (None, None) => {
                let file = |service: Service| data.join(format!("{}.sqlite", service.name()));
                let url = |service| (service, format!("sqlite:{}", file(service).display()));
                (Service::ALL.into_iter().map(url).collect(), None)
            }
            _ => {
                let what = "a site on PostgreSQL takes both --postgres and --name, one on SQLite neither of them";
                return Err(Error::invalid("postgres", what));
            }
        };
        Ok(Self { databases, folder, server })
    }
}

fn kind(url: &str) -> &'static str {
    if url.starts_with("sqlite:") { "sqlite" } else { "postgres" }
}

/// Takes a backup into a file that is not there yet and that only its owner reads.
pub async fn take(parts: &Parts, to: &Path) -> Result<Manifest> {
    let manifest = Manifest {
        format: FORMAT,
        taken_at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        databases: parts.databases.iter().map(|(service, url)| (service.name().into(), kind(url).into())).collect(),
        folder: parts.folder.is_some(),
    };
    // copies are made beside the file: there is room for them, if there is any for it
    let beside = to.with_extension("parts");
    tokio::fs::create_dir(&beside).await.map_err(|error| {
        Error::unavailable(format!(
            "the folder {} can't be made ({error}): remove it, or give another file",
            beside.display()
        ))
    })?;
    let made = gather(parts, &manifest, &beside, to).await;
    let cleared = clear(&beside).await;
    made?;
    cleared.map(|()| manifest)
}

async fn gather(parts: &Parts, manifest: &Manifest, beside: &Path, to: &Path) -> Result<()> {
    let mut copies = Vec::new();
    for (service, url) in &parts.databases {
        let copy = beside.join(service.name());
        backup::copy(url, &copy).await?;
        copies.push((format!("databases/{}", service.name()), copy));
    }
    let (manifest, folder, to) =
        (serde_json::to_vec(manifest).map_err(Error::internal)?, parts.folder.clone(), to.to_owned());
    let write = move || {
        let mut archive = Writer::create(&to)?;
        archive.add(MANIFEST, &manifest)?;
        for (name, copy) in &copies {
            archive.add_file(name, copy)?;
        }
        if let Some(folder) = folder {
            archive.add_folder("site", &folder)?;
        }
        archive.finish()
    };
    tokio::task::spawn_blocking(write).await.map_err(Error::internal)?
}

/// Puts a backup back where there is nothing: databases that are empty or not there, a folder that is not there.
pub async fn put_back(from: &Path, parts: &Parts, folder: &Path) -> Result<Manifest> {
    let beside = from.with_extension("unpacked");
    let (file, to) = (from.to_owned(), beside.clone());
    let unpack = move || Reader::open(&file)?.unpack(&to);
    let put = match tokio::task::spawn_blocking(unpack).await.map_err(Error::internal)? {
        Ok(()) => place(parts, folder, &beside).await,
        Err(error) => Err(error),
    };
    // what was unpacked holds every secret of the site, also when it could not be put back
    let cleared = clear(&beside).await;
    let manifest = put?;
    cleared.map(|()| manifest)
}

/// Removes a folder of copies.
async fn clear(folder: &Path) -> Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::unavailable(format!("{} can't be removed ({error}): remove it yourself", folder.display())))
        }
        _ => Ok(()),
    }
}

async fn place(parts: &Parts, folder: &Path, unpacked: &Path) -> Result<Manifest> {
    let broken = |why: &str| Error::invalid("from", format!("this is no backup of a site that can be restored: {why}"));
    let text = tokio::fs::read(unpacked.join(MANIFEST)).await.map_err(|_| broken("it does not say what it is"))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| broken("it does not say what it is"))?;
    if manifest.format > FORMAT {
        return Err(broken(&format!("release {} has taken it: use that one", manifest.version)));
    }
    for (service, url) in &parts.databases {
        let taken = manifest.databases.iter().find(|(name, _)| name == service.name());
        let (_, taken) = taken.ok_or_else(|| broken(&format!("the database of {} is not in it", service.name())))?;
        if taken != kind(url) {
            let other = if taken == "postgres" { "with" } else { "without" };
            return Err(broken(&format!("its databases are of {taken}: restore it {other} --postgres and --name")));
        }
    }
    if manifest.folder {
        if folder.exists() {
            return Err(Error::conflict(format!(
                "{} is there already: restore into an empty folder",
                folder.display()
            )));
        }
        let (from, to) = (unpacked.join("site"), folder.to_owned());
        tokio::task::spawn_blocking(move || archive::put_folder(&from, &to)).await.map_err(Error::internal)??;
    }
    if let Some((server, names)) = &parts.server {
        for name in names {
            cirro_server::db::create(server, name).await?;
        }
    }
    for (service, url) in &parts.databases {
        backup::put_back(&unpacked.join("databases").join(service.name()), url, migrations(*service)).await?;
    }
    Ok(manifest)
}

fn migrations(service: Service) -> Migrations {
    match service {
        Service::Identity => cirro_identity::MIGRATIONS,
        Service::Compute => cirro_compute::MIGRATIONS,
        Service::Storage => cirro_storage::MIGRATIONS,
        Service::Images => cirro_images::MIGRATIONS,
    }
}
