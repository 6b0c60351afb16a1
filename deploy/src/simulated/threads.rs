//! The threads on which simulated nodes live. Real nodes are machines of their own: these share the processors with the site, and
//! give way to whoever waits for its answer.

use cirro_models::{Error, Result};
use std::{future::Future, num::NonZero, thread::available_parallelism};
use tokio::runtime::{Builder, Runtime};

/// How much nicer they are than others (nice(2)); no thread is nicer.
const NICER: i32 = 19;

/// They end, without waiting for what still runs there, when this is dropped.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Half as many as there are processors: the other half is the site's.
    pub(super) fn begin() -> Result<Self> {
        let count = available_parallelism().map_or(1, NonZero::get).div_ceil(2);
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("simulated")
            .on_thread_start(|| {
                // where that is refused they are threads like others
                let _ = rustix::process::nice(NICER);
            })
            .enable_all()
            .build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(Error::internal)
    }

    /// Runs this there.
    pub(super) fn spawn(&self, life: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(life);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
