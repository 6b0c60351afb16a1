//! What is done on a simulated machine: a line of its ledger, and a change of its world.
//!
//! A line is `TIME NODE INSTANCE WHAT`, and after that, as JSON, what is needed to do it again: with `built` the guest's mark.
//! What concerns no instance has `-` in its place.

use crate::{
    failure::{Failure, OrSay, Result},
    guest::{Mark, OffCause},
};
use cirro_models::{Id, Name, Timestamp, compute::Instance, storage::Volume};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// In the place of an instance: the machine itself.
const MACHINE: &str = "-";

/// What was done to a guest or, without one, to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) of: Option<Id<Instance>>,
    pub(super) what: What,
}

/// What was done. The words of the ledger are these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    Built(Mark),
    Rebuilt(Mark),
    Resized(Mark),
    Noted(Mark),
    Refused,
    Started,
    ShutDown,
    Killed,
    WentOff(OffCause),
    Removed,
    Attached(Id<Volume>),
    Detached(Id<Volume>),
    VolumeMade(Id<Volume>),
    VolumeRemoved(Id<Volume>),
    /// The guest has vanished with its machine; of no guest: the machine has.
    Lost,
}

impl Event {
    /// Its line, without the end of it.
    pub(super) fn line(&self, node: &Name) -> Result<String> {
        let of = self.of.map_or_else(|| MACHINE.to_owned(), |id| id.to_string());
        let words = match serde_json::to_value(&self.what).or_say(|| "a line of the ledger can't be written")? {
            Value::String(word) => word,
            told => told.as_object().into_iter().flatten().map(|(word, rest)| format!("{word} {rest}")).collect(),
        };
        Ok(format!("{} {node} {of} {words}", Timestamp::now()))
    }
    /// What a line says, and of which node.
    pub(super) fn read(line: &str) -> Result<(Name, Self)> {
        let unknown = || Failure::new("it is no line of a ledger");
        let mut parts = line.splitn(5, ' ').skip(1);
        let mut part = || parts.next().ok_or_else(unknown);
        let node = part()?.parse().or_say(|| "it names no node")?;
        let of = match part()? {
            MACHINE => None,
            id => Some(id.parse().or_say(|| "it names no instance")?),
        };
        let word = part()?;
        let told = match parts.next() {
            None => json!(word),
            Some(rest) => json!({ word: serde_json::from_str::<Value>(rest).or_say(|| "what it tells is no JSON")? }),
        };
        let what = serde_json::from_value(told).or_say(|| format!("it does not tell all of what was {word}"))?;
        Ok((node, Self { of, what }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_begins_with_four_words() {
        let node: Name = "node-0001".parse().unwrap();
        let id = Id::new();
        for (of, what, word) in [
            (Some(id), What::Started, "started"),
            (Some(id), What::WentOff(OffCause::Guest), "went-off"),
            (None, What::VolumeMade(Id::new()), "volume-made"),
            (None, What::Lost, "lost"),
        ] {
            let event = Event { of, what };
            let line = event.line(&node).unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let subject = of.map_or("-".to_owned(), |id| id.to_string());
            assert_eq!(words[1..4], ["node-0001", &subject, word], "{line}");
            assert_eq!(Event::read(&line).unwrap(), (node.clone(), event));
        }
        let of_old = format!("2026-01-01T00:00:00Z node-0001 {id} built");
        for bad in ["", "x", "a b c d", "a node-1 x started", "a node-1 - painted", "a node-1 - started {}", &of_old] {
            assert!(Event::read(bad).is_err(), "{bad}");
        }
    }
}
