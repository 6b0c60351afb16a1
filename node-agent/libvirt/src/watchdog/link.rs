//! The agent's side: a connection to the watchdog's socket, made again when it breaks.

use super::{now, socket};
use async_trait::async_trait;
use cirro_node_agent_core::{
    failure::{Failure, OrSay, Result},
    watchdog::Watchdog,
};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
    time::timeout,
};

/// How long the watchdog may take for a word; it does nothing else.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the watchdog of a data directory, if one runs there.
pub struct Link {
    at: PathBuf,
    open: Mutex<Option<(UnixStream, Duration)>>,
}

impl Link {
    /// It is connected when it is needed.
    pub fn new(data: &Path) -> Self {
        Self { at: socket(data), open: Mutex::default() }
    }
}

#[async_trait]
impl Watchdog for Link {
    fn now(&self) -> Duration {
        now()
    }
    async fn within(&self) -> Option<Duration> {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|(stream, _)| has_gone(stream)) {
            *open = None;
        }
        if open.is_none() {
            *open = timeout(PATIENCE, connect(&self.at)).await.ok()?.ok();
        }
        open.as_ref().map(|(_, within)| *within)
    }
    async fn extend(&self, asked: Duration, fresh: bool) -> Result<bool> {
        let mut open = self.open.lock().await;
        let Some((stream, _)) = open.as_mut() else { return Err(Failure::new("the watchdog has gone")) };
        let told = timeout(PATIENCE, tell(stream, asked, fresh)).await;
        let told =
            told.or_say(|| "the watchdog does not answer").and_then(|told| told.or_say(|| "the watchdog has gone"));
        if told.is_err() {
            *open = None;
        }
        told
    }
}

/// Found out by reading: it says nothing unasked.
fn has_gone(stream: &UnixStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

async fn connect(at: &Path) -> std::io::Result<(UnixStream, Duration)> {
    let mut stream = UnixStream::connect(at).await?;
    let within = stream.read_u64().await?;
    Ok((stream, Duration::from_secs(within)))
}

async fn tell(stream: &mut UnixStream, asked: Duration, fresh: bool) -> std::io::Result<bool> {
    let asked = super::nanoseconds(asked);
    let mut words = [0; super::WORDS];
    words[0] = u8::from(fresh);
    words[1..].copy_from_slice(&asked.to_be_bytes());
    stream.write_all(&words).await?;
    Ok(stream.read_u8().await? == 1)
}
