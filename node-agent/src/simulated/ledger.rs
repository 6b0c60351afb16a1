//! What simulated machines have done, a line each, appended to a file: the truth that counts are checked against.
//!
//! A line is `TIME NODE INSTANCE WHAT`, with `WHAT` one of `built`, `rebuilt`, `refused`, `started`, `removed` and `lost`.
//! Nothing is done that has no line: an operation first takes a place in the writer's queue, and fails when there is no writer.

use crate::failure::{Failure, Result};
use cirro_models::{Id, Name, Timestamp, compute::Instance};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
    thread::JoinHandle,
};
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};

/// Lines that wait for the disk; who has one more waits.
const WAITING: usize = 4096;

enum Message {
    Line(String),
    End,
}

/// A file that is appended to by a thread of its own.
#[derive(Debug)]
pub struct Ledger {
    queue: Sender<Message>,
    writer: JoinHandle<()>,
}

impl Ledger {
    /// Opens the file, and makes it if there is none. Blocking.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (queue, lines) = channel(WAITING);
        let name = path.display().to_string();
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            if let Err(error) = write(file, lines) {
                tracing::error!(%error, ledger = name, "the ledger can't be written, and simulated nodes do nothing more: make room and start again");
            }
        })?;
        Ok(Self { queue, writer })
    }
    /// The lines of one machine.
    pub fn book(&self, node: Name) -> Book {
        Book { node, queue: self.queue.clone() }
    }
    /// Ends once everything is on the disk. Machines do nothing more.
    pub async fn end(self) {
        // a writer that has ended already has said why
        let _ = self.queue.send(Message::End).await;
        if tokio::task::spawn_blocking(move || self.writer.join().is_err()).await.unwrap_or(true) {
            tracing::error!("the ledger's writer broke: lines may be missing");
        }
    }
}

/// Writes as long as there are lines; who reads along sees each batch.
fn write(file: File, mut lines: Receiver<Message>) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    while let Some(first) = lines.blocking_recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => writeln!(file, "{line}")?,
                Message::End => {
                    file.flush()?;
                    return file.get_ref().sync_data();
                }
            }
            next = lines.try_recv().ok();
        }
        file.flush()?;
    }
    file.get_ref().sync_data()
}

/// One machine's part of a [`Ledger`].
#[derive(Debug, Clone)]
pub struct Book {
    node: Name,
    queue: Sender<Message>,
}

impl Book {
    /// A place for one line; waits for it.
    pub(super) async fn place(&self) -> Result<Place> {
        let place = self.queue.clone().reserve_owned().await;
        let place = place.map_err(|_| {
            Failure::new("the ledger of the simulated nodes has ended: see the site's log, and start it again")
        })?;
        Ok(Place { node: self.node.clone(), place })
    }
}

/// A place in the queue.
pub(super) struct Place {
    node: Name,
    place: OwnedPermit<Message>,
}

impl Place {
    /// Says what was done; does not wait.
    pub(super) fn write(self, id: Id<Instance>, what: &str) {
        self.place.send(Message::Line(format!("{} {} {id} {what}", Timestamp::now(), self.node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_is_there_at_the_end_and_what_comes_later_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        for _ in 0..2 {
            let ledger = Ledger::open(&path).unwrap();
            let book = ledger.book("node-0001".parse().unwrap());
            let id = Id::new();
            for _ in 0..WAITING + 10 {
                book.place().await.unwrap().write(id, "built");
            }
            ledger.end().await;
            assert!(book.place().await.is_err());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2 * (WAITING + 10));
        assert!(text.lines().all(|line| line.contains(" node-0001 ") && line.ends_with(" built")));
    }
}
