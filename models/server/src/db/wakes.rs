//! Wakes those whom a change concerns: one reader of the change feed for all who wait, so that a commit costs the same
//! whether ten nodes wait for their orders or ten thousand.

use crate::db::Database;
use cirro_models::{
    Error, Result,
    feed::{Change, Position},
    sql::AnyConnection,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
    time::timeout,
};
use uuid::Uuid;

/// How many entries are read at once.
const ENTRIES: i64 = 1000;
/// How often another process's commits are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// The same, where there is no other process: the reader would only be woken by a commit that it has missed.
const LOOK_ALONE: Duration = Duration::from_secs(30);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whom changes concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerned {
    /// These, each of them as often as one likes.
    These(Vec<Uuid>),
    /// Whoever waits: a row is gone that would have told.
    All,
}

/// Says whom these changes concern. It is asked after they were committed.
pub(crate) type Concern = fn(&mut AnyConnection, &[Change]) -> Result<Concerned>;

/// Who waits in this process, for one service's changes.
pub struct Wakes {
    concern: Concern,
    bells: Arc<Bells>,
    /// It ends with this.
    reader: OnceCell<JoinSet<()>>,
}

/// Where the last change was that concerned each of those who have waited.
#[derive(Default)]
struct Bells(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whoever is not named was concerned by nothing after this; what was before it is not known.
    since: Option<Position>,
    bells: HashMap<Uuid, watch::Sender<Option<Position>>>,
}

impl Wakes {
    /// Nobody waits yet.
    pub fn new(concern: Concern) -> Self {
        Self { concern, bells: Arc::default(), reader: OnceCell::new() }
    }

    /// Where the last change was that concerned this one, which changes with each further one. What was committed before
    /// this returns can be read now; what is committed later will be told.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn of(&self, database: &Database, key: Uuid) -> Result<watch::Receiver<Option<Position>>> {
        self.reader
            .get_or_try_init(|| async {
                let feed = database.feed().clone();
                let begin = database.read(move |c| feed.end(c)).await?;
                self.bells.0.lock().since = Some(begin);
                let mut reader = JoinSet::new();
                reader.spawn(follow(database.clone(), self.concern, self.bells.clone(), begin));
                Ok::<_, Error>(reader)
            })
            .await?;
        let mut state = self.bells.0.lock();
        let since = state.since;
        Ok(state.bells.entry(key).or_insert_with(|| watch::Sender::new(since)).subscribe())
    }
}

impl Bells {
    fn ring(&self, whom: &Concerned, at: Position) {
        let mut state = self.0.lock();
        match whom {
            Concerned::These(keys) => {
                for key in keys {
                    // who has never waited reads everything first
                    let bell = state.bells.entry(*key).or_insert_with(|| watch::Sender::new(None));
                    bell.send_replace(Some(at));
                }
            }
            Concerned::All => {
                state.since = Some(at);
                for bell in state.bells.values() {
                    bell.send_replace(Some(at));
                }
            }
        }
    }
}

async fn follow(database: Database, concern: Concern, bells: Arc<Bells>, begin: Position) {
    let feed = database.feed().clone();
    let mut commits = feed.commits();
    let look = if database.is_exclusive() { LOOK_ALONE } else { LOOK };
    let mut at = begin;
    loop {
        commits.mark_unchanged();
        let (reader, from) = (feed.clone(), at);
        let read = database.read(move |c| {
            match reader.after(c, from, ENTRIES) {
                // the database was put back, or nobody has read for a day
                Err(Error::Gone { .. }) => Ok(Some((Concerned::All, reader.end(c)?, false))),
                entries => {
                    let entries = entries?;
                    let Some(last) = entries.last() else { return Ok(None) };
                    let more = entries.len() == usize::try_from(ENTRIES).unwrap_or(usize::MAX);
                    Ok(Some((concern(c, &entries)?, last.position, more)))
                }
            }
        });
        let more = match read.await {
            Ok(Some((whom, end, more))) => {
                bells.ring(&whom, end);
                at = end;
                more
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "the change feed can't be read; who waits is told later");
                tokio::time::sleep(AGAIN).await;
                true
            }
        };
        if !more {
            let _ = timeout(look, commits.changed()).await;
        }
    }
}
