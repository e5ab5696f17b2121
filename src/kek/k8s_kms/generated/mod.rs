//! What `proto/` makes, which is of the Go module k8s.io/kms v0.37.2 (Apache-2.0): tests/generated.rs
//! makes it again.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub(crate) mod v1beta1;
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub(crate) mod v2;
