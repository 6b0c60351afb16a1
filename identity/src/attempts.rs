//! How often somebody may try to log in.

use cirro_models::{Error, Result};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Failed logins of one account that are allowed within [`WINDOW`].
const FAILURES: u32 = 10;
/// The most accounts whose failures are remembered.
const ACCOUNTS: usize = 100_000;
/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);

/// Failed logins of late, per account.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (u32, Instant)>>);

impl Attempts {
    /// Counts an attempt as failed until [`Self::succeeded`]: many that come at once can't all pass before the first of
    /// them has failed.
    pub(crate) fn begin(&self, account: &str) -> Result<()> {
        let mut failures = self.0.lock();
        failures.retain(|_, (_, since)| since.elapsed() < WINDOW);
        // bounded, as names are: somebody who tries many names must not fill the memory
        if failures.len() >= ACCOUNTS && !failures.contains_key(account) {
            return Ok(());
        }
        let (count, since) = failures.entry(account.to_owned()).or_insert((0, Instant::now()));
        if *count >= FAILURES {
            return Err(Error::TooManyRequests {
                detail: format!("too many failed logins as {account}: wait a minute"),
                retry_after_s: u32::try_from(WINDOW.saturating_sub(since.elapsed()).as_secs()).unwrap_or(60) + 1,
            });
        }
        *count += 1;
        Ok(())
    }
    pub(crate) fn succeeded(&self, account: &str) {
        if let Some((count, _)) = self.0.lock().get_mut(account) {
            *count = count.saturating_sub(1);
        }
    }
}
