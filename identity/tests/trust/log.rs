//! What the process logs, on whichever thread: those who serve have threads of their own.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};
use tracing_subscriber::fmt::MakeWriter;

static LOG: OnceLock<Text> = OnceLock::new();

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

/// From the first call on, everything is kept.
pub(crate) fn start() {
    LOG.get_or_init(|| {
        let text = Text::default();
        tracing_subscriber::fmt().with_ansi(false).with_writer(text.clone()).init();
        text
    });
}

/// The lines in which all of this stands.
pub(crate) fn lines(parts: &[&str]) -> Vec<String> {
    let text = LOG.get().map(|log| log.0.lock().unwrap().clone()).unwrap_or_default();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Text {
    type Writer = Self;
    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
