//! `kms keyring`.
use crate::{
    args::{KeyArgs, KeyringArgs, KeyringCommand, VersionArgs},
    failure::{Failure, say},
    text::{visible_json, visible_path},
};
use libkms::kek::{KeyInfo, Keyring, KeyringFile};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

pub(crate) fn run(args: KeyringArgs) -> Result<ExitCode, Failure> {
    match args.command {
        KeyringCommand::Create(KeyArgs { path, key }) => drop(create(&path, &key)?),
        KeyringCommand::Add(KeyArgs { path, key }) => {
            let id = KeyringFile::at(&path).add(&key)?;
            say(&format!("added {id}: back up {}", visible_path(&path)));
        }
        KeyringCommand::Rotate(KeyArgs { path, key }) => {
            let id = KeyringFile::at(&path).rotate(&key)?;
            say(&format!("{id} wraps from now on: back up {}", visible_path(&path)));
        }
        KeyringCommand::Disable(of) => of.file().disable(&of.of.key, of.number)?,
        KeyringCommand::Enable(of) => of.file().enable(&of.of.key, of.number)?,
        KeyringCommand::Destroy { of, confirm } => destroy(&of, &confirm)?,
        KeyringCommand::List { path, json } => list(&path, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a keyring, and says where.
pub(crate) fn create(path: &Path, key: &str) -> Result<Keyring, Failure> {
    let keyring = Keyring::create(path, key)?;
    say(&format!("made the keyring {}: back it up, nothing else opens what it seals", visible_path(path)));
    Ok(keyring)
}

impl VersionArgs {
    fn file(&self) -> KeyringFile {
        KeyringFile::at(&self.of.path)
    }
}

fn destroy(of: &VersionArgs, confirm: &str) -> Result<(), Failure> {
    let id = format!("{}/{}", of.of.key, of.number);
    if confirm != id {
        return Err(Failure::usage(&format!("this would destroy {id}: --confirm {id} does")));
    }
    of.file().destroy(&of.of.key, of.number)?;
    say(&format!("{id} is destroyed; backups of {} may still hold it", visible_path(&of.of.path)));
    Ok(())
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct KeyReport {
    name: String,
    primary: u32,
    versions: Vec<VersionReport>,
}

#[derive(Serialize)]
struct VersionReport {
    version: u32,
    created: String,
    state: &'static str,
}

fn list(path: &Path, json: bool) -> Result<(), Failure> {
    let keys: Vec<_> = KeyringFile::at(path).keys()?.into_iter().map(KeyReport::of).collect();
    let text = if json {
        visible_json(&serde_json::to_string_pretty(&keys).expect("numbers and strings")) + "\n"
    } else {
        keys.iter().map(KeyReport::text).collect()
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::io("cannot write standard output", &e))
}

impl KeyReport {
    fn of(key: KeyInfo) -> Self {
        let version = |v: libkms::kek::VersionInfo| VersionReport {
            version: v.version,
            created: v.created,
            state: v.state.name(),
        };
        Self {
            name: key.name,
            primary: key.primary,
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
