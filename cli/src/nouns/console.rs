//! `cirro instance console-log`.

use crate::{
    escape,
    failure::Failure,
    nouns::Noun,
    out, resolve,
    site::Site,
    table::Column,
    verbs::{Key, create},
    wait::Progress,
};
use cirro_models::{
    Labels, Name, Verbs,
    compute::{
        ConsoleLog,
        console_log::{ConsoleLogStatus, NewConsoleLog},
    },
};
use clap::Args;
use std::time::Duration;

impl Noun for ConsoleLog {
    const WORD: &'static str = "console log";
    const NAME: Option<fn(&Self) -> &Name> = None;
    const COLUMNS: &'static [Column<Self>] = &[];
    const TELLS: bool = false;
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.reason.clone()))
    }
    fn label(&self) -> String {
        format!("of instance {}", self.instance_id)
    }
    fn created(&self) -> Progress {
        match self.status {
            ConsoleLogStatus::Ready => Progress::Reached,
            ConsoleLogStatus::Failed => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }
}

/// `console-log`.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    lines: Option<usize>,
    /// How long to wait at most for the instance's node to send it
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = crate::wait::seconds())]
    timeout: u64,
}

impl ConsoleArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let instance_id = resolve::id(site, &self.which).await?;
        let new = NewConsoleLog { instance_id, labels: Labels::new() };
        let longest = Duration::from_secs(self.timeout);
        let said = create::<ConsoleLog>(site, new, &Key::default(), Some(longest)).await?;
        let id = said.value.id;
        // it was asked for to be read now; a viewer may not delete it, and need not
        let key = uuid::Uuid::now_v7().to_string();
        drop(site.call(Some(&key), |ctx| async move { ConsoleLog::delete(&ctx, id).await }).await);
        if site.is_json() {
            return out::json(&said.json);
        }
        let text = escape::lines(said.value.text.as_deref().unwrap_or_default());
        out::text(last(&text, self.lines))
    }
}

fn last(text: &str, lines: Option<usize>) -> &str {
    let Some(lines) = lines else { return text };
    let body = text.strip_suffix('\n').unwrap_or(text);
    let begin = body.rmatch_indices('\n').nth(lines.saturating_sub(1)).map_or(0, |(at, _)| at + 1);
    if lines == 0 { "" } else { &text[begin..] }
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn last_lines() {
        let text = "a\nb\nc\n";
        assert_eq!(
            [None, Some(0), Some(1), Some(2), Some(9)].map(|n| last(text, n)),
            [text, "", "c\n", "b\nc\n", text]
        );
        assert_eq!(last("a\nb", Some(1)), "b");
    }
}
