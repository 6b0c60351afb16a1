//! The warnings that a test provokes.

use parking_lot::Mutex;
use std::{io, sync::Arc};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged on this thread, from its making on.
pub(crate) struct Log {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> Self {
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(text.clone()).finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }
    /// The lines of this alert.
    pub(crate) fn alerts(&self, name: &str) -> usize {
        let text = String::from_utf8(self.text.0.lock().clone()).unwrap();
        text.lines().filter(|line| line.contains(" WARN ") && line.contains(&format!("alert=\"{name}\""))).count()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
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
