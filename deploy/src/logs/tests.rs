use super::*;
use std::{
    fs::{self, OpenOptions},
    io::Write,
};
use tempfile::TempDir;

/// Far behind every line here.
const LATER: i64 = 4_000_000_000_000_000;

fn line(second: u32, message: &str) -> String {
    format!("{{\"timestamp\":\"2026-11-22T12:00:{second:02}Z\",\"level\":\"INFO\",\"message\":\"{message}\"}}\n")
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        fs::create_dir(folder.path().join("bus")).unwrap();
        Self(folder)
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn add(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.file(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    fn all(&self) -> Vec<(String, String)> {
        let mut logs = Logs::open(self.0.path(), false).unwrap();
        std::iter::from_fn(|| logs.oldest().unwrap()).map(|line| (line.source, line.message)).collect()
    }
}

fn messages(logs: &mut Logs) -> Vec<String> {
    logs.grown(Timestamp::from_micros(LATER)).unwrap().into_iter().map(|line| line.message).collect()
}

#[test]
fn all_files_are_one_stream_in_the_order_of_time() {
    let folder = Folder::new();
    folder.add("logs/compute-1.log", &(line(1, "a") + &line(4, "d") + &line(3, "c") + "a panic\n" + &line(9, "f")));
    folder.add("logs/identity-1.log", &(line(2, "b") + &line(5, "e") + "{\"message\":\"cut off"));
    folder.add("bus/access.log", "{\"timestamp\":1795348803.500,\"message\":\"GET /x\"}\n");
    folder.add("logs/other.txt", "no log");
    let told = folder.all();
    let said: Vec<_> = told.iter().map(|(_, message)| message.as_str()).collect();
    let expected = ["a", "b", "c", "a panic", "GET /x", "d", "e", "{\"message\":\"cut off", "f"];
    assert_eq!(said, expected);
    assert_eq!(told[4].0, "bus-access");
}

#[test]
fn a_file_that_grows_is_followed_and_half_a_line_waits() {
    let folder = Folder::new();
    folder.add("logs/a.log", &line(1, "one"));
    let mut logs = Logs::open(folder.0.path(), false).unwrap();
    assert_eq!(messages(&mut logs), ["one"]);
    let whole = line(2, "two");
    folder.add("logs/a.log", &whole[..20]);
    assert!(messages(&mut logs).is_empty());
    folder.add("logs/a.log", &whole[20..]);
    folder.add("logs/new.log", &line(1, "of another"));
    assert_eq!(messages(&mut logs), ["of another", "two"]);
}

#[test]
fn a_file_that_is_put_aside_or_cut_off_loses_no_line() {
    let folder = Folder::new();
    folder.add("logs/a.log", &line(1, "one"));
    let mut logs = Logs::open(folder.0.path(), false).unwrap();
    assert_eq!(messages(&mut logs), ["one"]);
    // its writer goes on with the old file for a while
    fs::rename(folder.file("logs/a.log"), folder.file("logs/a.log.1")).unwrap();
    folder.add("logs/a.log.1", &line(2, "two"));
    assert_eq!(messages(&mut logs), ["two"]);
    folder.add("logs/a.log.1", &line(3, "three"));
    folder.add("logs/a.log", &line(4, "four"));
    assert_eq!(messages(&mut logs), ["three", "four"]);
    fs::write(folder.file("logs/a.log"), "").unwrap();
    assert!(messages(&mut logs).is_empty());
    folder.add("logs/a.log", &line(5, "five"));
    assert_eq!(messages(&mut logs), ["five"]);
}

#[test]
fn a_line_waits_for_those_that_are_written_late() {
    let folder = Folder::new();
    folder.add("logs/a.log", &line(10, "early in its file"));
    let mut logs = Logs::open(folder.0.path(), false).unwrap();
    let at = Timestamp::from_micros(1_795_348_810_000_000);
    assert!(logs.grown(at).unwrap().is_empty(), "it waits");
    folder.add("logs/b.log", &line(9, "late"));
    let told = logs.grown(at.plus_seconds(2)).unwrap();
    assert_eq!(told.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["late", "early in its file"]);
}

#[test]
fn memory_is_bounded_whatever_a_file_holds() {
    let folder = Folder::new();
    folder.add("logs/a.log", &("x".repeat(300_000) + "\n" + &line(1, "after it")));
    let told = folder.all();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(_, message)| message.len() <= 64 * 1024));
    assert!(told.iter().any(|(_, message)| message == "after it"));
}

#[test]
fn a_folder_without_logs_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(Logs::open(empty.path(), false).is_err());
}
