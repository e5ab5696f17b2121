//! Envelope encryption under keys you own.
//!
//! Data is encrypted with a data encryption key (DEK); the DEK is wrapped by a key
//! encryption key (KEK) that stays in a KMS, an HSM or a keyring file. libkms makes,
//! wraps, reuses, remembers and wipes the DEKs; you name the KEK and seal:
//!
//! ```
//! # fn main() -> libkms::Result<()> {
//! use libkms::{Aad, EncryptionContext, Kms, Wait};
//! # let dir = std::env::temp_dir().join(format!("libkms-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir).unwrap();
//! # let uri = format!("local:{}#orders?create=true", dir.join("keys.json").display());
//! # let uri = uri.as_str();
//!
//! // uri: "local:keys.json#orders?create=true"
//! let kms = Kms::from_uri(uri).wait()?;
//! let orders = kms.scope(EncryptionContext::new([("purpose", "orders")])?);
//!
//! let sealed = orders.seal(Aad::from("order/1"), b"two pounds of tea").wait()?;
//! let opened = orders.open(Aad::from("order/1"), &sealed).wait()?;
//! assert_eq!(opened.plaintext, b"two pounds of tea");
//! assert!(orders.open(Aad::from("order/2"), &sealed).wait().is_err());
//! # std::fs::remove_dir_all(dir).unwrap();
//! # Ok(()) }
//! ```
//!
//! - [`Kms`] is keys and policies; [`Scope`] is a `Kms` and an [`EncryptionContext`], and
//!   everything that touches data is a method of it. The context belongs to a purpose or a
//!   tenant, is bound to the DEK and shown to the KMS; [`Aad`] belongs to the record.
//! - Records go through [`Scope::seal`] and [`Scope::open`]; while the scope's DEK is good
//!   they make no call to the KMS. Large data goes through [`stream`]: constant memory,
//!   random access.
//! - Many small records of one DEK need not each carry its header: [`Scope::references`]
//!   keeps it once, in a [`HeaderStore`].
//! - Methods that may wait for a KMS are futures of no particular runtime; [`Wait::wait`]
//!   serves programs without async. Nothing in the default build needs tokio.
//! - A KEK is a [`kek::KmsBackend`]: from a URI by [`kek::from_uri`], or your own. With several
//!   in one [`Builder`] each wraps, and any one opens: [`WrapPolicy`], [`OutagePolicy`].
//! - Keys change: [`Opened::freshness`] and [`Kms::freshness`] tell what is wrapped otherwise than
//!   a new DEK would be, and [`Scope::rewrap`] puts it right without touching the payload;
//!   [`fleet`] does both for trees of files. How a key lives is a page of the manual:
//!   [rotation](manual::rotation).
//! - What Kubernetes stores in etcd is another format, which the module `kubernetes` reads and writes
//!   with the feature of that name; the manual has a page on it.
//! - [`Error::kind`] says what to do about a failure; an [`observer`] is told of every call to a KMS
//!   and of how KEKs are, for logs, metrics and audit trails.
//!
//! The [`manual`] has the [threat model](manual::threat_model), the
//! [limits](manual::limits), what operators of keys in [AWS](manual::aws) should know, the
//! life of keys ([rotation](manual::rotation), [revocation](manual::revocation),
//! [shredding](manual::shredding)), the [format](manual::format) and a
//! [review of what this field got wrong](manual::failures), with the test that covers each.
//!
//! # Features
//!
//! `local` (default): keyring files. `passphrase`: keyring files under one. `config`: purposes
//! in a TOML file. `aws`: keys in AWS KMS. `tokio`: backends that need it
//! (`kek::OnTokio`), and streams over its `AsyncRead` and `AsyncWrite`. `kubernetes`: what Kubernetes
//! stores in etcd, and its EncryptionConfiguration. `plugin`: Kubernetes KMS plugins, a server of one and
//! a client of any. `etcd`: a cluster's values in etcd, counted and rotated. `tracing`, `metrics`:
//! adapters of [`observer`] to the crates of those names. `test-util`: a scripted KMS, simulated time
//! and the contract suite for backends. `cli`: the program `kms`. A feature adds names; it never
//! changes what existing names do.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]

// The layers, from below: arrows point down only, and tests/house.rs checks it.
mod error;
#[allow(unsafe_code, reason = "pages of key memory")]
pub mod secret;
#[allow(unsafe_code, reason = "processor instructions and the system's clock")]
mod arch;
pub mod rt;
mod crypto;
mod envelope;
pub mod kek;
mod dek;
mod kms;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod fleet;
#[cfg(feature = "plugin")]
pub mod plugin;
pub mod manual;
#[cfg(libkms_raw)]
#[doc(hidden)]
#[allow(missing_docs, reason = "no part of the library")]
pub mod raw;

pub use async_trait::async_trait;
pub use dek::{DekPolicy, TableUsage, WrapPolicy};
pub use envelope::{
    Aad, Copies, Damage, EncryptionContext, Header, KeyId, Recipient, Reference, Suite, WrappedDek, stream,
};
pub use error::{Attempt, Error, ErrorKind, Result};
pub use kek::{Freshness, observer, outage::OutagePolicy};
pub use kms::{
    BatchItem, Builder, HeaderDirectory, HeaderFile, HeaderStore, Health, Kms, MemoryHeaders, Opened,
    Outcome, ReferenceRecord, ReferenceSealer, References, Scope, SealOptions, Usage,
};
#[cfg(feature = "config")]
pub use kms::{KeySet, Purpose};
pub use rt::{NewFile, Wait, wait};
pub use secret::Dek;

/// What an envelope tells without keys: suite, recipients, a stored context.
///
/// # Errors
/// As [`Header::parse`].
pub fn inspect(sealed: &[u8]) -> Result<Header> {
    Header::parse(sealed)
}

/// The README's examples, compiled and run.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../README.md")]
mod readme {}
