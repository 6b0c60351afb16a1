//! The connection to libvirt: opened when it is needed, and opened anew when it has died. Calls block, so they run off the
//! async threads.

use crate::events;
use cirro_node_agent_core::failure::{Failure, OrSay, Result, off_thread};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;
use virt::connect::Connect;

/// Seconds between keepalives, and how many may be missed: a daemon that hangs is noticed after six seconds.
const KEEPALIVE: (i32, u32) = (2, 2);

/// See the module.
pub struct Connection {
    uri: String,
    current: Mutex<Option<Arc<Connect>>>,
    changes: Arc<Notify>,
}

impl Connection {
    /// A connection to this libvirt; not opened yet.
    pub fn new(uri: &str) -> Result<Self> {
        // libvirt prints every error on its own account otherwise.
        virt::error::clear_error_callback();
        events::serve()?;
        Ok(Self { uri: uri.to_owned(), current: Mutex::new(None), changes: Arc::default() })
    }
    /// Woken when something has happened to a guest.
    pub fn changes(&self) -> Arc<Notify> {
        self.changes.clone()
    }

    /// Does something with libvirt. A connection that has died by the end of it is not used again.
    pub async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connect) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = self.clone();
        off_thread(move || {
            let open = connection.open()?;
            let done = work(&open);
            if done.is_err() && !open.is_alive().unwrap_or(false) {
                connection.current.lock().take();
            }
            done
        })
        .await
    }

    fn open(&self) -> Result<Arc<Connect>> {
        let mut current = self.current.lock();
        if let Some(open) = current.as_ref() {
            return Ok(open.clone());
        }
        let open = Connect::open(Some(&self.uri)).or_say(|| {
            format!(
                "libvirt does not answer on {}: start it (deploy/libvirt start, or systemctl start libvirtd)",
                self.uri
            )
        })?;
        if open.set_keep_alive(KEEPALIVE.0, KEEPALIVE.1).is_err() {
            // The driver lives in this process; nothing can hang in between.
            tracing::debug!(uri = self.uri, "this libvirt driver knows no keepalive");
        }
        events::watch(&open, &self.changes)?;
        let open = Arc::new(open);
        *current = Some(open.clone());
        Ok(open)
    }
}

/// Turns "there is none" into `None`.
pub fn found<T>(
    looked_up: Result<T, virt::error::Error>,
    missing: virt::error::ErrorNumber,
    what: &str,
) -> Result<Option<T>> {
    match looked_up {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.code() == missing => Ok(None),
        Err(error) => Err(Failure::because(format!("libvirt can't say whether there is {what}"), error)),
    }
}
