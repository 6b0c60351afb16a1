//! What a ledger says is there on its machines.

use super::{
    event::{Event, What},
    world::World,
};
use cirro_models::Name;
use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read},
};

/// No line is longer: a mark with as many done actions as it may have takes two thousand bytes.
const LONGEST: u64 = 64 * 1024;

/// What was read of a ledger.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The machines.
    pub(super) worlds: HashMap<Name, World>,
    /// How many bytes whole lines take; what comes after them was being written when the writer was killed.
    pub(super) whole: u64,
}

impl Past {
    /// Reads to the end.
    ///
    /// # Errors
    /// What the file system says, or which line can't be understood.
    pub(super) fn read(from: impl Read) -> io::Result<Self> {
        let (mut from, mut line, mut past) = (BufReader::new(from), Vec::new(), Self::default());
        for number in 1.. {
            line.clear();
            let bytes = from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                if u64::try_from(bytes).unwrap_or(LONGEST) >= LONGEST {
                    return Err(wrong(number, "it has no end"));
                }
                break;
            }
            let text = std::str::from_utf8(&line).map_err(|error| wrong(number, &error.to_string()))?;
            past.add(text).map_err(|failure| wrong(number, &failure.with_causes()))?;
            past.whole += u64::try_from(bytes).unwrap_or(0);
        }
        Ok(past)
    }

    fn add(&mut self, line: &str) -> crate::failure::Result<()> {
        let (node, event) = Event::read(line)?;
        self.worlds.entry(node).or_default().apply(event)
    }

    /// What vanished with machines whose loss was not written down to its end.
    pub(super) fn unfinished(&self) -> Vec<(Name, Event)> {
        let lost = self.worlds.iter().filter(|(_, world)| world.lost);
        let guests = lost.flat_map(|(node, world)| world.there.guests.iter().map(move |guest| (node, guest.id())));
        guests.map(|(node, id)| (node.clone(), Event { of: Some(id), what: What::Lost })).collect()
    }
}

fn wrong(number: usize, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {number} can't be understood: {why}"))
}
