//! Taking over from nodes that are lost: only what is confirmed to be off is taken over from.
//!
//! A node that is not heard of is *silent*, and one that reports but does not finish what it has begun is *stuck*; nothing is done
//! to either. When it stays that, it has instances to be recreated, and the site has a fence, it is *fencing*: from that moment on it gets no orders and its reports are refused, so that nothing that comes
//! back can start what is about to be moved. It is ordered off, and its power is looked at. Seen to be off, it is *fenced*, in one transaction with
//! what is moved; if not, it is again what it was, and the fence is tried again later. It is ready again when it reports: it is told
//! what it must remove like any node. A node with a watchdog ([`watchdog`]) stops its guests by itself, which is waited for where nothing can
//! switch it off.

mod command;
mod forget;
mod job;
#[cfg(test)]
mod leases;
mod loss;
#[cfg(test)]
mod simulation;
pub(crate) mod stuck;
pub(crate) mod waiting;
mod watchdog;

pub use command::FenceCommand;
pub(crate) use forget::forget;
pub(crate) use job::{FenceNode, count, with_volumes};
pub use loss::{Patience, Sight, Verdict, are_many, judge};
pub(crate) use watchdog::WATCHDOGS_S;

use async_trait::async_trait;
use cirro_models::{Error, Result, compute::Node};
use std::{sync::Arc, time::Duration};

/// How often a machine's power is looked at after it was ordered off.
const LOOKS: u32 = 10;

/// What a machine's power is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It is off: nothing runs there.
    Off,
    /// It is on, or nobody knows.
    Other,
}

/// What can cut a machine's power and see that it is cut.
#[async_trait]
pub trait Fence: Send + Sync + 'static {
    /// Orders it off. What this answers is no proof of anything.
    async fn off(&self, node: &Node) -> Result<()>;
    /// What its power is now.
    async fn power(&self, node: &Node) -> Result<Power>;
}

/// How this process takes over from lost nodes.
#[derive(Clone, Default)]
pub struct Takeover {
    /// What cuts machines' power; without it only nodes with a watchdog are taken over from.
    pub fence: Option<Arc<dyn Fence>>,
    /// How long nodes may be silent, and what they do may take.
    pub patience: Patience,
}

/// Cuts a machine's power, and returns when it was seen to be off.
///
/// # Errors
/// It could not be seen to be off: nobody may act as if it were.
pub async fn turn_off(fence: &dyn Fence, node: &Node, pause: Duration) -> Result<()> {
    let ordered = fence.off(node).await;
    let mut seen = Ok(Power::Other);
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(pause).await;
        }
        seen = fence.power(node).await;
        if matches!(seen, Ok(Power::Off)) {
            return Ok(());
        }
    }
    // the first thing that went wrong says most
    ordered?;
    seen?;
    Err(Error::unavailable(format!(
        "node {} was ordered off, and is not seen to be: nothing is moved away from it; look at the machine",
        node.name
    )))
}
