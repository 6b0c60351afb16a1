//! The options of `cirro launch`, which say what a launch file of one group says.

use crate::{
    failure::Failure,
    input,
    launch::file::{FileGroup, LaunchFile, MOST_BYTES},
    quantity,
    verbs::{Key, Labels},
};
use cirro_models::{
    Count, Error, Name,
    compute::{
        instance::{NodeLoss, UserData},
        placement::PlacementPolicy,
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

/// A name for instances that were given none: the image's, and digits that follow from the key, so that the same command
/// under the same key asks for the same.
fn made_up(image: &str, key: &Key) -> Result<Name, Failure> {
    let digest = openssl::sha::sha256(key.get().as_bytes());
    let digits = format!("{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]);
    let named = Name::parse(&format!("{image}-{digits}")).ok().filter(|_| uuid::Uuid::parse_str(image).is_err());
    match named {
        Some(name) => Ok(name),
        None => Name::parse(&format!("launch-{digits}")).map_err(|error| Failure::from(Error::internal(error))),
    }
}

/// What is launched, unless a file or a plan that exists says it.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What the plan is called [default: as the group; without both, made up from the image's name]
    #[arg(conflicts_with_all = ["file", "plan"])]
    name: Option<Name>,
    /// How many instances
    #[arg(long, value_name = "N", requires_all = ["flavor", "image"], conflicts_with_all = ["file", "plan"])]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    count: Option<i64>,
    /// Their size; see `cirro flavor list`
    #[arg(long, value_name = "NAME|ID", requires = "count")]
    flavor: Option<String>,
    /// The image that their root disks are made from
    #[arg(long, value_name = "NAME|ID", requires = "count")]
    image: Option<String>,
    /// What their names begin with: web makes web-0001, web-0002 and so on [default: as the plan]
    #[arg(long, alias = "name-prefix", value_name = "NAME", requires = "count")]
    group: Option<Name>,
    /// A public key that may log in; may be repeated; see `cirro sshkey`
    #[arg(long = "sshkey", alias = "ssh-key", value_name = "NAME|ID", requires = "count")]
    ssh_keys: Vec<String>,
    /// A file for each guest's first boot (cloud-init's user-data); `-` is stdin
    #[arg(long, value_name = "FILE", requires = "count")]
    user_data: Option<PathBuf>,
    /// What becomes of each when its node is lost: stay waits for it, recreate makes it anew elsewhere, without what its disk held
    #[arg(long, value_name = "stay|recreate", requires = "count")]
    on_node_loss: Option<NodeLoss>,
    #[command(flatten)]
    labels: Labels,
    /// Which of the nodes that have room is taken: spread shares evenly, `best_fit` fills one after the other
    #[arg(long, value_name = "spread|best_fit", requires = "count")]
    policy: Option<PlacementPolicy>,
    /// Launch as many as can be, where not all can
    #[arg(long, requires = "count")]
    best_effort: bool,
    /// Begin no more once this many have failed
    #[arg(long, value_name = "N", requires = "count", value_parser = clap::value_parser!(i64).range(1..))]
    max_failures: Option<i64>,
    /// How many may be on their way at a time
    #[arg(long, value_name = "N", requires = "count", value_parser = clap::value_parser!(i64).range(1..))]
    max_in_flight: Option<i64>,
    /// Remove them again after this time, such as 2h
    #[arg(long, value_name = "TIME", requires = "count")]
    expires_in: Option<String>,
}

impl Options {
    /// As the file that would say the same.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn file(self, key: &Key) -> Result<LaunchFile, Failure> {
        let (Some(count), Some(flavor), Some(image)) = (self.count, self.flavor, self.image) else {
            return Err(Failure::usage(
                "say what to launch: --count N --flavor F --image I, a launch file with -f, or a plan with --plan",
            ));
        };
        let group = match self.group.or_else(|| self.name.clone()) {
            Some(group) => group,
            None => made_up(&image, key)?,
        };
        let user_data = self.user_data.map(|file| input::text_file(&file, UserData::MAX)).transpose()?;
        if let Some(text) = &self.expires_in {
            quantity::duration(text).map_err(Failure::usage)?;
        }
        let group = FileGroup {
            name: group,
            count: Count::new(count),
            flavor,
            image,
            ssh_keys: self.ssh_keys,
            on_node_loss: self.on_node_loss,
            labels: self.labels.read(),
        };
        Ok(LaunchFile {
            name: self.name,
            groups: vec![group],
            relationships: Vec::new(),
            policy: self.policy,
            all_or_nothing: self.best_effort.then_some(false),
            max_failures: self.max_failures.map(Count::new),
            max_in_flight: self.max_in_flight.map(Count::new),
            expires_in: self.expires_in,
            user_data: user_data.map(UserData::new),
            labels: cirro_models::Labels::new(),
        })
    }
}

/// Reads a launch file; `-` is stdin.
pub(super) fn read(file: &Path) -> Result<LaunchFile, Failure> {
    LaunchFile::parse(&input::text_file(file, MOST_BYTES)?, file)
}
