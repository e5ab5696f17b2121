//! Whether what is wrapped is wrapped as it would be now.

/// Whether a DEK is wrapped as a new one would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// As a new one would be.
    Current,
    /// Under an older version of a KEK, or under other KEKs.
    Stale,
    /// The backends cannot tell which key wraps now; or two KEKs have keys of that id, as
    /// keyrings can.
    Unknown,
}
