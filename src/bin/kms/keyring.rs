//! `kms keyring`.
use crate::{
    args::{KeyArgs, KeyringArgs, KeyringCommand, PassphraseArgs, VersionArgs},
    failure::{Failure, say},
    passphrase::{ask, ask_new, from},
    text::{self, visible_path},
};
use libkms::kek::{KeyInfo, KeyState, Keyring, KeyringFile, Passphrase};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

pub(crate) fn run(args: KeyringArgs) -> Result<ExitCode, Failure> {
    match args.command {
        KeyringCommand::Create { of, passphrase } => {
            let passphrase = match of.passphrase.given()? {
                None if passphrase => Some(ask_new(&of.path, GIVE)?),
                given => given,
            };
            create(&of.path, &of.key, passphrase.as_ref())?;
        }
        KeyringCommand::Add(of) => {
            let id = unlocked(&of)?.add(&of.key)?;
            say(&format!("added {id}: back up {}", visible_path(&of.path)));
        }
        KeyringCommand::Rotate(of) => {
            let id = unlocked(&of)?.rotate(&of.key)?;
            say(&format!("{id} wraps from now on: back up {}", visible_path(&of.path)));
        }
        KeyringCommand::Disable(of) => of.file()?.disable(&of.of.key, of.number)?,
        KeyringCommand::Enable(of) => of.file()?.enable(&of.of.key, of.number)?,
        KeyringCommand::Destroy { of, confirm } => destroy(&of, &confirm)?,
        KeyringCommand::Passphrase { path, old, new_passphrase_file, new_passphrase_env, remove } => {
            let mut file = asking(&path, &old)?;
            if remove {
                file.remove_passphrase()?;
                let shown = visible_path(&path);
                say(&format!("{shown} has no passphrase now: whoever can read it can open everything"));
            } else {
                let new = from(new_passphrase_file.as_deref(), new_passphrase_env.as_deref())?;
                file.set_passphrase(new.map_or_else(|| ask_new(&path, GIVE_NEW), Ok)?)?;
                say(&format!("{} has a new passphrase: copies of the old file do not", visible_path(&path)));
            }
        }
        KeyringCommand::List { path, passphrase, json } => list(&path, &passphrase, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

const GIVE: &str = "--passphrase-file or --passphrase-env names it";
const GIVE_NEW: &str = "--new-passphrase-file or --new-passphrase-env names the new one";

/// Makes a keyring, and says where.
pub(crate) fn create(path: &Path, key: &str, passphrase: Option<&Passphrase>) -> Result<Keyring, Failure> {
    let keyring = match passphrase {
        Some(passphrase) => Keyring::create_with(path, key, passphrase)?,
        None => Keyring::create(path, key)?,
    };
    say(&format!("made the keyring {}: back it up, nothing else opens what it seals", visible_path(path)));
    Ok(keyring)
}

/// A keyring file, with the passphrase that was named.
fn given(path: &Path, passphrase: &PassphraseArgs) -> Result<KeyringFile, Failure> {
    let file = KeyringFile::at(path);
    Ok(match passphrase.given()? {
        Some(passphrase) => file.with_passphrase(passphrase),
        None => file,
    })
}

/// With its passphrase: asks for it if there is one and none was named.
fn asking(path: &Path, passphrase: &PassphraseArgs) -> Result<KeyringFile, Failure> {
    let file = given(path, passphrase)?;
    let is_given = passphrase.passphrase_file.is_some() || passphrase.passphrase_env.is_some();
    if is_given || !file.has_passphrase()? {
        return Ok(file);
    }
    // Where there is no key yet that could tell a wrong one, it is as good as new.
    let destroyed = |key: &KeyInfo| key.versions.iter().all(|v| v.state == KeyState::Destroyed);
    let ask = if file.keys()?.iter().all(destroyed) { ask_new } else { ask };
    Ok(file.with_passphrase(ask(path, GIVE)?))
}

fn unlocked(of: &KeyArgs) -> Result<KeyringFile, Failure> {
    asking(&of.path, &of.passphrase)
}

impl VersionArgs {
    /// It needs no passphrase.
    fn file(&self) -> Result<KeyringFile, Failure> {
        given(&self.of.path, &self.of.passphrase)
    }
}

fn destroy(of: &VersionArgs, confirm: &str) -> Result<(), Failure> {
    let id = format!("{}/{}", of.of.key, of.number);
    if confirm != id {
        return Err(Failure::usage(&format!("this would destroy {id}: --confirm {id} does")));
    }
    of.file()?.destroy(&of.of.key, of.number)?;
    say(&format!("{id} is destroyed; backups of {} may still hold it", visible_path(&of.of.path)));
    Ok(())
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct KeyReport {
    name: String,
    primary: u32,
    /// Of the keyring: the same for all.
    passphrase: bool,
    versions: Vec<VersionReport>,
}

#[derive(Serialize)]
struct VersionReport {
    version: u32,
    created: String,
    state: &'static str,
}

fn list(path: &Path, passphrase: &PassphraseArgs, json: bool) -> Result<(), Failure> {
    let file = given(path, passphrase)?;
    let (keys, passphrase) = (file.keys()?, file.has_passphrase()?);
    let keys: Vec<_> = keys.into_iter().map(|key| KeyReport::of(key, passphrase)).collect();
    let text = if json {
        text::json(&keys)
    } else {
        let first = if passphrase { "under a passphrase\n" } else { "" };
        [first.into()].into_iter().chain(keys.iter().map(KeyReport::text)).collect()
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::io("cannot write standard output", &e))
}

impl KeyReport {
    fn of(key: KeyInfo, passphrase: bool) -> Self {
        let version = |v: libkms::kek::VersionInfo| VersionReport {
            version: v.version,
            created: v.created,
            state: v.state.name(),
        };
        Self {
            name: key.name,
            primary: key.primary,
            passphrase,
            versions: key.versions.into_iter().map(version).collect(),
        }
    }

    fn text(&self) -> String {
        let line = |v: &VersionReport| {
            let wraps = if v.version == self.primary { ", wraps" } else { "" };
            format!("{}/{}  {}  {}{wraps}\n", self.name, v.version, v.created, v.state)
        };
        self.versions.iter().map(line).collect()
    }
}
