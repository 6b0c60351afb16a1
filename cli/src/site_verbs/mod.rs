//! `cirro site …`: what an operator does with a site of several processes.

mod init;

use crate::failure::Failure;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the site's certificate authority, and what its services prove their roles with; can be repeated
    Init(init::InitArgs),
}

impl Verb {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run().await,
        }
    }
}
