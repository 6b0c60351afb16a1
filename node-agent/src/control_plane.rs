//! What the agent needs of the control plane: its orders, the bytes of images, and somebody to report to.

use crate::heartbeats::Heartbeats;
use async_trait::async_trait;
use cirro_models::{
    Result,
    compute::{
        assignment::{ImageSpec, NodeAssignment},
        report::NodeReport,
    },
    storage::assignment::{StorageAssignment, StorageReport},
};
use std::time::Duration;

/// The control plane as one node sees it. The node's own id and credential are the implementation's business.
#[async_trait]
pub trait ControlPlane: Send + Sync + 'static {
    /// Compute's orders: at once when they differ from those of the revision `since`, else after at most `wait`; nothing if
    /// they are the same then. Without a wait they are told in any case.
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<NodeAssignment>>;

    /// Storage's orders, in the same way.
    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<StorageAssignment>>;

    /// Passes heartbeats on to compute until they end, and returns when it says that it has heard them.
    async fn heartbeats(&self, beats: Heartbeats) -> Result<()>;

    /// Asks compute whether the guests here may go on, which would be stopped after so long without a yes. `Ok` is one.
    async fn lease(&self, within: Duration) -> Result<()>;

    /// Tells compute what was seen and done, under this request id; `Ok` means that it is recorded there.
    async fn report(&self, report: &NodeReport, id: &str) -> Result<()>;

    /// Tells storage what was seen and done.
    async fn storage_report(&self, report: &StorageReport, id: &str) -> Result<()>;

    /// Streams an image's bytes into a file, which is empty. Whoever calls checks the digest.
    async fn fetch_image(&self, image: &ImageSpec, into: &mut tokio::fs::File) -> Result<()>;
}
