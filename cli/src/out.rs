//! What a command says: results on stdout, as a table or as the API's JSON; everything else on stderr.

use crate::{escape, failure::Failure};
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: columns
    #[default]
    Table,
    /// For scripts: exactly the API's JSON object, or {"items": […], "next": …}
    Json,
}

/// Prints lines to stdout.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Prints JSON to stdout, and nothing for `null`: an answer without a body.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    if value.is_null() {
        return Ok(());
    }
    let written = serde_json::to_string_pretty(value).map_err(cirro_models::Error::internal)?;
    text(&escape::json(&written))
}

/// Tells the person something that is no result.
pub(crate) fn note(sentence: &str) {
    // a note that can't be written is no reason to stop the work
    let _ = writeln!(io::stderr(), "{sentence}");
}

/// Tells the state that a thing has reached, coloured on a terminal.
pub(crate) fn state(name: &str, word: &str, reason: Option<&str>) {
    let (colour, plain) = if io::stderr().is_terminal() { (colour(word), "\x1b[0m") } else { ("", "") };
    let reason = reason.map(|reason| format!(" ({})", escape::line(reason))).unwrap_or_default();
    note(&format!("{}: {colour}{}{plain}{reason}", escape::line(name), escape::line(word)));
}

fn colour(word: &str) -> &'static str {
    match word {
        "running" | "available" | "attached" | "ready" | "done" | "stopped" | "deleted" => "\x1b[32m",
        "failed" => "\x1b[31m",
        _ => "\x1b[33m",
    }
}
