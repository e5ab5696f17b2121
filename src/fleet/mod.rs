//! Trees of sealed files after a change of keys: what still depends on which key, and all of
//! it put under the KEKs that wrap now.
//!
//! ```
//! # fn main() -> libkms::Result<()> {
//! use libkms::{EncryptionContext, Kms, Wait, fleet};
//! # use libkms::{Aad, kek::KeyringFile};
//! # let dir = std::env::temp_dir().join(format!("libkms-doc-fleet-{}", std::process::id()));
//! # std::fs::create_dir_all(dir.join("backups")).unwrap();
//! # let uri = format!("local:{}#backup?create=true", dir.join("keys.json").display());
//! # let context = EncryptionContext::new([("purpose", "backup")])?;
//! # let sealed = Kms::from_uri(&uri).wait()?.scope(context).seal(Aad::empty(), b"x").wait()?;
//! # std::fs::write(dir.join("backups/a.kms"), sealed).unwrap();
//! # KeyringFile::at(dir.join("keys.json")).rotate("backup")?;
//! # let backups = dir.join("backups");
//!
//! let kms = Kms::from_uri(&uri).wait()?; // "local:keys.json#backup", rotated
//! let context = EncryptionContext::new([("purpose", "backup")])?;
//! let report = fleet::Rewrap::new(&kms)
//!     .context(context)
//!     .run(fleet::sealed_below(&backups), |event| println!("{event:?}"))?;
//! assert_eq!((report.rewrapped, report.failures.len()), (1, 0));
//! assert_eq!(report.after["local:backup/2"], 1);
//!
//! // Nothing names the old version any more.
//! let listing = fleet::Survey::naming(["local:backup/1"])
//!     .run(fleet::sealed_below(&backups), |found| println!("{}", found.path.display()))?;
//! assert_eq!((listing.files, listing.found), (1, 0));
//! # std::fs::remove_dir_all(dir).unwrap();
//! # Ok(()) }
//! ```
//!
//! Keys are told as `SCHEME:KEY_ID`, as headers name them: `local:backup/2`. Headers are what
//! is gone by; of payloads nothing is read. Paths go one by one from an iterator to the
//! workers, so that memory does not grow with their number; end the iterator to end a run.
#[cfg(feature = "etcd")]
pub mod etcd;
mod files;
mod look;
mod rewrap;
mod survey;
mod workers;

pub use files::{Files, SUFFIX, files_below, sealed_below};
pub use rewrap::{Event, Report, Rewrap};
pub use survey::{Found, Listing, Survey};

use crate::Error;
use std::{collections::BTreeMap, path::PathBuf};

/// A file or directory, and what failed about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failed {
    /// As it was named or found.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

impl Failed {
    /// For paths of your own.
    pub fn new(path: impl Into<PathBuf>, error: Error) -> Self {
        Self { path: path.into(), error }
    }
}

/// Files by the key that they name. A file of several recipients counts for each.
type Counts = BTreeMap<String, u64>;
