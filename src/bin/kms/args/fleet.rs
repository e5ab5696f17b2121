//! The command line of what works on many sealed files.
use super::{Keys, number};
use crate::failure::EXIT_CODES;
use libkms::KeyId;
use std::path::PathBuf;

/// Put sealed files under other KEKs: the payload keeps every byte
///
/// Afterwards the recipients are exactly the --kek ones, or the keks of the --purpose. With
/// two header copies this is done in place, safe against a crash, whatever the size of the
/// file; else a new file takes the place of the old one. A header copy that is lost is mended.
/// Who could open a file before still can with an old copy of its header.
///
/// A run that was interrupted is simply run again: a whole header that names exactly the keys
/// that wrap now is taken at its word, and its file left alone. One such header is verified.
/// Two keyrings that have a key of one name look the same: name the old one with --opens-with,
/// and every file is opened.
///
/// --json prints one object:
///
///   rewrapped  files whose header changed
///   current    files that needed nothing
///   references files sealed with --header: it is what is to be rewrapped
///   failed     files that are as they were, and directories that could not be read
///   before     object: how many files named which key, SCHEME:KEY_ID
///   after      object: how many files name it now, those that failed as well
///   failures   array of file, error, exit_code, in order
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct RewrapArgs {
    /// Sealed files; of those sealed with --header, the header alone
    #[arg(value_name = "FILE", required_unless_present = "recursive")]
    pub(crate) files: Vec<PathBuf>,
    /// Every regular file below DIR that ends in .kms, and headers kept there that end in
    /// .kmsh; symbolic links are not followed, and files that are called otherwise must be named
    #[arg(short, long, value_name = "DIR")]
    pub(crate) recursive: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// Take the context that each file stores. Whoever wrote the file chose it; with
    /// --purpose, it must hold every pair of the purpose's
    #[arg(long, conflicts_with = "context")]
    pub(crate) stored_context: bool,
    /// How many files are worked on at once, 1 to 256 [default: as many as there are
    /// processors, and at least 4]
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) jobs: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List sealed files that depend on other keys than wrap now
///
/// Every file whose header names other keys than exactly those under which --kek wraps now, or
/// has a damaged copy: PATH and its keys, SCHEME:KEY_ID, on standard output. These are what
/// `kms rewrap` would change. "unknown" stands behind a file of which that cannot be told: the
/// KMS does not say which key is current, or a --kek and an --opens-with go by the same key id.
/// How many files name which key is told on standard error. The exit code is 10 if a file is
/// listed.
///
/// With --key: every file that names that key, alone or beside others. No KEK is needed.
///
/// Headers are taken at their word: nothing is unwrapped or verified, and --context is not
/// looked at. Two keyrings that have a key of one name look the same: name the other one with
/// --opens-with. Before a key is destroyed for ever, disable it and `kms open --verify`.
///
/// --json prints one object:
///
///   listed    array of file, keys, freshness ("current", "stale", "unknown"; null with --key),
///             damage (null, "first_lost", "second_lost" or "differ")
///   files     whose header could be read
///   found     how many are listed
///   references  files sealed with --header: it is what is to be looked at
///   failed    files that are no envelopes or cannot be read, and directories
///   keys      object: how many files name which key, listed or not
///   failures  array of file, error, exit_code, in order
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct StaleArgs {
    /// Sealed files, and directories: of these every regular file below that ends in .kms or .kmsh;
    /// symbolic links are not followed, and files that are called otherwise must be named
    #[arg(value_name = "PATH", required_unless_present = "recursive")]
    pub(crate) paths: Vec<PathBuf>,
    /// A directory, as a PATH can be
    #[arg(short, long, value_name = "DIR")]
    pub(crate) recursive: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// List what names this key instead: local:NAME/VERSION for one of a keyring, aws-kms:ARN for
    /// one in AWS KMS, with #MATERIAL behind it for that material alone
    #[arg(long, value_name = "SCHEME:KEY_ID", value_parser = key, conflicts_with_all = ["kek", "opens_with", "config"])]
    pub(crate) key: Vec<String>,
    /// How many files are looked at at once, 1 to 256 [default: as many as there are
    /// processors, and at least 4]
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) jobs: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What no header can name is a mistake: that nothing names it is no answer.
fn key(text: &str) -> Result<String, &'static str> {
    let (scheme, id) = text.split_once(':').ok_or("a key is given as SCHEME:KEY_ID, as it is listed")?;
    let is_version = |n: &str| n.parse::<u32>().is_ok_and(|parsed| parsed.to_string() == n);
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let is_local = || id.split_once('/').is_some_and(|(name, n)| is_name(name) && is_version(n));
    let is_material = |m: &str| m.len() == 64 && m.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_aws = || {
        let (arn, material) = id.split_once('#').map_or((id, None), |(arn, material)| (arn, Some(material)));
        arn.starts_with("arn:") && arn.contains(":key/") && material.is_none_or(is_material)
    };
    match scheme {
        "local" if !is_local() => Err("a key of a keyring is local:NAME/VERSION"),
        "aws-kms" if !is_aws() => Err("a key in AWS KMS is aws-kms:ARN, no alias: arn:...:key/ID"),
        _ if KeyId::new(id).is_err() => Err("that is no key id"),
        _ => Ok(text.into()),
    }
}
