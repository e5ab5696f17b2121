//! The KEKs and the context: those that were named, those of a purpose, or the user's own
//! keyring.
use crate::{args::Keys, failure::Failure, keyring};
use libkms::{
    DekPolicy, EncryptionContext, KeySet, Kms, Scope, Wait,
    kek::{Keyring, Schemes, from_uri},
};
use std::{
    env,
    fs::DirBuilder,
    path::{Path, PathBuf},
};

/// What to do where the user has no keyring yet.
#[derive(Clone, Copy)]
pub(crate) enum Missing {
    Create,
    Fail,
}

/// The key of the user's own keyring.
const KEY: &str = "default";

/// The KEKs, and the context as far as it was named.
pub(crate) fn scope(keys: &Keys, missing: Missing) -> Result<Scope, Failure> {
    scope_with(keys, missing, DekPolicy::default())
}

/// `policy`: how much one DEK seals, where no purpose says it.
pub(crate) fn scope_with(keys: &Keys, missing: Missing, policy: DekPolicy) -> Result<Scope, Failure> {
    let (Some(config), Some(purpose)) = (&keys.config, &keys.purpose) else {
        let context = EncryptionContext::new(keys.context.iter().cloned())?;
        return Ok(kms(keys, missing, policy)?.scope(context));
    };
    let all = KeySet::load_only(config, &[purpose], &Schemes::default()).wait()?;
    let mut scope = all.purpose(purpose)?.clone();
    for (key, value) in &keys.context {
        scope = scope.with(key, value)?;
    }
    Ok(scope)
}

fn kms(keys: &Keys, missing: Missing, policy: DekPolicy) -> Result<Kms, Failure> {
    let mut builder = Kms::builder().dek_policy(policy);
    for uri in &keys.kek {
        builder = builder.kek(from_uri(uri).wait()?);
    }
    for uri in &keys.opens_with {
        builder = builder.opens_with(from_uri(uri).wait()?);
    }
    if keys.are_the_users() {
        builder = builder.kek(users(missing)?);
    }
    Ok(builder.build()?)
}

fn users(missing: Missing) -> Result<Keyring, Failure> {
    let path = path()?;
    let shown = path.display();
    let is_there = path.try_exists().map_err(|e| Failure::io(&format!("keyring {shown}"), &e))?;
    match missing {
        _ if is_there => Ok(Keyring::open(&path, KEY)?),
        Missing::Create => create(&path),
        Missing::Fail => {
            Err(Failure::failed(&format!("no keyring {shown}: name a KEK with --kek, or let seal make one")))
        }
    }
}

fn create(path: &Path) -> Result<Keyring, Failure> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let cannot = |e| Failure::io(&format!("cannot make {}", directory.display()), &e);
    private().recursive(true).create(directory).map_err(cannot)?;
    match keyring::create(path, KEY) {
        // Another first use was quicker.
        Err(_) if path.exists() => Ok(Keyring::open(path, KEY)?),
        made => made,
    }
}

/// As the XDG Base Directory Specification has it: a relative path there is ignored.
fn path() -> Result<PathBuf, Failure> {
    let directory = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let data = directory("XDG_DATA_HOME").or_else(|| Some(directory("HOME")?.join(".local/share")));
    let said = "neither XDG_DATA_HOME nor HOME names a directory: name a KEK with --kek";
    Ok(data.ok_or_else(|| Failure::usage(said))?.join("kms/keyring.json"))
}

#[cfg(unix)]
fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(not(unix))]
fn private() -> DirBuilder {
    DirBuilder::new()
}
