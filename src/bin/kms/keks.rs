//! The KEKs and the context: those that were named, those of a purpose, or the user's own
//! keyring.
use crate::{args::Keys, failure::Failure, keyring, passphrase::Asked};
use libkms::{
    Builder, EncryptionContext, KeySet, Kms, Scope, Wait,
    kek::{Keyring, Schemes},
};
use std::{
    env,
    fs::DirBuilder,
    path::{Path, PathBuf},
    sync::Arc,
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
    scope_with(keys, missing, Kms::builder())
}

/// `builder`: its policies, where no purpose says them.
pub(crate) fn scope_with(keys: &Keys, missing: Missing, builder: Builder) -> Result<Scope, Failure> {
    let asked = Arc::new(Asked::default());
    let schemes = schemes(asked.clone());
    let (Some(config), Some(purpose)) = (&keys.config, &keys.purpose) else {
        let context = EncryptionContext::new(keys.context.iter().cloned())?;
        return Ok(kms(builder, keys, missing, &schemes, &asked)?.scope(context));
    };
    let all = KeySet::load_only(config, &[purpose], &schemes).wait()?;
    let mut scope = all.purpose(purpose)?.clone();
    for (key, value) in &keys.context {
        scope = scope.with(key, value)?;
    }
    Ok(scope)
}

fn kms(
    mut builder: Builder,
    keys: &Keys,
    missing: Missing,
    schemes: &Schemes,
    asked: &Asked,
) -> Result<Kms, Failure> {
    for uri in &keys.kek {
        builder = builder.kek(schemes.from_uri(uri).wait()?);
    }
    for uri in &keys.opens_with {
        builder = builder.opens_with(schemes.from_uri(uri).wait()?);
    }
    if keys.are_the_users() {
        builder = builder.kek(users(missing, asked)?);
    }
    Ok(builder.build()?)
}

/// A keyring that has a passphrase which its URI does not name has it asked for.
fn schemes(asked: Arc<Asked>) -> Schemes {
    Schemes::default().with("local", move |uri| {
        let asked = asked.clone();
        async move { Keyring::from_uri_asking(&uri, |path| asked.get(path)) }
    })
}

fn users(missing: Missing, asked: &Asked) -> Result<Keyring, Failure> {
    let path = path()?;
    let shown = path.display();
    let is_there = path.try_exists().map_err(|e| Failure::io(&format!("keyring {shown}"), &e))?;
    match missing {
        _ if is_there => Ok(Keyring::open_asking(&path, KEY, || asked.get(&path))?),
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
    match keyring::create(path, KEY, None) {
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
