//! What is read from the person or from files. Secrets come from a prompt or from stdin, never from arguments: every user
//! of a machine can read those.

use crate::failure::Failure;
use cirro_models::identity::Secret;
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
};

/// The longest line that is taken for a password, in bytes; see `Secret`.
const LONGEST: u64 = 1024;

/// Asks on the terminal.
pub(crate) fn ask(question: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask for the {question}: give it as an option")));
    }
    let mut err = io::stderr();
    let mut answer = String::new();
    let asked =
        write!(err, "{question}: ").and_then(|()| err.flush()).and_then(|()| io::stdin().read_line(&mut answer));
    asked.map_err(|error| Failure::failed(format!("the terminal can't be read ({error})")))?;
    Ok(answer.trim().to_owned())
}

/// A password that exists: from the first line of stdin, or asked for without showing it.
pub(crate) fn password(from_stdin: bool, question: &str) -> Result<Secret, Failure> {
    let secret = if from_stdin { first_line()? } else { prompt(question)? };
    if secret.expose().is_empty() {
        return Err(Failure::usage("the password is empty: give one"));
    }
    Ok(secret)
}

/// A new password; asked for twice, because nobody sees what they type.
pub(crate) fn new_password(from_stdin: bool) -> Result<Secret, Failure> {
    let first = password(from_stdin, "New password")?;
    if !from_stdin && prompt("The same again")? != first {
        return Err(Failure::usage("the two passwords differ: try again"));
    }
    Ok(first)
}

fn prompt(question: &str) -> Result<Secret, Failure> {
    rpassword::prompt_password(format!("{question}: ")).map(Secret::new).map_err(|error| {
        Failure::usage(format!("there is no terminal to ask for the password ({error}): use --password-stdin"))
    })
}

fn first_line() -> Result<Secret, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().take(LONGEST + 2).read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("the password can't be read from stdin ({error})")))?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// A text file of at most this many bytes; `-` is stdin.
pub(crate) fn text_file(path: &Path, most: usize) -> Result<String, Failure> {
    let unreadable =
        |why: String| Failure::failed(format!("{} can't be used ({why}): give a readable file", path.display()));
    let mut text = String::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() > most {
        return Err(unreadable(format!("it has more than {most} bytes")));
    }
    Ok(text)
}
