//! What simulated machines have done, a line each, appended to a file: the truth that counts are checked against, and what
//! a machine starts with when its process is started again.
//!
//! A line is `TIME NODE INSTANCE WHAT` and what is needed to do it again. Nothing is done that has no line: an operation first takes a place in
//! the writer's queue, and fails when there is no writer. What was done can be seen, and is answered, when its line is in the
//! file. There it outlives a process that is killed, and not a machine that loses its power: only the end of a
//! ledger is synced.

use super::{event::Event, replay::Past, world::World};
use crate::failure::{Failure, Result};
use cirro_models::Name;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
    thread::JoinHandle,
};
use tokio::sync::{
    mpsc::{OwnedPermit, Receiver, Sender, channel},
    oneshot,
};

/// Operations that wait for the disk; who has one more waits.
const WAITING: usize = 4096;

/// What is done once lines are in the file.
type Then = Box<dyn FnOnce() + Send>;

enum Message {
    Lines { text: String, then: Then },
    End,
}

/// A file that is appended to by a thread of its own, and by no other process meanwhile.
#[derive(Debug)]
pub struct Ledger {
    queue: Sender<Message>,
    writer: JoinHandle<()>,
    past: Mutex<HashMap<Name, World>>,
}

impl Ledger {
    /// Opens the file, and makes it if there is none. What it says is replayed; a last line that was cut off goes away. Blocking.
    ///
    /// # Errors
    /// What the file system says, that another process has it open, or which line can't be understood.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process writes it"),
            TryLockError::Error(error) => error,
        })?;
        let mut past = Past::read(&file)?;
        if file.metadata()?.len() > past.whole {
            file.set_len(past.whole)?;
        }
        for (node, event) in past.unfinished() {
            let line = event.line(&node).map_err(io::Error::other)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            let world = past.worlds.entry(node).or_default();
            world.apply(event).map_err(io::Error::other)?;
        }
        let (queue, lines) = channel(WAITING);
        let name = path.display().to_string();
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            if let Err(error) = write(&file, lines) {
                tracing::error!(%error, ledger = name, "the ledger can't be written, and simulated nodes do nothing more: make room and start again");
            }
        })?;
        Ok(Self { queue, writer, past: Mutex::new(past.worlds) })
    }
    /// The lines of one machine, with what they have said until now. A machine takes its book once.
    pub fn book(&self, node: Name) -> Book {
        let past = self.past.lock().remove(&node).unwrap_or_default();
        Book { node, queue: self.queue.clone(), past }
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

/// Writes as long as there are lines, all that wait in one go, and then lets their effects be seen.
fn write(mut file: &File, mut lines: Receiver<Message>) -> io::Result<()> {
    let (mut batch, mut done, mut ends) = (String::new(), Vec::new(), false);
    while !ends {
        let mut next = lines.blocking_recv();
        ends = next.is_none();
        while let Some(message) = next {
            match message {
                Message::Lines { text, then } => {
                    batch.push_str(&text);
                    done.push(then);
                }
                Message::End => {
                    ends = true;
                    break;
                }
            }
            next = if done.len() < WAITING { lines.try_recv().ok() } else { None };
        }
        file.write_all(batch.as_bytes())?;
        batch.clear();
        done.drain(..).for_each(|then| then());
    }
    file.sync_data()
}

/// One machine's part of a [`Ledger`].
#[derive(Debug)]
pub struct Book {
    node: Name,
    queue: Sender<Message>,
    past: World,
}

impl Book {
    /// What the machine starts with.
    pub(super) fn past(&mut self) -> World {
        std::mem::take(&mut self.past)
    }
    /// A place for what an operation does; waits for it.
    pub(super) async fn place(&self) -> Result<Place> {
        let place = self.queue.clone().reserve_owned().await.map_err(|_| ended())?;
        Ok(Place { node: self.node.clone(), place })
    }
}

/// A place in the queue.
pub(super) struct Place {
    node: Name,
    place: OwnedPermit<Message>,
}

impl Place {
    /// Writes down what is done, and then does it. Who does not wait for the end of this has ordered it all the same.
    pub(super) async fn write(self, events: Vec<Event>, then: impl FnOnce(Vec<Event>) + Send + 'static) -> Result<()> {
        let mut text = String::new();
        for event in &events {
            text += &event.line(&self.node)?;
            text.push('\n');
        }
        let (written, done) = oneshot::channel();
        let then = Box::new(move || {
            then(events);
            // nobody waits for it any more
            let _ = written.send(());
        });
        self.place.send(Message::Lines { text, then });
        done.await.map_err(|_| ended())
    }
}

fn ended() -> Failure {
    Failure::new("the ledger of the simulated nodes has ended: see the site's log, and start it again")
}

#[cfg(test)]
mod tests {
    use super::{super::event::What, *};
    use cirro_models::{Id, storage::Volume};
    use std::path::PathBuf;

    fn made() -> Event {
        Event { of: None, what: What::VolumeMade(Id::<Volume>::new()) }
    }
    async fn write(book: &Book, event: Event) -> Result<()> {
        book.place().await?.write(vec![event], drop).await
    }
    fn name() -> Name {
        "node-0001".parse().unwrap()
    }
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        (folder, path)
    }

    #[tokio::test]
    async fn a_line_is_in_the_file_before_it_is_answered_and_what_comes_after_the_end_is_refused() {
        let (_folder, path) = folder();
        for round in 1..=2 {
            let ledger = Ledger::open(&path).unwrap();
            let book = ledger.book(name());
            for n in 1..=10 {
                let (at, before) = (path.clone(), 10 * (round - 1) + n);
                let count = move || std::fs::read_to_string(&at).unwrap().lines().count();
                let seen = move |_| assert_eq!(count(), before, "its effect can be seen when it is written");
                book.place().await.unwrap().write(vec![made()], seen).await.unwrap();
            }
            ledger.end().await;
            assert!(write(&book, made()).await.is_err());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 20 && text.lines().all(|line| line.contains(" node-0001 - volume-made ")));
    }

    #[tokio::test]
    async fn a_torn_line_goes_away_others_lines_stay_and_nonsense_is_named() {
        let (_folder, path) = folder();
        let other = format!("{}\n", made().line(&"node-0002".parse().unwrap()).unwrap());
        std::fs::write(&path, format!("{other}2026-01-01T00:00:00Z node-0001 - volu")).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        let refused = Ledger::open(&path).unwrap_err().to_string();
        assert!(refused.contains("another process"), "{refused}");
        let mut book = ledger.book(name());
        assert!(book.past().there.volumes.is_empty());
        write(&book, made()).await.unwrap();
        assert_eq!(ledger.book("node-0002".parse().unwrap()).past().there.volumes.len(), 1);
        ledger.end().await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&other) && text.lines().count() == 2, "{text}");
        std::fs::write(&path, format!("{other}painted\n")).unwrap();
        let refused = Ledger::open(&path).unwrap_err().to_string();
        assert!(refused.starts_with("line 2 "), "{refused}");
    }
}
