//! Console texts that were asked for and read, until the control plane has them.

use cirro_models::{
    Id,
    compute::{ConsoleLog, assignment::AssignedConsoleLog, report::ConsoleRead},
};
use std::{collections::BTreeMap, time::Duration};

/// The most texts that are read and not yet acknowledged: with 256 KiB each they stay below 2 MiB.
const MAX_WAITING: usize = 4;
/// A question that is still there so long after its answer was acknowledged is answered again.
const ANSWER_AGAIN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub struct Consoles {
    waiting: BTreeMap<Id<ConsoleLog>, ConsoleRead>,
    acknowledged: BTreeMap<Id<ConsoleLog>, Duration>,
}

impl Consoles {
    /// Whether this question needs no reading now.
    pub fn is_settled(&self, id: Id<ConsoleLog>, now: Duration) -> bool {
        let answered = self.acknowledged.get(&id).is_some_and(|when| now < *when + ANSWER_AGAIN);
        answered || self.waiting.contains_key(&id) || self.waiting.len() >= MAX_WAITING
    }
    /// Keeps an answer.
    pub fn read(&mut self, id: Id<ConsoleLog>, answer: Result<String, String>) {
        let (text, error) = match answer {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(error)),
        };
        self.waiting.insert(id, ConsoleRead { id, text, error });
    }
    /// The answers that are not acknowledged.
    pub fn waiting(&self) -> Vec<ConsoleRead> {
        self.waiting.values().cloned().collect()
    }
    /// The control plane has these.
    pub fn acknowledge(&mut self, answers: &[ConsoleRead], now: Duration) {
        for answer in answers {
            self.waiting.remove(&answer.id);
            self.acknowledged.insert(answer.id, now);
        }
    }
    /// Forgets questions that are not asked any more.
    pub fn keep(&mut self, asked: &[AssignedConsoleLog]) {
        let is_asked = |id: &Id<ConsoleLog>| asked.iter().any(|question| question.id == *id);
        self.waiting.retain(|id, _| is_asked(id));
        self.acknowledged.retain(|id, _| is_asked(id));
    }
}
