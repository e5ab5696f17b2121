//! Values as they stand in etcd.
mod current;
mod deks;
mod kms;
mod object;
#[cfg(feature = "plugin")]
mod plugin;
mod service;
mod transformer;
mod ways;
mod wire;

pub use service::{DekSource, KmsService, KmsStatus, Wrapped};
pub use transformer::{Read, Transformer};
pub use ways::ValueFormat;
