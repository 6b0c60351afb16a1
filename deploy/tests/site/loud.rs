//! What a clean run must not log: warnings and errors that no test has provoked.

use std::{fs, path::Path};

/// The warnings and errors in a log, without those that hold one of these words.
pub fn loud(log: &str, allowed: &[String]) -> Vec<String> {
    let is_loud = |line: &&str| {
        [
            "\"level\":\"WARN\"",
            "\"level\":\"ERROR\"",
            "panicked at",
            "[warn]",
            "[error]",
            "[crit]",
            "[alert]",
            "[emerg]",
        ]
        .iter()
        .any(|mark| line.contains(mark))
    };
    let allowed = |line: &&str| allowed.iter().any(|word| line.contains(word.as_str()));
    log.lines().filter(is_loud).filter(|line| !allowed(line)).map(str::to_owned).collect()
}

/// Stops the test if a log in these folders holds one.
pub fn nothing_is_loud(folders: &[&Path], allowed: &[String]) {
    for folder in folders.iter().filter(|folder| folder.exists()) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "log") {
                let found = loud(&fs::read_to_string(&path).unwrap(), allowed);
                assert!(found.is_empty(), "{} warns, and no test has provoked it: {found:#?}", path.display());
            }
        }
    }
}

#[test]
fn what_is_loud_is_found_and_what_is_provoked_is_not() {
    let log =
        "{\"level\":\"INFO\"}\n{\"level\":\"WARN\",\"message\":\"a\"}\n2026 [error] 1#1: b\nthread panicked at c\n";
    assert_eq!(loud(log, &[]).len(), 3);
    assert_eq!(loud(log, &["1#1".to_owned(), "panicked".to_owned()]), ["{\"level\":\"WARN\",\"message\":\"a\"}"]);
}
