//! `cirro site logs`.

use crate::{args::Global, escape, failure::Failure, out};
use cirro_deploy::logs::{Line, Logs};
use cirro_models::{Error, Timestamp};
use clap::Args;
use std::{io::IsTerminal, path::PathBuf, time::Duration};

/// How often files that are followed are looked at.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The folder of a site, as `cirro site up` keeps it: its logs are in `logs` and `bus`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only what was done for the request with this id: `cirro audit list` tells ids, and `CIRRO_REQUEST_ID` gives one
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

impl LogsArgs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let json = global.output() == out::Format::Json;
        // files are read, and perhaps a slow terminal is written to
        tokio::task::spawn_blocking(move || self.tell(json)).await.map_err(Error::internal)?
    }
    fn tell(self, json: bool) -> Result<(), Failure> {
        // who only follows wants the last lines and what comes; a request's story is told from its beginning
        let mut logs = Logs::open(&self.data, self.follow && self.request.is_none())?;
        let colours = std::io::stdout().is_terminal();
        let print = |line: Line| self.print(&line, json, colours);
        if !self.follow {
            while let Some(line) = logs.oldest()? {
                print(line)?;
            }
            return Ok(());
        }
        loop {
            logs.grown(Timestamp::now())?.into_iter().try_for_each(print)?;
            std::thread::sleep(LOOK);
        }
    }
    fn print(&self, line: &Line, json: bool, colours: bool) -> Result<(), Failure> {
        if self.request.is_some() && line.request_id != self.request {
            return Ok(());
        }
        if json { out::text(&escape::json(&line.json().to_string())) } else { out::text(&shown(line, colours)) }
    }
}

/// A line for people; what is loud stands out.
fn shown(line: &Line, colours: bool) -> String {
    let text = escape::line(&line.text());
    match line.level.as_str() {
        "ERROR" if colours => format!("\x1b[31m{text}\x1b[0m"),
        "WARN" if colours => format!("\x1b[33m{text}\x1b[0m"),
        _ => text,
    }
}
