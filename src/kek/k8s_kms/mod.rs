//! Kubernetes's KMS services: their messages.
pub(crate) mod generated;
