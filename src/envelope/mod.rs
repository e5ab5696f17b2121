//! The envelope, version 1: header codec, key ids, encryption contexts, streams. Pure: no
//! KMS, no files. The format is a page of the manual: [`crate::manual::format`].
mod codec;
mod context;
mod header;
mod in_place;
mod key_id;
mod keys;
mod locate;
mod recipient;
mod reference;
pub mod stream;

pub use context::{Aad, EncryptionContext};
pub use header::{Copies, Suite};
pub use key_id::KeyId;
pub use locate::{Damage, Header};
pub use recipient::{Recipient, WrappedDek};
pub use reference::Reference;

pub(crate) use header::{HeaderCopy, Plan};
pub(crate) use in_place::{Medium, replace_in_place, replace_known};
pub(crate) use keys::{DerivedKeys, PayloadKey};
pub(crate) use locate::Fingerprint;
pub(crate) use recipient::check_scheme;
