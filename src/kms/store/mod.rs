//! Where the headers of reference records are kept.
mod directory;
mod file;
mod memory;

pub use directory::HeaderDirectory;
pub use file::HeaderFile;
pub use memory::MemoryHeaders;

use crate::{Result, async_trait};
use std::sync::Arc;

/// Keeps headers, each under the commitment that names its DEK: best beside the records, in
/// the same database and the same backup. Whoever loses a header loses its records.
///
/// It need not be trusted: a header that is not the right one opens nothing. libkms neither
/// retries nor times out what it does. Futures are polled on any thread, with no async
/// runtime around.
#[async_trait]
pub trait HeaderStore: Send + Sync + 'static {
    /// The header under this commitment, if there is one: at most 65536 bytes.
    ///
    /// # Errors
    /// The store's own; that there is none is no error.
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>>;

    /// Keeps `header`, and returns when it would outlive a crash. Without `replaces` it
    /// inserts, and never overwrites; with it, it replaces those very bytes and no others, in
    /// one step. `false`, and nothing is done, where another header or, with `replaces`, none
    /// is there.
    ///
    /// Of several at once that would insert, or replace the same bytes, one is told `true`.
    /// Who is told `false` by an insert relies on what is there: that, too, outlives a crash.
    ///
    /// # Errors
    /// The store's own. Whether the header was kept is then unknown.
    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool>;
}

#[async_trait]
impl<S: HeaderStore + ?Sized> HeaderStore for Arc<S> {
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        (**self).get(commitment).await
    }

    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
        (**self).put(commitment, header, replaces).await
    }
}
