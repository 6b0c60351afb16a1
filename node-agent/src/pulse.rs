//! Whether the wheel turns. An agent whose own work hangs must fall silent: if it went on asking for orders, the control
//! plane would take it for well for ever.

use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// A wheel that has not turned for this long after it meant to hangs: a machine with a thousand guests is looked over in less than
/// ten seconds.
const HANGS: Duration = Duration::from_mins(1);

/// The wheel's side: when it means to turn next.
#[derive(Debug)]
pub struct Pulse(watch::Sender<Instant>);

/// The side of who must not go on without it.
#[derive(Debug, Clone)]
pub struct Listener(watch::Receiver<Instant>);

impl Pulse {
    /// One that has just beaten.
    pub fn new() -> (Self, Listener) {
        let (sender, receiver) = watch::channel(Instant::now());
        (Self(sender), Listener(receiver))
    }
    /// The wheel has turned, and will again after this pause at the latest.
    pub fn beat(&self, pause: Duration) {
        self.0.send_replace(Instant::now() + pause);
    }
}

impl Listener {
    /// Returns at once while the wheel turns, and otherwise when it does again; never, when it is gone.
    pub async fn alive(&mut self) {
        let beats = |next: &Instant| next.elapsed() < HANGS;
        if beats(&self.0.borrow()) {
            return;
        }
        tracing::error!(
            "the agent hangs: it has not looked at its guests for {} s, and asks for no orders until it does; see whether \
             the hypervisor answers",
            HANGS.as_secs()
        );
        if self.0.wait_for(beats).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    #[tokio::test(start_paused = true)]
    async fn who_listens_stands_still_while_the_wheel_does() {
        let (pulse, mut listener) = Pulse::new();
        advance(HANGS.saturating_sub(Duration::from_secs(1))).await;
        listener.alive().await;
        advance(Duration::from_secs(2)).await;
        assert!(timeout(HANGS, listener.alive()).await.is_err());
        pulse.beat(Duration::ZERO);
        listener.alive().await;
        pulse.beat(HANGS);
        advance((HANGS * 2).saturating_sub(Duration::from_secs(1))).await;
        listener.alive().await;
        advance(Duration::from_secs(2)).await;
        assert!(timeout(HANGS, listener.alive()).await.is_err(), "it is late");
        pulse.beat(Duration::ZERO);
        drop(pulse);
        advance(HANGS).await;
        assert!(timeout(HANGS, listener.alive()).await.is_err(), "an agent that has ended asks no more");
    }
}
