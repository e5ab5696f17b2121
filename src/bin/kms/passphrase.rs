//! Where passphrases come from: a file, the environment, the terminal.
use crate::{
    args::PassphraseArgs,
    terminal::{self, Line},
    text::visible_path,
};
use libkms::{Error, ErrorKind, Result, kek::Passphrase};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

impl PassphraseArgs {
    /// The one that was named on the command line.
    pub(crate) fn given(&self) -> Result<Option<Passphrase>> {
        from(self.passphrase_file.as_deref(), self.passphrase_env.as_deref())
    }
}

pub(crate) fn from(file: Option<&Path>, env: Option<&str>) -> Result<Option<Passphrase>> {
    match (file, env) {
        (Some(file), _) => Passphrase::from_file(file).map(Some),
        (_, Some(name)) => Passphrase::from_env(name).map(Some),
        (None, None) => Ok(None),
    }
}

/// Asks for the passphrase of a keyring. `options` are what names another source.
pub(crate) fn ask(path: &Path, options: &str) -> Result<Passphrase> {
    line(&format!("passphrase of {}: ", visible_path(path)), path, options)?.passphrase()
}

/// Asks for a new one, twice.
pub(crate) fn ask_new(path: &Path, options: &str) -> Result<Passphrase> {
    let one = line(&format!("new passphrase of {}: ", visible_path(path)), path, options)?;
    if one.is_same(&line("once more: ", path, options)?) {
        one.passphrase()
    } else {
        Err(Error::new(ErrorKind::Misuse, "those were two passphrases: nothing was done"))
    }
}

fn line(prompt: &str, path: &Path, options: &str) -> Result<Line> {
    terminal::ask(prompt)?.ok_or_else(|| {
        let said = format!("no terminal to ask for the passphrase of {}: {options}", path.display());
        Error::new(ErrorKind::Misuse, said)
    })
}

/// What was asked for in this run, by keyring file: nobody is asked twice.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<PathBuf, Passphrase>>);

impl Asked {
    pub(crate) fn get(&self, path: &Path) -> Result<Passphrase> {
        let file = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let mut known = self.0.lock().expect("nobody panics while asking");
        if let Some(passphrase) = known.get(&file) {
            return Ok(passphrase.share());
        }
        let passphrase = ask(path, "name it with ?passphrase-file=PATH or ?passphrase-env=NAME in --kek")?;
        known.insert(file, passphrase.share());
        Ok(passphrase)
    }
}
