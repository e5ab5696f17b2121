//! What a plugin's refusal says.
use super::Endpoint;
use crate::{Error, ErrorKind};
use std::error::Error as _;
use tonic::{Code, Status};

/// Bytes of what a plugin says: it chooses them.
const MOST_SAID: usize = 300;

/// `call`: which one.
pub(super) fn failed(endpoint: &Endpoint, call: &str, status: &Status) -> Error {
    let kind = kind(status, call);
    Error::new(kind, format!("{endpoint}: {call}: {:?}: {}", status.code(), printable(status.message())))
}

fn kind(status: &Status, call: &str) -> ErrorKind {
    // What was made here of a connection that broke has a source; what came over one has none.
    if status.source().is_some() {
        return ErrorKind::Unavailable;
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Cancelled => ErrorKind::Unavailable,
        Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition => ErrorKind::Denied,
        Code::InvalidArgument | Code::DataLoss | Code::NotFound if call == "Decrypt" => {
            ErrorKind::Authentication
        }
        // Go's plugins say Unknown whatever it is.
        _ => ErrorKind::BadReply,
    }
}

/// In one line.
pub(super) fn printable(said: &str) -> String {
    let mut end = said.len().min(MOST_SAID);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_kind_and_one_short_line() {
        let at = Endpoint::parse("unix:///k").unwrap();
        let of = |code, call| failed(&at, call, &Status::new(code, format!("a\nb{}", "é".repeat(999))));
        assert_eq!(of(Code::InvalidArgument, "Decrypt").kind(), ErrorKind::Authentication);
        assert_eq!(of(Code::InvalidArgument, "Encrypt").kind(), ErrorKind::BadReply);
        assert_eq!(of(Code::Unavailable, "Encrypt").kind(), ErrorKind::Unavailable);
        assert_eq!(of(Code::PermissionDenied, "Encrypt").kind(), ErrorKind::Denied);
        assert_eq!(of(Code::Unknown, "Decrypt").kind(), ErrorKind::BadReply);
        let said = of(Code::Unknown, "Decrypt").to_string();
        assert!(said.starts_with("unix:///k: Decrypt: Unknown: a bé") && said.len() < 350, "{said}");
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(failed(&at, "Status", &broken).kind(), ErrorKind::Unavailable);
    }
}
