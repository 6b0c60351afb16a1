//! `cirro site status`.

use crate::{args::Global, failure::Failure, out, site_verbs::place::PlaceArgs, table};
use cirro_deploy::site::{Part, Process, SiteStatus};
use cirro_models::Error;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The folder of a credential of the site, the bus's or any service's, which `cirro site init` makes
    #[arg(long, value_name = "DIR", required_unless_present = "data")]
    credential: Option<PathBuf>,
    /// Where people call, to see whether the bus answers
    #[arg(long, value_name = "https://HOST:PORT")]
    bus: Option<String>,
}

impl StatusArgs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let status = self.place.whole(self.credential, self.bus).await?.status().await?;
        if global.output() == out::Format::Json {
            out::json(&serde_json::to_value(&status).map_err(Error::internal)?)?;
        } else {
            out::text(&text(&status))?;
        }
        match status.complaints() {
            0 => Ok(()),
            1 => Err(Failure::failed("one thing of this site is not well: see above")),
            many => Err(Failure::failed(format!("{many} things of this site are not well: see above"))),
        }
    }
}

fn text(status: &SiteStatus) -> String {
    let header = vec!["SERVICE", "ID", "ADDRESS", "VERSION", "UP", "DATABASE", "HEALTH"];
    let mut text = table::plain(Some(header), status.processes.iter().map(row));
    let part = |name: &str, part: &Part| {
        vec![name.to_owned(), part.at.clone(), part.complaint.clone().unwrap_or_else(|| "well".to_owned())]
    };
    let mut parts = vec![part("registry", &status.registry)];
    parts.extend(status.bus.as_ref().map(|bus| part("bus", bus)));
    let missing = |service: &String| vec![service.clone(), String::new(), "no process of it is registered".to_owned()];
    parts.extend(status.missing.iter().map(missing));
    text.push('\n');
    text + &table::plain(None, parts.into_iter())
}

fn row(process: &Process) -> Vec<String> {
    let mut row = vec![process.service.clone(), process.id.clone(), process.address.clone().unwrap_or_default()];
    match &process.status {
        Some(told) => {
            let database = if told.database { format!("{} ms", told.database_ms) } else { "away".to_owned() };
            row.extend([told.version.clone(), time(told.uptime_s), database]);
        }
        None => row.extend([const { String::new() }; 3]),
    }
    row.push(process.complaint.clone().unwrap_or_else(|| "well".to_owned()));
    row
}

/// The two largest units of a time.
fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_units() {
        assert_eq!([5, 65, 3_700, 90_000].map(time), ["5s", "1m05s", "1h01m", "1d01h"]);
    }
}
