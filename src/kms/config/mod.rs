//! Purposes in a file: what a program seals under, as those who run it decided.
mod amount;
mod file;
mod node;
mod place;
mod purpose;
mod read;

pub use purpose::Purpose;

use super::{Kms, Scope};
use crate::{Error, Result, kek::Schemes};
use file::Kek;
use place::{Place, Source};
use std::{collections::BTreeMap, path::Path};

/// The purposes of a configuration file (TOML), each a [`Scope`]: KEKs, context, DEK policy.
///
/// ```toml
/// [purpose.orders]
/// keks = ["local:/var/lib/shop/keys.json#orders"]
/// context = { purpose = "orders" }
/// ```
///
/// Every purpose has a [`Kms`] of its own, and so no DEK, no call and nothing remembered in
/// common with another, even where both name the same KEK. The manual has a
/// [page with every key](crate::manual::configuration). A clone is another handle on the
/// same.
///
/// ```
/// # fn main() -> libkms::Result<()> {
/// # use libkms::Wait;
/// # let dir = std::env::temp_dir().join(format!("libkms-doc-keys-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # let text = format!("[purpose.orders]\nkeks = ['local:{}#orders?create=true']\n\
/// #     context = {{ purpose = 'orders' }}", dir.join("keys.json").display());
/// use libkms::{Aad, KeySet, kek::Schemes};
///
/// let keys = KeySet::parse(&text, &Schemes::default()).wait()?; // or load("shop.toml")
/// let orders = keys.purpose("orders")?;
/// let sealed = orders.seal(Aad::from("order/1"), b"two pounds of tea").wait()?;
/// # assert_eq!(orders.open(Aad::from("order/1"), &sealed).wait()?.plaintext, b"two pounds of tea");
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct KeySet(BTreeMap<String, Scope>);

impl KeySet {
    /// Reads a file and opens every KEK it names, of the schemes that are compiled in. No
    /// KMS is called yet.
    ///
    /// A path in a `local:` URI is as everywhere else: relative to the working directory of
    /// the process, not to the file.
    ///
    /// # Errors
    /// Io; Misuse if the file is longer than 1 MiB, can be written by others than its owner,
    /// is owned by another user who is not root, or holds a mistake: the message names file,
    /// line and key. What a backend says, likewise.
    pub async fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, &Schemes::default()).await
    }

    /// As [`load`](Self::load), with schemes of your own.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_with(path: impl AsRef<Path>, schemes: &Schemes) -> Result<Self> {
        Self::read(path.as_ref(), None, schemes).await
    }

    /// As [`load_with`](Self::load_with), and of all purposes only the `names`: the whole
    /// file must be right, and the KEKs of the others need not be there. So that one file
    /// can serve machines of which each has its own KEKs.
    ///
    /// # Errors
    /// As [`load`](Self::load); Misuse for a name that the file does not have.
    pub async fn load_only(path: impl AsRef<Path>, names: &[&str], schemes: &Schemes) -> Result<Self> {
        Self::read(path.as_ref(), Some(names), schemes).await
    }

    /// From the text of a configuration. Messages call it `configuration`.
    ///
    /// # Errors
    /// As [`load`](Self::load), but for those of reading.
    pub async fn parse(text: &str, schemes: &Schemes) -> Result<Self> {
        Self::from_source(Source { name: "configuration", text }, None, schemes).await
    }

    /// # Errors
    /// Misuse if there is no such purpose; the message names those there are.
    pub fn purpose(&self, name: &str) -> Result<&Scope> {
        self.0.get(name).ok_or_else(|| no_purpose(name, self.0.keys()))
    }

    /// The purposes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Scope)> {
        self.0.iter().map(|(name, scope)| (&**name, scope))
    }

    async fn read(path: &Path, only: Option<&[&str]>, schemes: &Schemes) -> Result<Self> {
        let (name, text) = (path.display().to_string(), read::read(path)?);
        Self::from_source(Source { name: &name, text: &text }, only, schemes).await
    }

    async fn from_source(source: Source<'_>, only: Option<&[&str]>, schemes: &Schemes) -> Result<Self> {
        let mut all = BTreeMap::new();
        for purpose in purposes(source, only)? {
            let (name, context) = (purpose.name.clone(), purpose.context.clone());
            all.insert(name, open(source, purpose, schemes).await?.scope(context));
        }
        Ok(Self(all))
    }
}

/// What a file says, right in itself; of all purposes those that are named, or all.
fn purposes(source: Source<'_>, only: Option<&[&str]>) -> Result<Vec<file::Purpose>> {
    let mut purposes = file::parse(source)?;
    if let Some(names) = only {
        let is_there = |name: &str| purposes.iter().any(|p| p.name == name);
        if let Some(name) = names.iter().find(|name| !is_there(name)) {
            return Err(no_purpose(name, purposes.iter().map(|p| &p.name)));
        }
        purposes.retain(|p| names.contains(&&*p.name));
    }
    Ok(purposes)
}

/// The `Kms` of one purpose, its KEKs opened.
async fn open(source: Source<'_>, purpose: file::Purpose, schemes: &Schemes) -> Result<Kms> {
    let within = |place: &Place, e| within(&source.shown(place), e);
    let mut builder =
        Kms::builder().dek_policy(purpose.policy).wrap_policy(purpose.wrap).outage_policy(purpose.outage);
    for Kek { uri, place } in purpose.keks {
        builder = builder.kek(schemes.from_uri(&uri).await.map_err(|e| within(&place, e))?);
    }
    for Kek { uri, place } in purpose.opens_with {
        builder = builder.opens_with(schemes.from_uri(&uri).await.map_err(|e| within(&place, e))?);
    }
    builder.build().map_err(|e| within(&purpose.place, e))
}

fn no_purpose<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known = known.map(|n| &**n).collect::<Vec<_>>().join(", ");
    Error::misuse(format!("no purpose {} in the configuration; there is {known}", name.escape_debug()))
}

/// What a backend says, and which line of the file named it.
fn within(place: &str, error: Error) -> Error {
    let said = Error::new(error.kind(), format!("{place}: {error}"));
    match error.retry_after() {
        Some(time) => said.with_retry_after(time),
        None => said,
    }
    .with_source(error)
}
