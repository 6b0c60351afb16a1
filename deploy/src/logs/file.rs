//! One log file that grows, is put aside for a new one, or is cut off at its beginning.

use crate::logs::line::Line;
use cirro_models::Timestamp;
use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The longest line; of a longer one, the rest is left out.
const LONGEST: usize = 64 * 1024;
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// A log file and how far it was read.
pub(super) struct LogFile {
    path: PathBuf,
    source: String,
    file: File,
    read: u64,
    /// What was read and is no whole line yet.
    rest: Vec<u8>,
    /// Whether the rest of a line that is too long is passed over.
    passing: bool,
    lines: VecDeque<Line>,
    last: Timestamp,
}

impl LogFile {
    /// Opens it at its beginning.
    pub(super) fn open(path: PathBuf, source: String) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self {
            path,
            source,
            file,
            read: 0,
            rest: Vec::new(),
            passing: false,
            lines: VecDeque::new(),
            last: Timestamp::EPOCH,
        })
    }
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
    /// Goes to its end, minus what one look back is worth.
    pub(super) fn skip_to_tail(&mut self, bytes: u64) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length > bytes {
            self.read = self.file.seek(SeekFrom::Start(length - bytes))?;
            // it begins within a line
            self.passing = true;
        }
        Ok(())
    }
    /// Takes the next line, if there is a whole one. With `end`, what comes last counts as one without its line end.
    pub(super) fn next(&mut self, end: bool) -> io::Result<Option<Line>> {
        while self.lines.is_empty() {
            if self.fill()? == 0 {
                if end && !self.rest.is_empty() {
                    let rest = std::mem::take(&mut self.rest);
                    self.take(&rest);
                }
                break;
            }
        }
        Ok(self.lines.pop_front())
    }
    /// Looks whether the file was put aside or cut off; all that the old one holds was read before. Whether there is now
    /// something to read from the beginning.
    pub(super) fn turn(&mut self) -> io::Result<bool> {
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => now,
            // put aside, and the next one is not there yet
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if !same(&now, &self.file.metadata()?) {
            self.file = File::open(&self.path)?;
        } else if now.len() < self.read {
            self.file.seek(SeekFrom::Start(0))?;
        } else {
            return Ok(false);
        }
        self.read = 0;
        self.passing = false;
        let rest = std::mem::take(&mut self.rest);
        self.take(&rest);
        Ok(true)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; PIECE];
        let got = self.file.read(&mut piece)?;
        self.read += got as u64;
        for part in piece[..got].split_inclusive(|byte| *byte == b'\n') {
            let whole = part.ends_with(b"\n");
            if !self.passing {
                let room = LONGEST.saturating_sub(self.rest.len());
                self.rest.extend_from_slice(&part[..part.len().min(room)]);
            }
            if whole {
                let line = std::mem::take(&mut self.rest);
                self.take(&line);
                self.passing = false;
            } else if self.rest.len() == LONGEST && !self.passing {
                let line = std::mem::take(&mut self.rest);
                self.take(&line);
                self.passing = true;
            }
        }
        Ok(got)
    }
    fn take(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return;
        }
        let line = Line::read(&self.source, text, self.last);
        self.last = line.at;
        self.lines.push_back(line);
    }
}
