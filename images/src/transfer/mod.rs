//! Where rows and bytes meet. Knows databases and bytes, and nothing of HTTP.
//!
//! * An upload holds a **lease** on its image: one at a time, in whichever process, with its bytes set aside in the
//!   project's quota from the first moment ([`lease`]).
//! * It runs **on its own** ([`receive`]): a client that goes away takes no cleaning up with it.
//! * The image is ready in **one transaction**, after its bytes are durable; anything else puts all back.

mod lease;
mod readable;
mod receive;
mod refusal;

pub(crate) use lease::{CHARGES, Lease, RESOURCE};
pub(crate) use readable::readable;
pub(crate) use receive::{Order, Piece, receive};
pub(crate) use refusal::refusal;

use crate::bytes::ByteStore;
use cirro_models::{Context, Error, Id, Result, context::DEFAULT_TIMEOUT, images::MachineImage};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a process accepts of uploads.
#[derive(Debug, Clone)]
pub struct UploadLimits {
    /// How many run at once; more are asked to come again.
    pub at_once: usize,
    /// How long an upload may send nothing before it ends.
    pub idle: Duration,
}

impl Default for UploadLimits {
    /// 16 at once, each with two buffers of 512 KiB; half a minute of silence, which a network that recovers stays below.
    fn default() -> Self {
        Self { at_once: 16, idle: Duration::from_secs(30) }
    }
}

/// Seconds after which a client that met [`UploadLimits::at_once`] may try again: an upload takes its time.
const COME_AGAIN_S: u32 = 10;

/// What the service's routes, controllers and tasks share.
pub(crate) struct Transfers {
    pub(crate) store: ByteStore,
    pub(crate) idle: Duration,
    /// What its leases are known by: an upload may begin before what an ended process has left is put in order.
    pub(crate) process: u64,
    permits: Arc<Semaphore>,
    at_once: usize,
}

impl Transfers {
    pub(crate) fn new(store: ByteStore, limits: &UploadLimits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.at_once));
        let process = uuid::Uuid::now_v7().as_u64_pair().1;
        Self { store, idle: limits.idle, process, permits, at_once: limits.at_once }
    }
    /// The right to be one of the uploads that run at once.
    pub(crate) fn permit(&self, image: Id<MachineImage>) -> Result<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_owned().map_err(|_| Error::Unavailable {
            detail: format!(
                "{} uploads are under way and no more are taken at once: send the bytes of image {image} again in a moment",
                self.at_once
            ),
            retry_after_s: COME_AGAIN_S,
        })
    }
}

/// The same circumstances with time of their own: what ends a long stream must not be cut by the deadline of its begin.
pub(crate) fn with_time(ctx: &Context) -> Context {
    ctx.clone().until(Instant::now() + DEFAULT_TIMEOUT)
}
