//! `cirro sshkey`.

use crate::{
    failure::Failure,
    input,
    nouns::Noun,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update},
};
use cirro_models::{
    Name,
    compute::{
        SshKey,
        ssh_key::{NewSshKey, SshKeyFilter, SshKeyPatch},
    },
    patch::MAX_TEXT,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

impl Noun for SshKey {
    const WORD: &'static str = "sshkey";
    const NAME: Option<fn(&Self) -> &Name> = Some(|key| &key.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |key, _| key.name.to_string()),
        Column("TYPE", |key, _| key.public_key.split(' ').next().unwrap_or_default().to_owned()),
        Column("COMMENT", |key, _| key.public_key.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()),
        Column("ID", |key, _| key.id.to_string()),
    ];
    fn named(name: Name) -> Option<SshKeyFilter> {
        Some(SshKeyFilter { name: Some(name), ..SshKeyFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List public SSH keys
    List(List<Narrow>),
    /// Show a public SSH key
    Show(Show),
    /// Add a public SSH key, for instances that are created with it
    Create(Create<New>),
    /// Change a key's name or labels
    Update(Update<Change>),
    /// Delete keys; instances that have them keep them
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<SshKeyFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<SshKeyFilter, Failure> {
        Ok(SshKeyFilter { name: self.name, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    #[arg(long, help = "The file with the public key, such as ~/.ssh/id_ed25519.pub; `-` is stdin")]
    file: PathBuf,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewSshKey> for New {
    async fn read(self, _: &Site) -> Result<NewSshKey, Failure> {
        let text = input::text_file(&self.file, MAX_TEXT)?;
        if text.contains("PRIVATE KEY") {
            return Err(Failure::usage(format!(
                "{} is a private key, which stays with you: give the public one beside it, which ends in .pub",
                self.file.display()
            )));
        }
        Ok(NewSshKey { name: self.name, public_key: text.trim().to_owned(), labels: self.labels.read() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<SshKeyPatch> for Change {
    async fn read(self, _: &Site) -> Result<SshKeyPatch, Failure> {
        Ok(SshKeyPatch { name: self.name, labels: self.labels.read() })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<SshKey>(site).await,
            Self::Show(args) => args.run::<SshKey>(site).await,
            Self::Create(args) => args.run::<SshKey>(site).await,
            Self::Update(args) => args.run::<SshKey>(site).await,
            Self::Delete(args) => args.run::<SshKey>(site).await,
        }
    }
}
