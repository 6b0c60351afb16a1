//! `cirro site logs`: all logs of a site's folder as one stream in the order of time.
//!
//! Each file is nearly in order by itself: its lines are written by several threads. So a few lines of each are held, and
//! the oldest of all is told next. Who follows holds each line for a moment, because the bus writes its own once a second.

mod file;
mod line;

pub use line::Line;

use cirro_models::{Error, Result, Timestamp};
use file::LogFile;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    path::{Path, PathBuf},
};

/// How many lines of each file are held to put them in order.
const HELD: usize = 64;
/// The most lines that wait while the files are followed: in a flood, order is worth less than an end.
const MOST: usize = 20_000;
/// For how long a line may be late in a file that is followed, in microseconds: the bus writes once a second.
const LATE_US: i64 = 1_500_000;
/// The most files of one site.
const MOST_FILES: usize = 256;
/// How much of each file is looked back at when it is followed and nothing is said of a request.
const TAIL: u64 = 16 * 1024;

/// The logs of a site, read in the order of time.
pub struct Logs {
    folder: PathBuf,
    files: Vec<LogFile>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// How many lines of each file wait.
    held: Vec<usize>,
    /// Which line came first of two that were written at the same time.
    count: u64,
}

/// A line that waits for its turn.
struct Waiting {
    at: Timestamp,
    count: u64,
    file: usize,
    line: Line,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.count).cmp(&(other.at, other.count))
    }
}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Waiting {}

impl Logs {
    /// Opens the logs under a site's folder, as `cirro site up` keeps them: `logs/*.log`, and the bus's own in `bus`. With
    /// `tail`, each from near its end on. Blocks, as everything here does.
    ///
    /// # Errors
    /// There are none, or they can't be read.
    pub fn open(folder: &Path, tail: bool) -> Result<Self> {
        let (files, held, waiting) = (Vec::new(), Vec::new(), BinaryHeap::new());
        let mut logs = Self { folder: folder.to_owned(), files, waiting, held, count: 0 };
        logs.find(tail)?;
        if logs.files.is_empty() {
            let what = format!("{} holds no logs: give the folder of `cirro site up` with --data", folder.display());
            return Err(Error::invalid("data", what));
        }
        Ok(logs)
    }
    /// The next line of what is there; none at the end.
    pub fn oldest(&mut self) -> Result<Option<Line>> {
        for file in 0..self.files.len() {
            self.hold(file, HELD, true)?;
        }
        Ok(self.pop())
    }
    /// The lines whose turn has come by now while the files grow. Nothing is held back of what is older than a moment.
    pub fn grown(&mut self, now: Timestamp) -> Result<Vec<Line>> {
        self.find(false)?;
        for file in 0..self.files.len() {
            self.hold(file, MOST, false)?;
            if self.files[file].turn().map_err(|error| unreadable(self.files[file].path(), &error))? {
                self.hold(file, MOST, false)?;
            }
        }
        let due = Timestamp::from_micros(now.micros() - LATE_US);
        let mut lines = Vec::new();
        while self.waiting.peek().is_some_and(|Reverse(first)| first.at <= due) || self.waiting.len() > MOST {
            lines.extend(self.pop());
        }
        Ok(lines)
    }

    fn pop(&mut self) -> Option<Line> {
        let Reverse(first) = self.waiting.pop()?;
        self.held[first.file] -= 1;
        Some(first.line)
    }
    /// Reads lines of a file until so many of it wait.
    fn hold(&mut self, file: usize, most: usize, end: bool) -> Result<()> {
        while self.held[file] < most && self.waiting.len() <= MOST {
            let of = &mut self.files[file];
            let Some(line) = of.next(end).map_err(|error| unreadable(of.path(), &error))? else { break };
            self.count += 1;
            self.held[file] += 1;
            self.waiting.push(Reverse(Waiting { at: line.at, count: self.count, file, line }));
        }
        Ok(())
    }
    /// Opens the files that are new.
    fn find(&mut self, tail: bool) -> Result<()> {
        for (path, source) in found(&self.folder)? {
            if self.files.len() >= MOST_FILES || self.files.iter().any(|known| known.path() == path) {
                continue;
            }
            let mut file = LogFile::open(path.clone(), source).map_err(|error| unreadable(&path, &error))?;
            if tail {
                file.skip_to_tail(TAIL).map_err(|error| unreadable(&path, &error))?;
            }
            self.files.push(file);
            self.held.push(0);
        }
        Ok(())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be read ({error}): run this as who runs the site", path.display()))
}

/// The logs of a site's folder, with the name of who writes each.
fn found(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (within, prefix) in [("logs", ""), ("bus", "bus-")] {
        let at = folder.join(within);
        let listed = match std::fs::read_dir(&at) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&at, &error)),
        };
        for entry in listed {
            let path = entry.map_err(|error| unreadable(&at, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
            if let Some(name) = name {
                files.push((path.clone(), format!("{prefix}{name}")));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests;
