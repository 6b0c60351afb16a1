//! `cirro site`: what those who run a site type.

mod queue;

use crate::{failure::Failure, site::Site};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum SiteVerb {
    /// Show the work that services have deferred; requeue or drop what they gave up
    #[command(after_help = "Examples:\n  cirro site queue --dead\n  cirro site queue requeue images 0197…\n  \
        cirro site queue drop images 0197…\n\n\
        What is done is shown for a day. A requeued job is tried as often as a new one.")]
    Queue(queue::Queue),
}

impl SiteVerb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::Queue(args) => args.run(site).await,
        }
    }
}
