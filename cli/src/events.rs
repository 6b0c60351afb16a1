//! `cirro events`: a line for each change, as it happens.
//!
//! Each service is followed over a socket of its own. When that breaks, or its token is about to end, another one goes on
//! from the last position: no change is missed, and none is printed twice.

use crate::{escape, failure::Failure, out, site::Site};
use cirro_client::Next;
use cirro_models::{
    Error, Service, Timestamp,
    events::{Ending, Event},
    feed::{Change, Position},
};
use clap::{Args, builder::PossibleValuesParser};
use futures_util::future::try_join_all;
use serde_json::json;
use std::{
    io::{self, IsTerminal},
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};

/// How many changes may wait to be printed.
const WAITING: usize = 256;
/// How long before its token's end a socket is replaced, in seconds; by then the site's login gives a new one.
const EARLY_S: i64 = 20;
/// The shortest life of a socket: a token that can't be renewed must not become a storm.
const SHORTEST: Duration = Duration::from_secs(5);
/// Before the first and the longest wait for a connection that broke.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Whose things; may be repeated [default: all services]
    #[arg(long = "service", value_parser = PossibleValuesParser::new(Service::ALL.map(Service::name)))]
    services: Vec<String>,
    /// Only things of this kind, such as instance; may be repeated
    #[arg(long = "model", value_name = "MODEL", requires = "services")]
    models: Vec<String>,
    /// Go on, and tell what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// What happened after this position of one service; within a day
    #[arg(long, value_name = "POSITION", requires = "services")]
    after: Option<Position>,
}

impl EventsArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        if !self.follow && self.after.is_none() {
            return Err(Failure::usage(
                "say from where on: --follow tells what happens from now on, --after POSITION what happened since",
            ));
        }
        if self.after.is_some() && self.services.len() > 1 {
            return Err(Failure::usage("a position is of one service: give one --service with --after"));
        }
        let wanted =
            |service: &Service| self.services.is_empty() || self.services.iter().any(|name| name == service.name());
        let (tell, told) = mpsc::channel(WAITING);
        let followed = Service::ALL.into_iter().filter(wanted).map(|service| {
            let (models, tell) = (self.models.clone(), tell.clone());
            Follower { site, service, models, position: self.after, follow: self.follow, tell }.run()
        });
        let followed: Vec<_> = followed.collect();
        drop(tell);
        // what was told before a failure is printed all the same
        let (followed, printed) = tokio::join!(try_join_all(followed), print(site, told));
        printed.and(followed.map(drop))
    }
}

async fn print(site: &Site, mut told: mpsc::Receiver<(Service, Change)>) -> Result<(), Failure> {
    let as_json = site.is_json() || !io::stdout().is_terminal();
    while let Some((service, change)) = told.recv().await {
        let line = if as_json {
            let mut line = json!(change);
            line["service"] = service.name().into();
            escape::json(&line.to_string())
        } else {
            let Change { position, model, id, version, kind, .. } = &change;
            escape::line(&format!("{} {model} {id} {kind}, version {version}, at {position}", service.name()))
        };
        out::text(&line)?;
    }
    Ok(())
}

/// Follows one service.
struct Follower<'s> {
    site: &'s Site,
    service: Service,
    models: Vec<String>,
    position: Option<Position>,
    follow: bool,
    tell: mpsc::Sender<(Service, Change)>,
}

/// Why a socket is not read any more.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// Another one is to go on.
    Again,
    /// All that was wanted is told.
    Told,
}

impl Follower<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut pause = PAUSE.0;
        loop {
            let before = self.position;
            match self.read().await {
                Ok(Outcome::Told) => return Ok(()),
                Ok(Outcome::Again) => pause = PAUSE.0,
                // a site that restarts is no reason to stop
                Err(failure) if failure.code() == 5 && self.follow => {
                    if self.position != before {
                        pause = PAUSE.0;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    /// Reads one socket, until another one is wanted.
    async fn read(&mut self) -> Result<Outcome, Failure> {
        let (site, service, models, after) = (self.site, self.service, &self.models, self.position);
        let open = |ctx| async move { site.http().events(&ctx, service, models, after).await };
        let mut events = site.call(None, open).await?.value;
        let ends = site.token().await?.expires_at.plus_seconds(-EARLY_S).micros() - Timestamp::now().micros();
        let renewal = sleep(Duration::from_micros(u64::try_from(ends).unwrap_or(0)).max(SHORTEST));
        tokio::pin!(renewal);
        loop {
            let next = tokio::select! {
                next = events.next() => next.map_err(Failure::from)?,
                () = &mut renewal => {
                    events.close().await;
                    return Ok(Outcome::Again);
                }
            };
            match next {
                Next::Event(Event::Begun { position, .. }) => self.position = Some(position),
                Next::Event(Event::Changed(change)) => {
                    let position = change.position;
                    if self.tell.send((service, change)).await.is_err() {
                        return Ok(Outcome::Told);
                    }
                    self.position = Some(position);
                }
                Next::Event(Event::Reached { position }) => {
                    self.position = Some(position);
                    if !self.follow {
                        out::note(&format!(
                            "{} is told up to {position}: go on with --after {position}",
                            service.name()
                        ));
                        return Ok(Outcome::Told);
                    }
                }
                Next::Ended(Ending::Expired | Ending::Revoked) => {
                    // if there is no other login, the next try says so
                    site.renewed().await?;
                    return Ok(Outcome::Again);
                }
                Next::Ended(ending @ (Ending::Slow | Ending::Again)) => {
                    return Err(Error::unavailable(ending.reason()).into());
                }
                Next::Ended(ending) => {
                    return Err(Failure::failed(format!("{} tells no more: {}", service.name(), ending.reason())));
                }
            }
        }
    }
}
