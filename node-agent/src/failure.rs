//! What can go wrong on a node: one sentence that names the thing and the remedy, and the cause beneath it.

use std::error::Error as StdError;

/// What an operation on the node answers.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Something that could not be done. Its sentence is shown to the instance's owner as the reason of its status, so it
/// names things as the owner knows them; the cause is for the node's log.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    sentence: String,
    #[source]
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), cause: None }
    }
    /// A failure and what it comes from.
    pub fn because(sentence: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { sentence: sentence.into(), cause: Some(cause.into()) }
    }
    /// The sentence and all causes in one line, for logs.
    pub fn with_causes(&self) -> String {
        let mut line = self.sentence.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
}

/// Says what was being done when something failed: `file.sync_all().or_say(|| format!("…"))?`.
pub trait OrSay<T> {
    /// Turns the error into the cause of this sentence.
    fn or_say<S: Into<String>>(self, sentence: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrSay<T> for std::result::Result<T, E> {
    fn or_say<S: Into<String>>(self, sentence: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Failure::because(sentence(), cause))
    }
}

/// Runs blocking work off the async threads.
pub async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Failure::because("the agent was stopped while it was at work", stopped)),
    }
}
