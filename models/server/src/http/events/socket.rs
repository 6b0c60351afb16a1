//! One open socket: reads the feed, asks what may be told, tells it, and ends in time.

use crate::{
    db::LOOK,
    http::Shared,
    owner::{OwnedModel, Owner},
};
use actix_web::web::Data;
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use cirro_models::{
    Error, Result, Subject, Timestamp,
    events::{Ending, Event},
    feed::{Change, Position},
    identity::Secret,
};
use futures_util::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// The most entries that are read at once.
const ENTRIES: i64 = 200;
/// How many heartbeats a reader may leave without an answer.
const SILENT: u32 = 3;

/// One open socket.
pub(super) struct Socket {
    pub(super) owner: Arc<Owner>,
    pub(super) shared: Data<Shared>,
    pub(super) token: Secret,
    pub(super) models: Vec<Arc<dyn OwnedModel>>,
    pub(super) position: Position,
    pub(super) session: Session,
}

/// How a socket ends.
enum End {
    /// By us, for this reason.
    Told(Ending),
    /// The reader has gone.
    Gone,
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        Self::Told(ending)
    }
}

impl Socket {
    /// Tells until something ends it.
    pub(super) async fn run(mut self, stream: MessageStream) {
        let End::Told(ending) = self.tell(stream).await else { return };
        let reason =
            CloseReason { code: CloseCode::from(ending.code()), description: Some(ending.reason().to_owned()) };
        // a reader that comes back finds the reason behind what it left unread; one that does not is not waited for
        let _ = timeout(self.owner.sockets.limits.patience, self.session.close(Some(reason))).await;
    }

    async fn tell(&mut self, mut stream: MessageStream) -> End {
        let limits = self.owner.sockets.limits.clone();
        let (mut commits, mut revocations) = (self.owner.database().feed().commits(), self.shared.verifier.changes());
        let mut heartbeat = interval(limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.tick().await;
        let (mut heard, mut reached) = (Instant::now(), false);
        let expires_at = match self.subject() {
            Ok(subject) => subject.expires_at(),
            Err(ending) => return ending.into(),
        };
        let mut outcome = self.send(&Event::Begun { position: self.position, expires_at }).await;
        loop {
            commits.mark_unchanged();
            revocations.mark_unchanged();
            if outcome.is_ok() {
                outcome = self.catch_up(&mut reached).await;
            }
            if let Err(end) = outcome {
                return end;
            }
            outcome = tokio::select! {
                said = stream.next() => {
                    heard = Instant::now();
                    self.answer(said).await
                }
                _ = commits.changed() => Ok(()),
                _ = revocations.changed() => Ok(()),
                () = sleep(self.left(expires_at).min(LOOK)) => Ok(()),
                _ = heartbeat.tick() => {
                    if heard.elapsed() > limits.heartbeat * SILENT {
                        return End::Gone;
                    }
                    self.beat().await
                }
            };
        }
    }

    /// Who reads, if the token is still good.
    fn subject(&self) -> Result<Subject, Ending> {
        self.shared.verifier.verify(self.token.expose()).map_err(|_| {
            let expired = |token: &str| crate::token::end_of(token) <= Some(self.shared.verifier.clock().now());
            if expired(self.token.expose()) { Ending::Expired } else { Ending::Revoked }
        })
    }
    /// How long the token is good.
    fn left(&self, expires_at: Option<Timestamp>) -> Duration {
        let now = self.shared.verifier.clock().now().micros();
        let left = expires_at.map_or(i64::MAX, |end| end.micros().saturating_sub(now));
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }

    /// Tells everything that is there; for the first time also that this was all.
    async fn catch_up(&mut self, reached: &mut bool) -> Result<(), End> {
        loop {
            let subject = self.subject()?;
            let (changes, end, more) = self.read(subject).await.map_err(|error| match error {
                Error::Gone { .. } => Ending::Gone,
                error => {
                    tracing::info!(
                        error = &error as &dyn std::error::Error,
                        "a socket is ended: the feed can't be read"
                    );
                    Ending::Again
                }
            })?;
            for change in changes {
                // what was allowed when it was read may have been taken away while the reader took its time
                self.subject()?;
                let position = change.position;
                self.send(&Event::Changed(change)).await?;
                self.position = position;
            }
            self.position = end;
            if !more {
                break;
            }
        }
        if !std::mem::replace(reached, true) {
            self.send(&Event::Reached { position: self.position }).await?;
        }
        Ok(())
    }
    /// What comes next that this subject may know, where that ends, and whether there may be more.
    async fn read(&self, subject: Subject) -> Result<(Vec<Change>, Position, bool)> {
        let (feed, models, position) = (self.owner.database().feed().clone(), self.models.clone(), self.position);
        let read = move |c: &mut _| {
            let entries = feed.after(c, position, ENTRIES)?;
            let end = entries.last().map_or(position, |entry| entry.position);
            let more = entries.len() >= usize::try_from(ENTRIES).unwrap_or(usize::MAX);
            let mut told = Vec::new();
            for model in models {
                let ours: Vec<_> = entries.iter().filter(|entry| entry.model == model.path()).cloned().collect();
                if !ours.is_empty() {
                    told.extend(model.may_know(c, &subject, ours)?);
                }
            }
            told.sort_unstable_by_key(|change| change.position);
            Ok((told, end, more))
        };
        self.owner.database().read(read).await
    }

    async fn beat(&mut self) -> Result<(), End> {
        self.send(&Event::Reached { position: self.position }).await?;
        let patience = self.owner.sockets.limits.patience;
        in_time(patience, self.session.ping(b"")).await
    }
    async fn send(&mut self, event: &Event) -> Result<(), End> {
        let text = serde_json::to_string(event).map_err(|_| Ending::Again)?;
        let patience = self.owner.sockets.limits.patience;
        in_time(patience, self.session.text(text)).await
    }
    /// What the reader says: nothing, as a rule.
    async fn answer(&mut self, said: Option<Result<Message, actix_ws::ProtocolError>>) -> Result<(), End> {
        match said {
            Some(Ok(Message::Ping(bytes))) => {
                let patience = self.owner.sockets.limits.patience;
                in_time(patience, self.session.pong(&bytes)).await
            }
            Some(Ok(Message::Pong(_) | Message::Nop)) => Ok(()),
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Continuation(_))) => Err(Ending::Sent.into()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }
}

/// Sends something, if the reader takes it in time.
async fn in_time(patience: Duration, sending: impl Future<Output = Result<(), actix_ws::Closed>>) -> Result<(), End> {
    match timeout(patience, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(Ending::Slow.into()),
    }
}
