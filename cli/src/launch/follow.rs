//! Waiting until all of a plan rests: a line that moves on a terminal, JSON lines in a pipe, and a summary.

use crate::{
    escape,
    failure::Failure,
    launch::{
        look,
        tally::{Rest, Tally},
    },
    nouns::Noun,
    out,
    site::{Said, Site},
};
use cirro_models::{Verbs, compute::LaunchPlan};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// Between two looks at the plan; its progress is written at about this pace.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows a plan.
pub(super) struct Follow<'s> {
    pub(super) site: &'s Site,
    /// When the command began.
    pub(super) begun: Instant,
    /// How long to wait at most.
    pub(super) longest: Duration,
    /// Whether progress is told.
    pub(super) watch: bool,
}

impl Follow<'_> {
    /// Until all of it rests, or the time is over.
    ///
    /// # Errors
    /// Some of it does not run; the time is over; the plan can't be read.
    pub(super) async fn run(self, mut said: Said<LaunchPlan>) -> Result<(), Failure> {
        let id = said.value.id;
        let lines = self.watch && (self.site.is_json() || !io::stdout().is_terminal());
        let bar = bar(&said.value, self.watch && !lines);
        let mut told = None;
        loop {
            let tally = Tally::of(&said.value);
            if lines && told.as_ref() != Some(&tally) {
                self.json_line("progress", &tally)?;
            }
            // the message draws, so it comes last
            bar.set_position(u64::try_from(tally.running).unwrap_or(0));
            bar.set_message(tally.line());
            let rest = tally.rest(&said.value.status);
            if rest != Rest::UnderWay {
                bar.finish_and_clear();
                return self.end(&said, &tally, rest, lines);
            }
            if self.begun.elapsed() >= self.longest {
                bar.finish_and_clear();
                return Err(self.late(&said.value, &tally));
            }
            told = Some(tally);
            tokio::time::sleep(PAUSE.min(self.longest.saturating_sub(self.begun.elapsed()))).await;
            match self.site.call(None, |ctx| async move { LaunchPlan::get(&ctx, id).await }).await {
                Ok(newer) => said = newer,
                // a control plane that restarts is no reason to stop waiting
                Err(failure) if failure.code() == 5 => {}
                Err(failure) => {
                    bar.finish_and_clear();
                    return Err(failure);
                }
            }
        }
    }
    fn json_line(&self, event: &str, tally: &Tally) -> Result<(), Failure> {
        let mut line = json!(tally);
        line["event"] = event.into();
        line["seconds"] = self.seconds().into();
        out::text(&escape::json(&line.to_string()))
    }
    /// How long it has taken, to the millisecond.
    fn seconds(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
    fn end(&self, said: &Said<LaunchPlan>, tally: &Tally, rest: Rest, lines: bool) -> Result<(), Failure> {
        let plan = &said.value;
        if lines {
            self.json_line("summary", tally)?;
        } else if self.site.is_json() {
            out::json(&said.json)?;
        } else {
            let summary = tally.summary(self.begun.elapsed());
            out::text(&summary.lines().map(|line| escape::line(line) + "\n").collect::<String>())?;
        }
        if rest == Rest::All {
            return Ok(());
        }
        let (label, status) = (plan.label(), &plan.status);
        let what = format!("plan {label} is {status}, and {} of its {} instances run", tally.running, tally.asked);
        let parts = [Some(what), plan.status_reason.clone(), look::sentence(plan)];
        let why: Vec<_> = parts.into_iter().flatten().collect();
        Err(Failure::partly(format!(
            "{}: see `cirro plan show {label}`, or take it back with `cirro undo {label}`",
            why.join("; ")
        )))
    }
    fn late(&self, plan: &LaunchPlan, tally: &Tally) -> Failure {
        let wait = tally.wait().map(|wait| format!("; {wait}")).unwrap_or_default();
        Failure::Late(format!(
            "plan {0} is still {1} after {2} s ({3}{wait}); it goes on: ask with `cirro plan show {0}`",
            plan.label(),
            plan.status,
            self.longest.as_secs(),
            tally.line()
        ))
    }
}

/// The line that moves.
fn bar(plan: &LaunchPlan, shown: bool) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{prefix} {bar:20} {msg}");
    let length = u64::try_from(plan.count()).ok();
    ProgressBar::with_draw_target(length, target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(escape::line(&plan.label()))
}
