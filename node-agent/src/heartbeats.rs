//! The heartbeats: one request to compute stays open for some minutes, and each of them is a piece of its body. A request for
//! each would cost both ends several times as much.

use crate::{control_plane::ControlPlane, pulse::Listener};
use cirro_models::{Error, Result};
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
            tokio::select! { () = &mut life => return Ok::<_, Error>(()), () = tokio::time::sleep(every) => {} }
            wheel.alive().await;
            // a way on which one is still waiting when the next is due leads nowhere: compute would hear nothing for minutes
            beat.try_send(()).map_err(|_| Error::unavailable("nobody takes the heartbeats"))?;
        }
    };
    let heard = to.heartbeats(beats);
    tokio::pin!(heard);
    tokio::select! {
        heard = &mut heard => return heard,
        beaten = beating => beaten?,
    }
    let late = |_| Error::unavailable("compute does not say that it has heard the heartbeats");
    tokio::time::timeout(ANSWER, heard).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::Desk, pulse::Pulse};
    use async_trait::async_trait;
    use cirro_models::{
        compute::{
            assignment::{ImageSpec, NodeAssignment},
            report::NodeReport,
        },
        storage::assignment::{StorageAssignment, StorageReport},
    };
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const BEAT: Duration = Duration::from_secs(10);

    /// So many heartbeats' time goes by, with the wheel turning or not.
    async fn pass(beats: u32, wheel: Option<&Pulse>) {
        for _ in 0..beats {
            let _ = tokio::time::timeout(BEAT, std::future::pending::<()>()).await;
            if let Some(wheel) = wheel {
                wheel.beat(Duration::ZERO);
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
        pulse.beat(Duration::ZERO);
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

    /// A way to compute that is open and leads nowhere, and how often it was taken.
    #[derive(Default)]
    struct Nowhere(AtomicUsize);

    #[async_trait]
    impl ControlPlane for Nowhere {
        async fn heartbeats(&self, beats: Heartbeats) -> Result<()> {
            self.0.fetch_add(1, Relaxed);
            let _untaken = beats;
            std::future::pending().await
        }
        async fn compute_assignment(&self, _: Option<&str>, _: Duration) -> Result<Option<NodeAssignment>> {
            unreachable!("only heartbeats go there")
        }
        async fn storage_assignment(&self, _: Option<&str>, _: Duration) -> Result<Option<StorageAssignment>> {
            unreachable!("only heartbeats go there")
        }
        async fn lease(&self, _: Duration) -> Result<()> {
            unreachable!("only heartbeats go there")
        }
        async fn report(&self, _: &NodeReport, _: &str) -> Result<()> {
            unreachable!("only heartbeats go there")
        }
        async fn storage_report(&self, _: &StorageReport, _: &str) -> Result<()> {
            unreachable!("only heartbeats go there")
        }
        async fn fetch_image(&self, _: &ImageSpec, _: &mut tokio::fs::File) -> Result<()> {
            unreachable!("only heartbeats go there")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_leads_nowhere_is_given_up_with_the_second_beat() {
        let ((pulse, wheel), nowhere) = (Pulse::new(), Arc::new(Nowhere::default()));
        let sending = tokio::spawn(send(nowhere.clone(), BEAT, wheel));
        pass(60, Some(&pulse)).await;
        let taken = nowhere.0.load(Relaxed);
        assert!((25..=31).contains(&taken), "{taken} requests in the time of 60 heartbeats");
        sending.abort();
    }
}
