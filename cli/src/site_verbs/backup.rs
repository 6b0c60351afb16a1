//! `cirro site backup` and `cirro site restore`.

use crate::{failure::Failure, out};
use cirro_deploy::site::backup::{Parts, put_back, take};
use cirro_models::{Error, Name};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
struct Which {
    /// The folder that `cirro up` or `cirro site up` was given
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The site's name, for one on PostgreSQL
    #[arg(long)]
    name: Option<Name>,
    /// A database of the PostgreSQL server; with a password, better in `CIRRO_POSTGRES`
    #[arg(long, value_name = "postgres://…", env = "CIRRO_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
}

impl Which {
    fn parts(&self) -> Result<Parts, Failure> {
        // the variable may be set for another site than one on SQLite
        let postgres = self.postgres.as_deref().filter(|_| self.name.is_some());
        Parts::of(&self.data, postgres, self.name.as_ref()).map_err(Failure::from)
    }
}

#[derive(Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    site: Which,
    /// The file, which must not be there yet; whoever has it can be the site
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl BackupArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let manifest = take(&self.site.parts()?, &self.to).await?;
        let databases = manifest.databases.len();
        let more = if manifest.folder { ", the authority and the credentials" } else { "" };
        out::text(&format!(
            "{} holds {databases} databases{more}, but neither images nor disks; keep it where only operators reach it",
            self.to.display()
        ))
    }
}

#[derive(Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    site: Which,
    /// The file of a backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

impl RestoreArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let data = &self.site.data;
        tokio::fs::create_dir_all(data)
            .await
            .map_err(|error| Error::unavailable(format!("{} can't be made ({error})", data.display())))?;
        let manifest = put_back(&self.from, &self.site.parts()?, &data.join("site")).await?;
        out::text(&format!(
            "the site is as it was at {}: start it, and nodes tell what has happened since; guests that it does not know run on, see `cirro unclaimed list`",
            manifest.taken_at
        ))
    }
}

impl std::fmt::Debug for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the URL of the database may hold a password
        write!(f, "{}", self.data.display())
    }
}
impl std::fmt::Debug for BackupArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} to {}", self.site, self.to.display())
    }
}
impl std::fmt::Debug for RestoreArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} from {}", self.site, self.from.display())
    }
}
