//! How a command ends when it does not end well: one sentence, and an exit code that scripts can rely on.

use crate::escape;
use cirro_models::Error;
use std::{
    error::Error as _,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Why a command stops.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A service refused, or could not be reached.
    Refused {
        /// What it said.
        error: Error,
        /// Finds the request in the services' logs.
        request_id: Option<String>,
    },
    /// It went wrong here, or what was waited for failed.
    Failed(String),
    /// Some of many things went well, and some did not.
    Partly(String),
    /// What was typed can't be done.
    Usage(String),
    /// The time that was given to wait is over.
    Late(String),
    /// Who reads our output has gone: nothing is left to say.
    Silent,
    /// The person pressed Ctrl-C, and what was half done is undone.
    Interrupted,
}

impl Failure {
    /// It went wrong, in a sentence that says what to do next.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }
    /// Some of many things did not go well, in a sentence that says what to do next.
    pub(crate) fn partly(sentence: impl Into<String>) -> Self {
        Self::Partly(sentence.into())
    }
    /// What was typed can't be done, and what to type instead.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }
    /// The error of one request.
    pub(crate) fn of(error: Error, request_id: &str) -> Self {
        Self::Refused { error, request_id: Some(request_id.to_owned()) }
    }
    /// Whether there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { error: Error::NotFound { .. }, .. })
    }
    /// The exit code; `cirro --help` lists them ([`crate::args::AFTER_HELP`]).
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Refused { error, .. } => match error {
                Error::NotFound { .. } => 3,
                Error::Unauthenticated { .. } => 4,
                Error::Unavailable { .. } | Error::DeadlineExceeded { .. } | Error::TooManyRequests { .. } => 5,
                Error::Conflict { .. } | Error::Stale { .. } | Error::Quota { .. } | Error::NoCapacity { .. } => 6,
                Error::Malformed { .. }
                | Error::Invalid { .. }
                | Error::TooLarge { .. }
                | Error::Forbidden { .. }
                | Error::Gone { .. }
                | Error::Internal { .. } => 1,
            },
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Late(_) => 5,
            Self::Partly(_) => 7,
            Self::Silent => 0,
            // as a shell reports a process that SIGINT ended
            Self::Interrupted => 130,
        }
    }
    /// The sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Refused { error, request_id } => refused(error, request_id.as_deref()),
            Self::Failed(sentence) | Self::Partly(sentence) | Self::Usage(sentence) | Self::Late(sentence) => {
                escape::line(sentence)
            }
            Self::Silent => String::new(),
            Self::Interrupted => "interrupted".to_owned(),
        }
    }
    /// Says it on stderr, and what the process ends with.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self, Self::Silent) {
            let (red, plain) = if io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            // where even stderr is closed, the exit code still tells
            let _ = writeln!(io::stderr(), "{red}cirro:{plain} {}", self.sentence());
        }
        ExitCode::from(self.code())
    }
}

/// What a service said, with what helps to find out more.
fn refused(error: &Error, request_id: Option<&str>) -> String {
    let mut parts = vec![escape::line(&error.to_string())];
    match error {
        Error::NoCapacity { reasons, .. } => {
            parts.extend(reasons.iter().map(|reason| format!("\n  {}", escape::line(reason))));
        }
        Error::Internal { .. } => {
            parts.extend(error.source().map(|source| format!(" ({})", escape::line(&source.to_string()))));
            parts.extend(request_id.map(|id| format!(", request {}", escape::line(id))));
        }
        _ => {}
    }
    parts.concat()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused { error, request_id: None }
    }
}

/// A failed write to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Silent,
            _ => Self::failed(format!("the output can't be written ({error}): check where it goes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::problem::{KINDS, Problem, TYPE_PREFIX};

    #[test]
    fn every_kind_of_problem_has_its_exit_code() {
        let codes: Vec<_> = KINDS
            .iter()
            .map(|(kind, status)| {
                let problem =
                    Problem { kind_of_problem: format!("{TYPE_PREFIX}{kind}"), status: *status, ..Problem::default() };
                (*kind, Failure::from(Error::from(problem)).code())
            })
            .collect();
        let expected = [
            ("malformed", 1),
            ("unauthenticated", 4),
            ("forbidden", 1),
            ("not-found", 3),
            ("conflict", 6),
            ("quota-exceeded", 6),
            ("no-capacity", 6),
            ("gone", 1),
            ("stale", 6),
            ("too-large", 1),
            ("invalid", 1),
            ("too-many-requests", 5),
            ("internal", 1),
            ("unavailable", 5),
            ("deadline-exceeded", 5),
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.code(), closed.sentence().as_str()), (0, ""));
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).code(), 1);
    }

    #[test]
    fn an_internal_error_names_its_request_and_nothing_steers_the_terminal() {
        let failure = Failure::of(Error::internal("the owner answered 500"), "0197-req");
        assert_eq!(
            failure.sentence(),
            "an internal error happened; it is in the service's log under this request's id (the owner answered 500), request 0197-req"
        );
        assert!(!Failure::from(Error::conflict("x\x1b[2Jy")).sentence().contains('\x1b'));
    }
}
