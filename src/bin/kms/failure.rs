//! What failed, and the exit code that says so.
use crate::{context::Unnamed, text::visible};
use libkms::{Error, ErrorKind};
use std::{
    error::Error as _,
    io::{self, Write},
    process::ExitCode,
};

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  reading or writing failed, or several files failed in different ways
  2  a mistake in the command line or the configuration
  3  not authentic: wrong key, context or aad, or altered bytes
  4  malformed: not an envelope, or not a keyring
  5  none of the KEKs given may open this
  6  denied: the KMS refused, or the key is disabled or destroyed
  7  the KMS is unavailable: try again later
  8  the context must be named, with --context or --stored-context
  9  the header of files sealed with --header is missing
  10  kms stale: there are such files";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CONTEXT: u8 = 8;
const NO_HEADER: u8 = 9;
const FOUND: u8 = 10;

/// A message that a terminal can show safely, and an exit code.
pub(crate) struct Failure {
    code: u8,
    /// None where whoever reads our output has gone: nobody is told.
    message: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: &str) -> Self {
        Self { code: USAGE, message: Some(visible(message)) }
    }

    pub(crate) fn failed(message: &str) -> Self {
        Self { code: FAILED, message: Some(visible(message)) }
    }

    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        Self { code: FAILED, message: (!gone).then(|| visible(&format!("{what}: {error}"))) }
    }

    /// A record without its header.
    pub(crate) fn no_header(message: &str) -> Self {
        Self { code: NO_HEADER, message: Some(visible(message)) }
    }

    /// The same, said of what is `printable`.
    pub(crate) fn about(self, printable: &str) -> Self {
        Self { message: self.message.map(|m| format!("{printable}: {m}")), ..self }
    }

    pub(crate) fn code(&self) -> ExitCode {
        self.code.into()
    }

    /// The number of that, and what is told.
    pub(crate) fn into_parts(self) -> (u8, String) {
        (self.code, self.message.unwrap_or_default())
    }

    /// One line, which begins with what it is about.
    pub(crate) fn tell(&self, about: Option<&str>) {
        match (&self.message, about) {
            (Some(message), Some(about)) => say(&format!("{about}: {message}")),
            (Some(message), None) => say(message),
            (None, _) => {}
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(Unnamed(printable)) = error.source().and_then(|s| s.downcast_ref()) {
            return Self { code: CONTEXT, message: Some(printable.clone()) };
        }
        let code = match error.kind() {
            ErrorKind::Misuse => USAGE,
            ErrorKind::Authentication => 3,
            ErrorKind::Malformed => 4,
            ErrorKind::NoMatchingKek => 5,
            ErrorKind::Denied => 6,
            ErrorKind::Unavailable => 7,
            ErrorKind::NoHeader => NO_HEADER,
            _ => FAILED,
        };
        let cause = error.source().and_then(|s| s.downcast_ref::<io::Error>());
        let gone = cause.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
        Self { code, message: (!gone).then(|| visible(&error.to_string())) }
    }
}

/// What failures amount to: the code they agree on.
#[derive(Default)]
pub(crate) struct Tally(Option<u8>);

impl Tally {
    /// Tells a failure, and counts it.
    pub(crate) fn add(&mut self, failure: &Failure, about: &str) {
        failure.tell(Some(about));
        let agrees = self.0.is_none_or(|code| code == failure.code);
        self.0 = Some(if agrees { failure.code } else { FAILED });
    }

    pub(crate) fn code(&self) -> ExitCode {
        self.0.unwrap_or(0).into()
    }

    /// The same; without failures it says whether something was found.
    pub(crate) fn code_or_found(&self, found: u64) -> ExitCode {
        self.0.unwrap_or(if found > 0 { FOUND } else { 0 }).into()
    }
}

/// A line on standard error. `printable`: nothing in it that a terminal would obey.
pub(crate) fn say(printable: &str) {
    // At once, so that lines of several processes do not mix. A closed one is no reason to
    // stop, or to panic as eprintln! would.
    let _ = io::stderr().write_all(format!("kms: {printable}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        use ErrorKind::*;
        let codes =
            [Io, Misuse, Authentication, Malformed, NoMatchingKek, Denied, Unavailable, NoHeader, BadReply];
        let codes = codes.map(|kind| Failure::from(Error::new(kind, "said")).code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 9, 1]);
    }

    #[test]
    fn a_reader_that_went_away_is_not_told() {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "gone");
        let failures = [Failure::io("x", &gone()), Failure::from(Error::from(gone()))];
        assert!(failures.iter().all(|f| f.code == FAILED && f.message.is_none()));
        assert!(Failure::from(Error::from(io::Error::other("full"))).message.is_some());
    }
}
