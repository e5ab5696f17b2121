//! Which encryption context a file is opened with.
use crate::text::{shell_word, visible};
use libkms::{EncryptionContext, Error, ErrorKind, Header, Result};
use std::fmt;

/// The context of a file is to be named; how, as a line for a terminal, and for a shell.
#[derive(Debug)]
pub(crate) struct Unnamed(pub(crate) String);

/// The context that was named; with --stored-context, the one in the file. A stored one is
/// not taken unasked: whoever wrote the file chose it. Nor one of another purpose: the pairs
/// named, which are then a purpose's, say what the file is for.
pub(crate) fn choose(
    take_stored: bool,
    named: &EncryptionContext,
    header: &Header,
) -> Result<EncryptionContext> {
    let stored = header.stored_context();
    match stored {
        Some(stored) if take_stored && holds(stored, named) => Ok(stored.clone()),
        Some(_) if take_stored => Err(Error::new(
            ErrorKind::Authentication,
            "the context it stores does not hold every pair of this purpose's: it is not of this purpose",
        )),
        None if take_stored => {
            Err(Unnamed("it stores no context: name the one it was sealed with, --context k=v".into()).into())
        }
        Some(stored) if named.is_empty() && !stored.is_empty() => Err(Unnamed(asked_for(stored)).into()),
        _ => Ok(named.clone()),
    }
}

fn holds(all: &EncryptionContext, some: &EncryptionContext) -> bool {
    some.iter().all(|pair| all.iter().any(|p| p == pair))
}

/// A context as the options that name it, or as text where none can.
pub(crate) fn told(context: &EncryptionContext) -> String {
    if context.is_empty() {
        return "the empty one".into();
    }
    options(context).unwrap_or_else(|| {
        let pairs = context.iter().map(|(k, v)| visible(&format!("{k}={v}")));
        pairs.collect::<Vec<_>>().join(", ")
    })
}

/// Through the library, and back as a failure.
impl From<Unnamed> for Error {
    fn from(unnamed: Unnamed) -> Self {
        Error::new(ErrorKind::Misuse, "its context must be named").with_source(unnamed)
    }
}

impl std::error::Error for Unnamed {}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn asked_for(stored: &EncryptionContext) -> String {
    let told = told(stored);
    match options(stored) {
        Some(_) => format!("its context must be named (--stored-context takes it as it is): {told}"),
        None => {
            format!("its context cannot be named in options (--stored-context takes it as it is): {told}")
        }
    }
}

fn options(context: &EncryptionContext) -> Option<String> {
    // An option ends at NUL, and its key at the first `=`.
    let can = |(k, v): (&str, &str)| !k.contains('=') && !v.contains('\0');
    if !context.iter().all(can) || EncryptionContext::new(context.iter()).is_err() {
        return None;
    }
    let option = |(k, v): (&str, &str)| format!("--context {}", shell_word(&format!("{k}={v}")));
    Some(context.iter().map(option).collect::<Vec<_>>().join(" "))
}
