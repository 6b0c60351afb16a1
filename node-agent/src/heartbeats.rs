//! The heartbeats: one request to compute stays open for some minutes, and each of them is a piece of its body. A request for
//! each would cost both ends several times as much.

use crate::{control_plane::ControlPlane, pulse::Listener};
use cirro_models::Result;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::{Receiver, channel};

/// How long one request stays open; less than compute listens to it.
const LIFE: Duration = Duration::from_mins(5);
/// How long compute may take to answer when it has ended.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause before the next one, at most: not all nodes come back at the same moment.
const PAUSE: Duration = Duration::from_secs(1);

/// What is sent: something with each heartbeat, until there is none any more.
pub type Heartbeats = Receiver<()>;

/// Lets compute hear that this agent lives, for as long as its wheel turns.
pub async fn send(to: Arc<dyn ControlPlane>, every: Duration, mut wheel: Listener) {
    loop {
        wheel.alive().await;
        // whether it is an outage is seen, and told, by who asks for orders
        if let Err(error) = request(to.as_ref(), every, wheel.clone()).await {
            tracing::debug!(%error, "compute does not hear this agent");
        }
        tokio::time::sleep(PAUSE.min(every).mul_f64(fastrand::f64())).await;
    }
}

async fn request(to: &dyn ControlPlane, every: Duration, mut wheel: Listener) -> Result<()> {
    let (beat, beats) = channel(1);
    let life = tokio::time::sleep(LIFE);
    let beating = async move {
        tokio::pin!(life);
        loop {
            tokio::select! { () = &mut life => break, () = tokio::time::sleep(every) => {} }
            wheel.alive().await;
            // who does not take one before the next is due is too slow to need both
            let _ = beat.try_send(());
        }
    };
    let heard = to.heartbeats(beats);
    tokio::pin!(heard);
    tokio::select! {
        heard = &mut heard => return heard,
        () = beating => {}
    }
    let late = |_| cirro_models::Error::unavailable("compute does not say that it has heard the heartbeats");
    tokio::time::timeout(ANSWER, heard).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::Desk, pulse::Pulse};

    const BEAT: Duration = Duration::from_secs(10);

    /// So many heartbeats' time goes by, with the wheel turning or not.
    async fn pass(beats: u32, wheel: Option<&Pulse>) {
        for _ in 0..beats {
            let _ = tokio::time::timeout(BEAT, std::future::pending::<()>()).await;
            if let Some(wheel) = wheel {
                wheel.beat();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_over_many_requests_and_only_while_the_wheel_turns() {
        let ((pulse, wheel), desk) = (Pulse::new(), Arc::new(Desk::new(None)));
        let sending = tokio::spawn(send(desk.clone(), BEAT, wheel));
        let heard = || *desk.heard().borrow();
        pass(100, Some(&pulse)).await;
        assert!((95..=100).contains(&heard()), "{} of 100", heard());
        pass(20, None).await;
        let hung = heard();
        pass(100, None).await;
        assert_eq!(heard(), hung, "the wheel does not turn");
        pulse.beat();
        pass(10, Some(&pulse)).await;
        assert!(heard() >= hung + 8, "it turns again");

        // compute is away, and comes back
        desk.with(|papers| papers.down = true);
        pass(10, Some(&pulse)).await;
        let away = heard();
        desk.with(|papers| papers.down = false);
        pass(10, Some(&pulse)).await;
        assert!(heard() >= away + 8, "it is heard again");
        sending.abort();
    }
}
