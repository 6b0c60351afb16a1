//! A guest's console: a file that QEMU only ever appends to, read from its end, and kept small.
//!
//! The file is opened for appending, so cutting it off at its start is safe while QEMU has it open: the next write goes
//! to the new end. What is cut off is kept in a second file until the next time.

use crate::failure::{OrSay, Result};
use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A console file larger than this is cut: four times what can be asked for.
pub const LIMIT: u64 = 1 << 20;
/// How much of a file that is cut is kept.
const KEPT: u64 = 256 << 10;

/// The last part of what a guest has printed: at most this many bytes, control characters escaped.
pub fn tail(path: &Path, max_bytes: usize) -> Result<String> {
    let trouble = || format!("can't read the console file {}", path.display());
    let mut bytes = end_of(path, max_bytes as u64).or_say(trouble)?;
    if bytes.len() < max_bytes {
        let mut whole = end_of(&path.with_extension("old"), (max_bytes - bytes.len()) as u64).or_say(trouble)?;
        whole.append(&mut bytes);
        bytes = whole;
    }
    let mut text = escaped(&String::from_utf8_lossy(&bytes));
    if text.len() > max_bytes {
        let cut = (text.len() - max_bytes..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..cut);
    }
    Ok(text)
}

/// Cuts a console file that has grown too large. Answers whether it did.
pub fn bound(path: &Path) -> Result<bool> {
    let trouble = || format!("can't shorten the console file {}", path.display());
    match fs::metadata(path) {
        Ok(meta) if meta.len() > LIMIT => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).or_say(trouble),
    }
    let last = end_of(path, KEPT).or_say(trouble)?;
    let mut old = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path.with_extension("old"))
        .or_say(trouble)?;
    old.write_all(&last).or_say(trouble)?;
    fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)).or_say(trouble)?;
    Ok(true)
}

fn end_of(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max_bytes)))?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A terminal that shows this text does what it says and nothing else: carriage returns before line ends are left out,
/// other control characters become `\x1b` and the like.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if matches!(rest.peek(), Some('\r' | '\n')) => {}
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{LIMIT, bound, escaped, tail};
    use std::io::Write;

    #[test]
    fn control_characters_do_nothing() {
        assert_eq!(escaped("a\r\nb\tc\u{1b}[2Jd\u{7}\u{9b}1m"), "a\nb\tc\\u{1b}[2Jd\\u{7}\\u{9b}1m");
    }

    #[test]
    fn a_console_file_stays_bounded_while_its_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let mut guest = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let line = [b'x'; 1023];
        for _ in 0..=LIMIT / 1024 {
            guest.write_all(&line).unwrap();
            guest.write_all(b"\n").unwrap();
        }
        assert!(bound(&path).unwrap());
        guest.write_all(b"after").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 5, "the writer goes on at the new end");
        let text = tail(&path, 2048).unwrap();
        assert!(text.ends_with("xxx\nafter") && text.len() == 2048, "the old part is still there");
        assert_eq!(tail(&directory.path().join("none.log"), 10).unwrap(), "");
    }
}
