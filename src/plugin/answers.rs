//! What a failure is to an API server.
use crate::{Error, ErrorKind};
use tonic::{Code, Status};

/// Its message holds what the error says: nothing secret.
pub(super) fn status(error: &Error) -> Status {
    Status::new(code(error.kind()), error.to_string())
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Authentication | ErrorKind::Malformed | ErrorKind::NoHeader => Code::InvalidArgument,
        ErrorKind::NoMatchingKek | ErrorKind::Misuse => Code::FailedPrecondition,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Limit => Code::ResourceExhausted,
        ErrorKind::BadReply | ErrorKind::Forked | ErrorKind::Io => Code::Internal,
    }
}

/// Whether it says something of the KMS, and not of what was asked.
pub(super) fn is_of_the_kms(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::BadReply)
}
