//! Waiting for what was begun: the states are told as they pass, and the exit code says how it ended.
//!
//! The change feed says when there is something new to read; where it can't be read, the thing itself is read once a
//! second. The feed's position is taken before the first read, so that no change falls between the two.

use crate::{
    failure::Failure,
    nouns::Noun,
    out,
    site::{Said, Site},
};
use cirro_models::{Context, Error, Id, Verbs, feed::Position};
use clap::Args;
use std::time::{Duration, Instant};

/// The longest single poll; a thing that the feed missed is read again after that.
const POLL: Duration = Duration::from_secs(10);
/// Between two reads without a feed.
const PAUSE: Duration = Duration::from_secs(1);
/// A poll that ends with nothing before that did not wait: asking again without a pause would be a storm.
const AT_ONCE: Duration = Duration::from_millis(100);
/// What the answer of a long poll may take longer than the poll.
const SLACK: Duration = Duration::from_secs(10);

/// Whether to wait.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wait {
    /// Wait until it is done, telling each state on stderr
    #[arg(long, help_heading = "Waiting")]
    pub(crate) wait: bool,
    /// How long to wait at most; what was begun goes on afterwards
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds(), help_heading = "Waiting")]
    pub(crate) timeout: u64,
}

/// From a second to a week.
pub(crate) fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=7 * 24 * 3600)
}

/// Nothing to wait for: it is done when the API answers.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AtOnce {}

/// Whether to wait, and how long.
pub(crate) trait Patience: Args {
    /// The longest time, or not at all.
    fn longest(&self) -> Option<Duration>;
}
impl Patience for Wait {
    fn longest(&self) -> Option<Duration> {
        self.wait.then(|| Duration::from_secs(self.timeout))
    }
}
impl Patience for AtOnce {
    fn longest(&self) -> Option<Duration> {
        None
    }
}

/// How far a thing is on the way to what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not there yet.
    UnderWay,
    /// There.
    Reached,
    /// It will not get there.
    Failed,
}

/// How it ended.
pub(crate) enum Ended<M> {
    /// There it is.
    Reached(Said<M>),
    /// It no longer exists.
    Gone,
}

/// Waits until `progress` is reached or the thing is gone. What a thing that is gone means is for the caller to say.
pub(crate) async fn until<M: Noun>(
    site: &Site,
    id: Id<M>,
    longest: Duration,
    progress: impl Fn(&M) -> Progress,
) -> Result<Ended<M>, Failure> {
    let end = Instant::now() + longest;
    let mut told = None;
    let mut feed = watch(site, id, None, Duration::ZERO).await;
    loop {
        match site.call(None, |ctx| async move { M::get(&ctx, id).await }).await {
            Ok(said) => {
                let row = &said.value;
                let label = row.label();
                let (word, reason) = row.state().unwrap_or_default();
                if M::TELLS && told.as_ref() != Some(&(word.clone(), reason.clone())) {
                    out::state(&label, &word, reason.as_deref());
                    told = Some((word.clone(), reason.clone()));
                }
                match progress(row) {
                    Progress::Reached => return Ok(Ended::Reached(said)),
                    Progress::Failed => {
                        let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
                        return Err(Failure::failed(format!("{} {label} is {word}: {reason}", M::WORD)));
                    }
                    Progress::UnderWay if Instant::now() >= end => {
                        let ask = M::NAME.map(|_| format!(": ask with `cirro {} show {label}`", M::WORD));
                        return Err(Failure::Late(format!(
                            "{} {label} is still {word} after {} s; it goes on{}",
                            M::WORD,
                            longest.as_secs(),
                            ask.unwrap_or_default(),
                        )));
                    }
                    Progress::UnderWay => {}
                }
            }
            Err(failure) if failure.is_not_found() => return Ok(Ended::Gone),
            // a control plane that restarts is no reason to stop waiting
            Err(failure) if failure.code() == 5 && Instant::now() < end => {}
            Err(failure) => return Err(failure),
        }
        feed = next(site, id, feed, end).await;
    }
}

/// Waits until there may be something new: where the feed goes on, if it can be read.
async fn next<M: Noun>(site: &Site, id: Id<M>, feed: Option<Position>, end: Instant) -> Option<Position> {
    let left = end.saturating_duration_since(Instant::now());
    if feed.is_some()
        && let Some(position) = watch(site, id, feed, left.min(POLL)).await
    {
        return Some(position);
    }
    tokio::time::sleep(left.min(PAUSE)).await;
    watch(site, id, None, Duration::ZERO).await
}

/// One long poll for changes of this thing; others' changes do not end it.
async fn watch<M: Noun>(site: &Site, id: Id<M>, after: Option<Position>, wait: Duration) -> Option<Position> {
    let end = Instant::now() + wait;
    let mut after = after;
    loop {
        let asked = Instant::now();
        let left = end.saturating_duration_since(asked);
        let poll = |ctx: Context| async move {
            match M::watch(&ctx.until(Instant::now() + left + SLACK), after, left).await {
                // a feed that can't be read is not a login that has ended
                Err(Error::Unauthenticated { detail }) => Err(Error::Forbidden { detail }),
                other => other,
            }
        };
        let changes = site.call(None, poll).await.ok()?.value;
        let ours = changes.items.iter().any(|change| change.id == id.uuid());
        let at_once = changes.items.is_empty() && asked.elapsed() < AT_ONCE;
        if at_once && !left.is_zero() {
            tokio::time::sleep(left.min(PAUSE)).await;
        }
        if ours || at_once || left.is_zero() {
            return Some(changes.position);
        }
        after = Some(changes.position);
    }
}
