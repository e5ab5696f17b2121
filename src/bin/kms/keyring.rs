//! `kms keyring`.
use crate::{
    args::{KeyringArgs, KeyringCommand},
    failure::{Failure, say},
    text::visible_path,
};
use libkms::kek::Keyring;
use std::{path::Path, process::ExitCode};

pub(crate) fn run(args: KeyringArgs) -> Result<ExitCode, Failure> {
    match args.command {
        KeyringCommand::Create { path, key } => create(&path, &key)?,
    };
    Ok(ExitCode::SUCCESS)
}

/// Makes a keyring, and says where.
pub(crate) fn create(path: &Path, key: &str) -> Result<Keyring, Failure> {
    let keyring = Keyring::create(path, key)?;
    say(&format!("made the keyring {}: back it up, nothing else opens what it seals", visible_path(path)));
    Ok(keyring)
}
