//! What a KMS of Kubernetes' answers: all of it public.
use std::collections::BTreeMap;

/// A DEK or a seed as its KMS wrapped it: it stands in every value that is under it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrapped {
    /// v2: 1 to 1024 bytes; v1: 1 to 65,535.
    pub ciphertext: Vec<u8>,
    /// v2: the KEK, 1 to 1024 bytes; v1: nothing.
    pub key_id: String,
    /// v2: what else the KMS wants to see again. The names are domains of two labels or more, in lower
    /// case, names and data together have 32 KiB at most; v1: nothing.
    pub annotations: BTreeMap<String, Vec<u8>>,
}

/// What a v2 KMS says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsStatus {
    /// Of the protocol: `v2` or `v2beta1`, the same each time.
    pub version: String,
    /// `ok`, or what is wrong.
    pub healthz: String,
    /// The KEK that wraps now, as [`Wrapped::key_id`] will say.
    pub key_id: String,
}
