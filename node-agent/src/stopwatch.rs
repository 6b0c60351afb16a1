//! For how long an action has been at work. The control plane gives a node up whose work does not end, so what an action
//! only waits for does not count: the bytes of an image may take as long as they go on arriving.

use parking_lot::Mutex;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

tokio::task_local! { static MINE: Stopwatch; }

/// The watch of one action: since when it has been at work, and nothing while it waits.
#[derive(Debug, Clone)]
pub struct Stopwatch(Arc<Mutex<Option<Instant>>>);

impl Stopwatch {
    /// One that runs from now on.
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }
    /// For how long it has run; nothing while it is stopped.
    pub fn read(&self) -> Option<Duration> {
        self.0.lock().map(|since| since.elapsed())
    }
    /// Does an action under this watch.
    pub async fn during<T>(self, action: impl Future<Output = T>) -> T {
        MINE.scope(self, action).await
    }
}

/// Waits with the watch of the action stopped, if there is one; it begins at nought afterwards.
pub async fn stopped<T>(wait: impl Future<Output = T>) -> T {
    let set = |to| MINE.try_with(|mine| *mine.0.lock() = to);
    // outside an action there is nothing to stop
    let _ = set(None);
    let done = wait.await;
    let _ = set(Some(Instant::now()));
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn what_an_action_waits_for_is_not_counted() {
        let (watch, second) = (Stopwatch::start(), Duration::from_secs(1));
        let action = async move {
            sleep(second * 30).await;
            for _ in 0..100 {
                stopped(sleep(second * 50)).await;
                sleep(second).await;
            }
            sleep(second * 20).await;
        };
        let worked = tokio::spawn(watch.clone().during(action));
        let mut longest = Duration::ZERO;
        while !worked.is_finished() {
            longest = longest.max(watch.read().unwrap_or_default());
            sleep(second / 2).await;
        }
        assert!((second * 29..second * 32).contains(&longest), "{longest:?}");
        advance(second).await;
        assert!(watch.read().is_some(), "one that nobody stops runs on");
        assert_eq!(stopped(async { 7 }).await, 7, "outside an action it only waits");
    }
}
